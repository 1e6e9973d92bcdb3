-- Which journal the orders here are made from: one row, set by the first that is.
CREATE TABLE IF NOT EXISTS journal (
    place    TINYINT UNSIGNED NOT NULL COMMENT 'always 1',
    identity CHAR(16) CHARACTER SET ascii NOT NULL COMMENT 'as in the file of the data directory',
    PRIMARY KEY (place)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
