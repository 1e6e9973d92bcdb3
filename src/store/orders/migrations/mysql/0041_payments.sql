-- Payments as their shards decided them, each as of its last record.
CREATE TABLE IF NOT EXISTS payments (
    order_id         BIGINT UNSIGNED NOT NULL,
    number           SMALLINT UNSIGNED NOT NULL COMMENT 'among the payments of the order, from 1',
    sale_id          BIGINT UNSIGNED NOT NULL,
    item_id          BIGINT UNSIGNED NOT NULL,
    user_id          BIGINT UNSIGNED NOT NULL,
    request_id       BIGINT UNSIGNED NOT NULL COMMENT '0 for money that nobody had asked for',
    provider         VARCHAR(16) CHARACTER SET ascii NOT NULL,
    amount           BIGINT UNSIGNED NOT NULL COMMENT 'minor units: what was asked for, or what came',
    currency         CHAR(3) CHARACTER SET ascii NOT NULL,
    state            TINYINT UNSIGNED NOT NULL
        COMMENT '1 started, 2 captured, 3 failed, 4 refund due, 5 refunded',
    reference        VARCHAR(64) CHARACTER SET ascii NULL COMMENT 'the name that the provider gave it',
    refund_reference VARCHAR(64) CHARACTER SET ascii NULL,
    created_at       BIGINT UNSIGNED NOT NULL COMMENT 'milliseconds since 1970, as all times',
    changed_at       BIGINT UNSIGNED NOT NULL,
    version          BIGINT UNSIGNED NOT NULL COMMENT 'the number of the record in the log of its shard',
    PRIMARY KEY (order_id, number),
    -- Orders come in the order of their identity, so that both are written near their ends.
    KEY payments_by_state (state, order_id, number),
    KEY payments_by_sale (sale_id, order_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
