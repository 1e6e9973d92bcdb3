-- What the log of each shard has put into these tables, kept in the transaction that stores it: rows
-- that are lost or changed by hand are found by it. 64-bit numbers as in the other tables.
CREATE TABLE IF NOT EXISTS shard_seals (
    shard        INTEGER NOT NULL PRIMARY KEY,
    seq          INTEGER NOT NULL, -- up to which record of the log it counts
    orders       INTEGER NOT NULL, -- orders granted
    item_records INTEGER NOT NULL, -- records of items
    digest       INTEGER NOT NULL, -- the sum of the hashes of all records
    conflicts    INTEGER NOT NULL  -- records that contradicted a row when they came
);
