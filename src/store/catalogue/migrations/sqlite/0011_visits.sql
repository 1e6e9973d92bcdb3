-- How often pages were viewed, and by how many different visitors, about.
CREATE TABLE IF NOT EXISTS visits (
    subject    TEXT    NOT NULL PRIMARY KEY, -- such as day:2026-11-11 or item:7
    views      INTEGER NOT NULL,
    visitors   BLOB    NOT NULL,             -- a HyperLogLog sketch
    changed_at INTEGER NOT NULL
);
