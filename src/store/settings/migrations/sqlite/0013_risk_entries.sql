-- Whom risk rules deny, and whom they never do. A removed entry stays, so that every node hears of it.
CREATE TABLE IF NOT EXISTS risk_entries (
    entry_id   INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    kind       TEXT    NOT NULL, -- deny_user, deny_address or allow_address
    value      TEXT    NOT NULL, -- a user's number, or a network
    note       TEXT    NOT NULL,
    expires_at INTEGER,
    actor      TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    removed_at INTEGER,
    change_no  INTEGER NOT NULL  -- the change that made it as it is
);
CREATE INDEX IF NOT EXISTS risk_entries_by_change ON risk_entries (change_no, entry_id);

-- The last change of them. Its row is locked by a change until that is committed, so that changes become
-- visible in their order.
CREATE TABLE IF NOT EXISTS risk_changes (
    one       INTEGER PRIMARY KEY NOT NULL,
    change_no INTEGER NOT NULL
);
INSERT INTO risk_changes (one, change_no)
SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM risk_changes WHERE one = 1);
