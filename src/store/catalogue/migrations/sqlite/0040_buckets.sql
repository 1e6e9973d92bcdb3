-- Over how many shards an item's units are spread.
ALTER TABLE sale_items ADD COLUMN buckets INTEGER NOT NULL DEFAULT 1;
