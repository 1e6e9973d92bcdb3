-- Records that contradict these tables, where there is no broker to keep them; until an operator has
-- replayed them.
CREATE TABLE IF NOT EXISTS dead_letters (
    shard  SMALLINT UNSIGNED NOT NULL,
    seq    BIGINT UNSIGNED NOT NULL,
    at     BIGINT UNSIGNED NOT NULL COMMENT 'when it was decided',
    reason VARCHAR(255) NOT NULL,
    record VARBINARY(255) NOT NULL COMMENT 'in the encoding of the journal',
    PRIMARY KEY (shard, seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
