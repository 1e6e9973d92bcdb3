-- Orders as their shards decided them. 64-bit numbers are kept as the signed number of equal bits.
CREATE TABLE IF NOT EXISTS orders (
    order_id   INTEGER NOT NULL PRIMARY KEY,
    sale_id    INTEGER NOT NULL,
    item_id    INTEGER NOT NULL,
    user_id    INTEGER NOT NULL,
    request_id INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    quantity   INTEGER NOT NULL,
    amount     INTEGER NOT NULL, -- minor units
    currency   TEXT    NOT NULL,
    status     INTEGER NOT NULL, -- 1 reserved, 2 paid, 3 cancelled, 4 expired, 5 refund due
    expires_at INTEGER NOT NULL, -- milliseconds since 1970, as all times
    changed_at INTEGER NOT NULL,
    version    INTEGER NOT NULL, -- the record's number in its shard's log
    shard      INTEGER GENERATED ALWAYS AS ((order_id >> 12) & 1023) VIRTUAL,
    created_at INTEGER GENERATED ALWAYS AS ((order_id >> 22) + 1704067200000) VIRTUAL
);
-- Buyers come in no order, so this is the one index that is written all over the place. It begins with
-- the buyer, to serve lists of a buyer's orders too; a second such index would halve the insert rate.
CREATE UNIQUE INDEX IF NOT EXISTS orders_attempt ON orders (user_id, sale_id, item_id, attempt);
CREATE INDEX IF NOT EXISTS orders_by_sale ON orders (sale_id, order_id);

-- What operators did to items, record by record; an item's state is their fold.
CREATE TABLE IF NOT EXISTS item_events (
    shard   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    record  BLOB    NOT NULL, -- in the journal's encoding
    PRIMARY KEY (shard, seq)
) WITHOUT ROWID;

-- Up to which record each shard's log is in these tables.
CREATE TABLE IF NOT EXISTS shard_progress (
    shard       INTEGER NOT NULL PRIMARY KEY,
    applied_seq INTEGER NOT NULL
);
