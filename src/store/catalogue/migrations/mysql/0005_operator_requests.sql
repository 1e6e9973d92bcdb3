-- Operators' requests that changed the catalogue, so that a repeat is recognised.
CREATE TABLE IF NOT EXISTS operator_requests (
    request_id BIGINT NOT NULL COMMENT 'a digest of operator and key',
    action     VARCHAR(64) NOT NULL,
    subject    VARCHAR(128) NOT NULL,
    content    BIGINT NOT NULL COMMENT 'a digest of what was sent',
    PRIMARY KEY (request_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- How often the content was changed since the sale was made. MySQL knows no IF NOT EXISTS here.
SET @is_missing = (
    SELECT COUNT(*) = 0 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'sales' AND column_name = 'edits'
);
SET @addition = IF(@is_missing, 'ALTER TABLE sales ADD COLUMN edits BIGINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE addition FROM @addition;
EXECUTE addition;
DEALLOCATE PREPARE addition;
