-- What operators sell. Times are milliseconds since 1970, money is in minor units.
CREATE TABLE IF NOT EXISTS sales (
    sale_id      INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    title        TEXT    NOT NULL,
    starts_at    INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL,
    status       INTEGER NOT NULL, -- 1 draft, 2 submitted, 3 rejected, 4 approved, 5 preheated, 6 ended, 7 settled
    revision     INTEGER NOT NULL, -- grows with every change
    created_by   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    edited_by    TEXT    NOT NULL,
    submitted_by TEXT,
    submitted_at INTEGER,
    approved_by  TEXT,
    approved_at  INTEGER,
    changed_at   INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS sales_by_status ON sales (status, sale_id);

CREATE TABLE IF NOT EXISTS sale_items (
    item_id                     INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    sale_id                     INTEGER NOT NULL REFERENCES sales (sale_id),
    position                    INTEGER NOT NULL, -- order of display, from 0
    product_id                  TEXT    NOT NULL,
    title                       TEXT    NOT NULL,
    price                       INTEGER NOT NULL,
    list_price                  INTEGER,
    currency                    TEXT    NOT NULL,
    allotted                    INTEGER NOT NULL,
    limit_per_user              INTEGER NOT NULL,
    payment_window_milliseconds INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS sale_items_by_sale ON sale_items (sale_id, position);

-- Registered buyers. Their numbers begin far above those of tokens minted for tests and demos.
CREATE TABLE IF NOT EXISTS users (
    user_id       INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name          TEXT    NOT NULL,
    name_key      BLOB    NOT NULL UNIQUE, -- the name in lower case, UTF-8
    password_hash TEXT    NOT NULL,        -- PHC string
    created_at    INTEGER NOT NULL
);
INSERT INTO sqlite_sequence (name, seq)
SELECT 'users', 999999999999
WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'users');

-- What operators did.
CREATE TABLE IF NOT EXISTS operator_log (
    entry_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL -- JSON
);
