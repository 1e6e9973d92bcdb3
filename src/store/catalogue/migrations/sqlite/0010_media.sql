-- Pictures of items, each under the SHA-256 of its bytes.
CREATE TABLE IF NOT EXISTS media (
    picture  BLOB    NOT NULL PRIMARY KEY,
    bytes    BLOB    NOT NULL, -- JPEG
    added_by TEXT    NOT NULL,
    added_at INTEGER NOT NULL
);
-- What is shown of an item beside its title.
ALTER TABLE sale_items ADD COLUMN description TEXT;
ALTER TABLE sale_items ADD COLUMN picture BLOB;
