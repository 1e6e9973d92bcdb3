-- Buyers whose sessions were ended before their tokens expire, because the password was changed.
CREATE TABLE IF NOT EXISTS ended_sessions (
    user_id   BIGINT NOT NULL,
    good_from BIGINT NOT NULL
        COMMENT 'the first second since 1970 in which a token that was made is good',
    PRIMARY KEY (user_id),
    KEY ended_sessions_by_time (good_from, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
