-- Which journal the orders here are made from: one row, set by the first that is.
CREATE TABLE IF NOT EXISTS journal (
    place    INTEGER NOT NULL PRIMARY KEY, -- always 1
    identity TEXT    NOT NULL -- as in the file of the data directory
);
