-- Records that contradict these tables, where there is no broker to keep them; until an operator has
-- replayed them.
CREATE TABLE IF NOT EXISTS dead_letters (
    shard  INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL, -- when it was decided
    reason TEXT    NOT NULL,
    record BLOB    NOT NULL, -- in the journal's encoding
    PRIMARY KEY (shard, seq)
) WITHOUT ROWID;
