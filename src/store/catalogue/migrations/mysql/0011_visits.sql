-- How often pages were viewed, and by how many different visitors, about.
CREATE TABLE IF NOT EXISTS visits (
    subject    VARCHAR(64) NOT NULL COMMENT 'such as day:2026-11-11 or item:7',
    views      BIGINT NOT NULL,
    visitors   MEDIUMBLOB NOT NULL COMMENT 'a HyperLogLog sketch',
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (subject)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
