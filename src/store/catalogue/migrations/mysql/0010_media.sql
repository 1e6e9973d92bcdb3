-- Pictures of items, each under the SHA-256 of its bytes.
CREATE TABLE IF NOT EXISTS media (
    picture  BINARY(32) NOT NULL,
    bytes    MEDIUMBLOB NOT NULL COMMENT 'JPEG',
    added_by VARCHAR(64) NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (picture)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- What is shown of an item beside its title. MySQL knows no IF NOT EXISTS here.
SET @is_missing = (
    SELECT COUNT(*) = 0 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'sale_items' AND column_name = 'description'
);
SET @addition = IF(@is_missing, 'ALTER TABLE sale_items ADD COLUMN description TEXT', 'DO 0');
PREPARE addition FROM @addition;
EXECUTE addition;
DEALLOCATE PREPARE addition;
SET @is_missing = (
    SELECT COUNT(*) = 0 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'sale_items' AND column_name = 'picture'
);
SET @addition = IF(@is_missing, 'ALTER TABLE sale_items ADD COLUMN picture BINARY(32)', 'DO 0');
PREPARE addition FROM @addition;
EXECUTE addition;
DEALLOCATE PREPARE addition;
