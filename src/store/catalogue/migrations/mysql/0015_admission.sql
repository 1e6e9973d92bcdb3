-- How an item is guarded when it goes on sale: the number of its admission, 0 if everybody may buy. MySQL
-- knows no IF NOT EXISTS here.
SET @is_missing = (
    SELECT COUNT(*) = 0 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'sale_items' AND column_name = 'admission'
);
SET @addition = IF(@is_missing, 'ALTER TABLE sale_items ADD COLUMN admission BIGINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE addition FROM @addition;
EXECUTE addition;
DEALLOCATE PREPARE addition;
