-- Operators' requests that changed the catalogue, so that a repeat is recognised.
CREATE TABLE IF NOT EXISTS operator_requests (
    request_id INTEGER NOT NULL PRIMARY KEY, -- a digest of operator and key
    action     TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    content    INTEGER NOT NULL -- a digest of what was sent
);
-- How often the content was changed since the sale was made.
ALTER TABLE sales ADD COLUMN edits INTEGER NOT NULL DEFAULT 0;
