-- Who is told the shop's events, and since when: a row a receiver.
CREATE TABLE IF NOT EXISTS event_sinks (
    sink       TEXT    NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL, -- from 1; one more each time that it is told again from an earlier time
    begins_at  INTEGER NOT NULL  -- what happened before is not told
);

-- How far each of them is with each shard's log.
CREATE TABLE IF NOT EXISTS event_positions (
    sink       TEXT    NOT NULL,
    shard      INTEGER NOT NULL,
    generation INTEGER NOT NULL, -- of the receiver, when this was so
    seq        INTEGER NOT NULL, -- the last record up to which it has confirmed all
    lost_from  INTEGER NOT NULL, -- the first and the last record of the latest that were deleted before it was
    lost_to    INTEGER NOT NULL, -- told, or 0 and 0
    PRIMARY KEY (sink, shard)
) WITHOUT ROWID;
