-- The accounts of operators. Times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS operators (
    name_key      BLOB    NOT NULL PRIMARY KEY, -- the name in lower case, UTF-8
    name          TEXT    NOT NULL,
    password_hash TEXT,             -- PHC string; none if only the name's tokens are revoked
    roles         TEXT    NOT NULL, -- names with blanks between them
    generation    INTEGER NOT NULL, -- grows with every change: older sessions are over
    changed_at    INTEGER NOT NULL, -- links that were made before are used up
    disabled      INTEGER NOT NULL, -- 1 if the account is
    tokens_from   INTEGER NOT NULL  -- tokens that were minted before are not accepted
) WITHOUT ROWID;
