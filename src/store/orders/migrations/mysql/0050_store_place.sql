-- Which of the shop's order stores the tables here are, and how many there are: unset, the only one. MySQL
-- knows no IF NOT EXISTS here.
SET @is_missing = (
    SELECT COUNT(*) = 0 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'journal' AND column_name = 'stores'
);
SET @addition = IF(
    @is_missing,
    'ALTER TABLE journal ADD COLUMN store SMALLINT UNSIGNED NULL, ADD COLUMN stores SMALLINT UNSIGNED NULL',
    'DO 0'
);
PREPARE addition FROM @addition;
EXECUTE addition;
DEALLOCATE PREPARE addition;
