-- Settings that operators changed while the shop ran. Every version is kept; the newest one counts.
CREATE TABLE IF NOT EXISTS settings (
    name    TEXT    NOT NULL, -- such as limits
    version INTEGER NOT NULL, -- from 1, without gaps
    json    TEXT    NOT NULL, -- an object: what differs from the file
    actor   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    reason  TEXT    NOT NULL,
    PRIMARY KEY (name, version)
);
