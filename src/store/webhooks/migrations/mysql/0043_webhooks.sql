-- Who is told the shop's events by webhooks. The secrets are sealed; see docs/webhooks.md.
CREATE TABLE IF NOT EXISTS webhook_endpoints (
    endpoint_id     BIGINT NOT NULL,
    url             VARCHAR(2048) CHARACTER SET ascii NOT NULL,
    types           VARCHAR(1024) CHARACTER SET ascii NOT NULL COMMENT 'names of events with spaces between them; empty for all',
    description     VARCHAR(256) NOT NULL,
    state           VARCHAR(16) CHARACTER SET ascii NOT NULL COMMENT 'new, live or disabled',
    reason          VARCHAR(256) NOT NULL COMMENT 'why it is disabled, if the shop did that',
    secret          VARBINARY(256) NOT NULL,
    previous_secret VARBINARY(256),
    previous_until  BIGINT COMMENT 'until when the secret of before signs, too',
    revision        BIGINT NOT NULL COMMENT 'one more with each change',
    failing_since   BIGINT COMMENT 'when the first delivery failed since one arrived',
    actor           VARCHAR(64) NOT NULL,
    created_at      BIGINT NOT NULL,
    changed_at      BIGINT NOT NULL,
    PRIMARY KEY (endpoint_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Events that an endpoint did not take at their first attempt, with the later ones of the same order.
CREATE TABLE IF NOT EXISTS webhook_waiting (
    endpoint_id     BIGINT NOT NULL,
    shard           INT NOT NULL,
    seq             BIGINT NOT NULL,
    partition_key   BIGINT NOT NULL COMMENT 'an order, or an item',
    event_id        VARCHAR(128) CHARACTER SET ascii NOT NULL,
    event_type      VARCHAR(64) CHARACTER SET ascii NOT NULL,
    event_at        BIGINT NOT NULL,
    body            MEDIUMBLOB NOT NULL,
    attempts        INT NOT NULL,
    first_failed_at BIGINT NOT NULL,
    next_at         BIGINT NOT NULL,
    is_parked       INT NOT NULL COMMENT '1: not tried any more until an operator says so',
    PRIMARY KEY (endpoint_id, shard, seq),
    KEY webhook_waiting_by_key (endpoint_id, partition_key, shard, seq),
    KEY webhook_waiting_by_time (endpoint_id, is_parked, next_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- The latest attempts of each endpoint.
CREATE TABLE IF NOT EXISTS webhook_deliveries (
    delivery_id BIGINT NOT NULL AUTO_INCREMENT,
    endpoint_id BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    event_id    VARCHAR(128) CHARACTER SET ascii NOT NULL,
    event_type  VARCHAR(64) CHARACTER SET ascii NOT NULL,
    attempt     INT NOT NULL COMMENT 'from 1',
    status      INT COMMENT 'the answer''s, if one came',
    error       VARCHAR(256) NOT NULL COMMENT 'why none came, or why it counts for nothing',
    duration_ms BIGINT NOT NULL,
    PRIMARY KEY (delivery_id),
    KEY webhook_deliveries_by_endpoint (endpoint_id, delivery_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
