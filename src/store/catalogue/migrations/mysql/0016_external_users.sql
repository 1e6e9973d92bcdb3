-- Users of a mall's own issuer, who have a number here from their first request on.
CREATE TABLE IF NOT EXISTS external_users (
    issuer     VARBINARY(255) NOT NULL COMMENT 'as its tokens have it, UTF-8',
    subject    VARBINARY(255) NOT NULL COMMENT 'the issuer''s name for the user, UTF-8',
    user_id    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE KEY external_users_user (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
