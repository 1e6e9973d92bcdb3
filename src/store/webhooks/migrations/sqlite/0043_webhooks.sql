-- Who is told the shop's events by webhooks. The secrets are sealed; see docs/webhooks.md.
CREATE TABLE IF NOT EXISTS webhook_endpoints (
    endpoint_id     INTEGER PRIMARY KEY NOT NULL,
    url             TEXT    NOT NULL,
    types           TEXT    NOT NULL, -- names of events with spaces between them; empty for all
    description     TEXT    NOT NULL,
    state           TEXT    NOT NULL, -- new, live or disabled
    reason          TEXT    NOT NULL, -- why it is disabled, if the shop did that
    secret          BLOB    NOT NULL,
    previous_secret BLOB,
    previous_until  INTEGER,          -- until when the secret of before signs, too
    revision        INTEGER NOT NULL, -- one more with each change
    failing_since   INTEGER,          -- when the first delivery failed since one arrived
    actor           TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL
);

-- Events that an endpoint did not take at their first attempt, with the later ones of the same order.
CREATE TABLE IF NOT EXISTS webhook_waiting (
    endpoint_id     INTEGER NOT NULL,
    shard           INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    partition_key   INTEGER NOT NULL, -- an order, or an item
    event_id        TEXT    NOT NULL,
    event_type      TEXT    NOT NULL,
    event_at        INTEGER NOT NULL,
    body            BLOB    NOT NULL,
    attempts        INTEGER NOT NULL,
    first_failed_at INTEGER NOT NULL,
    next_at         INTEGER NOT NULL,
    is_parked       INTEGER NOT NULL, -- 1: not tried any more until an operator says so
    PRIMARY KEY (endpoint_id, shard, seq)
);
CREATE INDEX IF NOT EXISTS webhook_waiting_by_key ON webhook_waiting (endpoint_id, partition_key, shard, seq);
CREATE INDEX IF NOT EXISTS webhook_waiting_by_time ON webhook_waiting (endpoint_id, is_parked, next_at);

-- The latest attempts of each endpoint.
CREATE TABLE IF NOT EXISTS webhook_deliveries (
    delivery_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    endpoint_id INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    event_id    TEXT    NOT NULL,
    event_type  TEXT    NOT NULL,
    attempt     INTEGER NOT NULL, -- from 1
    status      INTEGER,          -- the answer's, if one came
    error       TEXT    NOT NULL, -- why none came, or why it counts for nothing
    duration_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id, delivery_id);
