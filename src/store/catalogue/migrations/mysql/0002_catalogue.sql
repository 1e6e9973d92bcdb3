-- What operators sell. Times are milliseconds since 1970, money is in minor units.
CREATE TABLE IF NOT EXISTS sales (
    sale_id      BIGINT NOT NULL AUTO_INCREMENT,
    title        VARCHAR(200) NOT NULL,
    starts_at    BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,
    status       BIGINT NOT NULL
        COMMENT '1 draft, 2 submitted, 3 rejected, 4 approved, 5 preheated, 6 ended, 7 settled',
    revision     BIGINT NOT NULL COMMENT 'grows with every change',
    created_by   VARCHAR(64) NOT NULL,
    created_at   BIGINT NOT NULL,
    edited_by    VARCHAR(64) NOT NULL,
    submitted_by VARCHAR(64),
    submitted_at BIGINT,
    approved_by  VARCHAR(64),
    approved_at  BIGINT,
    changed_at   BIGINT NOT NULL,
    PRIMARY KEY (sale_id),
    KEY sales_by_status (status, sale_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS sale_items (
    item_id                     BIGINT NOT NULL AUTO_INCREMENT,
    sale_id                     BIGINT NOT NULL,
    position                    BIGINT NOT NULL COMMENT 'order of display, from 0',
    product_id                  VARCHAR(64) NOT NULL,
    title                       VARCHAR(200) NOT NULL,
    price                       BIGINT NOT NULL,
    list_price                  BIGINT,
    currency                    CHAR(3) CHARACTER SET ascii NOT NULL,
    allotted                    BIGINT NOT NULL,
    limit_per_user              BIGINT NOT NULL,
    payment_window_milliseconds BIGINT NOT NULL,
    PRIMARY KEY (item_id),
    KEY sale_items_by_sale (sale_id, position),
    FOREIGN KEY (sale_id) REFERENCES sales (sale_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Registered buyers. Their numbers begin far above those of tokens minted for tests and demos.
CREATE TABLE IF NOT EXISTS users (
    user_id       BIGINT NOT NULL AUTO_INCREMENT,
    name          VARCHAR(64) NOT NULL,
    name_key      VARBINARY(512) NOT NULL COMMENT 'the name in lower case, UTF-8',
    password_hash VARCHAR(512) CHARACTER SET ascii NOT NULL COMMENT 'PHC string',
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (user_id),
    UNIQUE KEY users_name (name_key)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 AUTO_INCREMENT = 1000000000000;

-- What operators did.
CREATE TABLE IF NOT EXISTS operator_log (
    entry_id BIGINT NOT NULL AUTO_INCREMENT,
    at       BIGINT NOT NULL,
    actor    VARCHAR(64) NOT NULL,
    action   VARCHAR(64) NOT NULL,
    subject  VARCHAR(128) NOT NULL,
    detail   TEXT NOT NULL COMMENT 'JSON',
    PRIMARY KEY (entry_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
