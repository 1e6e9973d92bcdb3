-- Settings that operators changed while the shop ran. Every version is kept; the newest one counts.
CREATE TABLE IF NOT EXISTS settings (
    name    VARCHAR(32) CHARACTER SET ascii NOT NULL COMMENT 'such as limits',
    version BIGINT NOT NULL COMMENT 'from 1, without gaps',
    json    TEXT NOT NULL COMMENT 'an object: what differs from the file',
    actor   VARCHAR(64) NOT NULL,
    at      BIGINT NOT NULL,
    reason  VARCHAR(512) NOT NULL,
    PRIMARY KEY (name, version)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
