-- Which change of a sale was the latest: what is read of sales under one mark is no longer true under the next.
CREATE TABLE IF NOT EXISTS catalogue_changes (
    one  TINYINT NOT NULL,
    mark BIGINT NOT NULL COMMENT 'another number after each change, by chance',
    PRIMARY KEY (one)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
INSERT IGNORE INTO catalogue_changes (one, mark) VALUES (1, FLOOR(RAND() * 9000000000000000));
