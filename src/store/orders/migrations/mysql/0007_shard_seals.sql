-- What the log of each shard has put into these tables, kept in the transaction that stores it: rows
-- that are lost or changed by hand are found by it.
CREATE TABLE IF NOT EXISTS shard_seals (
    shard        SMALLINT UNSIGNED NOT NULL,
    seq          BIGINT UNSIGNED NOT NULL COMMENT 'up to which record of the log it counts',
    orders       BIGINT UNSIGNED NOT NULL COMMENT 'orders granted',
    item_records BIGINT UNSIGNED NOT NULL COMMENT 'records of items',
    digest       BIGINT UNSIGNED NOT NULL COMMENT 'the sum of the hashes of all records',
    conflicts    BIGINT UNSIGNED NOT NULL COMMENT 'records that contradicted a row when they came',
    PRIMARY KEY (shard)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
