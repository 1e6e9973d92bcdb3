-- Who is told the shop's events, and since when: a row a receiver.
CREATE TABLE IF NOT EXISTS event_sinks (
    sink       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    generation BIGINT NOT NULL COMMENT 'from 1; one more each time that it is told again from an earlier time',
    begins_at  BIGINT NOT NULL COMMENT 'what happened before is not told',
    PRIMARY KEY (sink)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- How far each of them is with each shard's log.
CREATE TABLE IF NOT EXISTS event_positions (
    sink       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    shard      INTEGER NOT NULL,
    generation BIGINT NOT NULL COMMENT 'of the receiver, when this was so',
    seq        BIGINT NOT NULL COMMENT 'the last record up to which it has confirmed all',
    lost_from  BIGINT NOT NULL COMMENT 'the first of the latest records that were deleted before it was told, or 0',
    lost_to    BIGINT NOT NULL COMMENT 'the last of them',
    PRIMARY KEY (sink, shard)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
