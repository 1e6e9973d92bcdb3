-- The accounts of operators. Times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS operators (
    name_key      VARBINARY(512) NOT NULL COMMENT 'the name in lower case, UTF-8',
    name          VARCHAR(64) NOT NULL,
    password_hash VARCHAR(512) CHARACTER SET ascii
        COMMENT 'PHC string; none if only the name''s tokens are revoked',
    roles         VARCHAR(64) CHARACTER SET ascii NOT NULL COMMENT 'names with blanks between them',
    generation    BIGINT NOT NULL COMMENT 'grows with every change: older sessions are over',
    changed_at    BIGINT NOT NULL COMMENT 'links that were made before are used up',
    disabled      BIGINT NOT NULL COMMENT '1 if the account is',
    tokens_from   BIGINT NOT NULL COMMENT 'tokens that were minted before are not accepted',
    PRIMARY KEY (name_key)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
