-- Over how many shards an item's units are spread. MySQL knows no IF NOT EXISTS here.
SET @is_missing = (
    SELECT COUNT(*) = 0 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'sale_items' AND column_name = 'buckets'
);
SET @addition = IF(@is_missing, 'ALTER TABLE sale_items ADD COLUMN buckets BIGINT NOT NULL DEFAULT 1', 'DO 0');
PREPARE addition FROM @addition;
EXECUTE addition;
DEALLOCATE PREPARE addition;
