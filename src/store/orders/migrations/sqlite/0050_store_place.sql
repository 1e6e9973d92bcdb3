-- Which of the shop's order stores the tables here are, and how many there are: unset, the only one.
ALTER TABLE journal ADD COLUMN store INTEGER;
ALTER TABLE journal ADD COLUMN stores INTEGER;
