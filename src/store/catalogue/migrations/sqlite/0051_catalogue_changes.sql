-- Which change of a sale was the latest: what is read of sales under one mark is no longer true under the next.
CREATE TABLE IF NOT EXISTS catalogue_changes (
    one  INTEGER PRIMARY KEY NOT NULL,
    mark INTEGER NOT NULL -- another number after each change, by chance
);
INSERT OR IGNORE INTO catalogue_changes (one, mark) VALUES (1, ABS(RANDOM() / 1024));
