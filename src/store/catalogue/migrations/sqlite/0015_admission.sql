-- How an item is guarded when it goes on sale: the number of its admission, 0 if everybody may buy.
ALTER TABLE sale_items ADD COLUMN admission INTEGER NOT NULL DEFAULT 0;
