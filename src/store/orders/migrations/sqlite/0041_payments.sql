-- Payments as their shards decided them, each as of its last record. 64-bit numbers as in the other tables.
CREATE TABLE IF NOT EXISTS payments (
    order_id         INTEGER NOT NULL,
    number           INTEGER NOT NULL, -- among the order's payments, from 1
    sale_id          INTEGER NOT NULL,
    item_id          INTEGER NOT NULL,
    user_id          INTEGER NOT NULL,
    request_id       INTEGER NOT NULL, -- 0 for money that nobody had asked for
    provider         TEXT    NOT NULL,
    amount           INTEGER NOT NULL, -- minor units: what was asked for, or what came
    currency         TEXT    NOT NULL,
    state            INTEGER NOT NULL, -- 1 started, 2 captured, 3 failed, 4 refund due, 5 refunded
    reference        TEXT,             -- the provider's name for it
    refund_reference TEXT,
    created_at       INTEGER NOT NULL, -- milliseconds since 1970, as all times
    changed_at       INTEGER NOT NULL,
    version          INTEGER NOT NULL, -- the record's number in its shard's log
    PRIMARY KEY (order_id, number)
) WITHOUT ROWID;
-- Orders come in the order of their identity, so that both are written near their ends.
CREATE INDEX IF NOT EXISTS payments_by_state ON payments (state, order_id, number);
CREATE INDEX IF NOT EXISTS payments_by_sale ON payments (sale_id, order_id, number);
