-- Whom risk rules deny, and whom they never do. A removed entry stays, so that every node hears of it.
CREATE TABLE IF NOT EXISTS risk_entries (
    entry_id   BIGINT NOT NULL AUTO_INCREMENT,
    kind       VARCHAR(16) CHARACTER SET ascii NOT NULL COMMENT 'deny_user, deny_address or allow_address',
    value      VARCHAR(64) CHARACTER SET ascii NOT NULL COMMENT 'a number of a user, or a network',
    note       VARCHAR(256) NOT NULL,
    expires_at BIGINT,
    actor      VARCHAR(64) NOT NULL,
    at         BIGINT NOT NULL,
    removed_at BIGINT,
    change_no  BIGINT NOT NULL COMMENT 'the change that made it as it is',
    PRIMARY KEY (entry_id),
    KEY risk_entries_by_change (change_no, entry_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- The last change of them. Its row is locked by a change until that is committed, so that changes become
-- visible in their order.
CREATE TABLE IF NOT EXISTS risk_changes (
    one       BIGINT NOT NULL,
    change_no BIGINT NOT NULL,
    PRIMARY KEY (one)
) ENGINE = InnoDB;
INSERT INTO risk_changes (one, change_no)
SELECT 1, 0 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM risk_changes WHERE one = 1);
