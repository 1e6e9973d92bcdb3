-- Buyers whose sessions were ended before their tokens expire, because the password was changed.
CREATE TABLE IF NOT EXISTS ended_sessions (
    user_id   INTEGER PRIMARY KEY NOT NULL,
    good_from INTEGER NOT NULL -- the first second since 1970 in which a token that was made is good
);
CREATE INDEX IF NOT EXISTS ended_sessions_by_time ON ended_sessions (good_from, user_id);
