-- Orders as their shards decided them.
CREATE TABLE IF NOT EXISTS orders (
    order_id   BIGINT UNSIGNED NOT NULL,
    sale_id    BIGINT UNSIGNED NOT NULL,
    item_id    BIGINT UNSIGNED NOT NULL,
    user_id    BIGINT UNSIGNED NOT NULL,
    request_id BIGINT UNSIGNED NOT NULL,
    attempt    SMALLINT UNSIGNED NOT NULL,
    quantity   SMALLINT UNSIGNED NOT NULL,
    amount     BIGINT UNSIGNED NOT NULL COMMENT 'minor units',
    currency   CHAR(3) CHARACTER SET ascii NOT NULL,
    status     TINYINT UNSIGNED NOT NULL
        COMMENT '1 reserved, 2 paid, 3 cancelled, 4 expired, 5 refund due',
    expires_at BIGINT UNSIGNED NOT NULL COMMENT 'milliseconds since 1970, as all times',
    changed_at BIGINT UNSIGNED NOT NULL,
    version    BIGINT UNSIGNED NOT NULL COMMENT 'the number of the record in the log of its shard',
    shard      SMALLINT UNSIGNED GENERATED ALWAYS AS ((order_id >> 12) & 1023) VIRTUAL,
    created_at BIGINT UNSIGNED GENERATED ALWAYS AS ((order_id >> 22) + 1704067200000) VIRTUAL,
    PRIMARY KEY (order_id),
    -- Buyers come in no order, so this is the one index that is written all over the place. It begins
    -- with the buyer, to serve lists of a buyer's orders too; a second such index would halve the
    -- insert rate.
    UNIQUE KEY orders_attempt (user_id, sale_id, item_id, attempt),
    KEY orders_by_sale (sale_id, order_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- What operators did to items, record by record; the state of an item is their fold.
CREATE TABLE IF NOT EXISTS item_events (
    shard   SMALLINT UNSIGNED NOT NULL,
    seq     BIGINT UNSIGNED NOT NULL,
    item_id BIGINT UNSIGNED NOT NULL,
    kind    VARCHAR(16) CHARACTER SET ascii NOT NULL,
    at      BIGINT UNSIGNED NOT NULL,
    record  VARBINARY(255) NOT NULL COMMENT 'in the encoding of the journal',
    PRIMARY KEY (shard, seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Up to which record the log of each shard is in these tables.
CREATE TABLE IF NOT EXISTS shard_progress (
    shard       SMALLINT UNSIGNED NOT NULL,
    applied_seq BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (shard)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
