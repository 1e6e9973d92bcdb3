-- Users of a mall's own issuer, who have a number here from their first request on.
CREATE TABLE IF NOT EXISTS external_users (
    issuer     BLOB    NOT NULL, -- as its tokens have it, UTF-8
    subject    BLOB    NOT NULL, -- the issuer's name for the user, UTF-8
    user_id    INTEGER NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) WITHOUT ROWID;
