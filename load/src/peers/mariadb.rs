//! The peer that needs nothing but the database: a transaction inserts the order, whose
//! unique key refuses a second one, and takes a unit under the item's row lock. The
//! insert comes first, so that the lock is held only from the update to the commit.
//!
//! Promises: with `innodb_flush_log_at_trx_commit=1`, as it is run here, what was
//! confirmed survives a crash, and the order is in the database when the buyer hears of
//! it. Paying, cancelling and expiring are not part of it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use sqlx::MySqlPool;
use sqlx::mysql::MySqlPoolOptions;

use super::answer::{
    Decision, NewSale, Refusal, bearer, failed, next_order, one_unit, request_id, respond,
};
use super::token::Verifier;
use crate::{Error, Result};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS peer_stock (item_id BIGINT UNSIGNED PRIMARY KEY, \
     available BIGINT NOT NULL, reserved BIGINT NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS peer_orders (order_id BIGINT UNSIGNED PRIMARY KEY, \
     item_id BIGINT UNSIGNED NOT NULL, user_id BIGINT UNSIGNED NOT NULL, \
     request_id VARCHAR(64) NOT NULL, UNIQUE KEY one_each (item_id, user_id)) ENGINE=InnoDB",
];

struct Shop {
    pool: MySqlPool,
    verifier: Verifier,
}

pub async fn router(url: &str, connections: u32, verifier: Verifier) -> Result<Router> {
    let unusable = |error: sqlx::Error| Error::Server(format!("{url}: {error}"));
    let pool = MySqlPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        // A pooled connection to the same machine need not be asked whether it lives.
        .test_before_acquire(false)
        .connect(url)
        .await
        .map_err(unusable)?;
    for table in TABLES {
        sqlx::query(table).execute(&pool).await.map_err(unusable)?;
    }
    Ok(Router::new()
        .route("/api/v1/items/{item}/buy", post(buy))
        .route("/peer/sale", post(new_sale))
        .with_state(Arc::new(Shop { pool, verifier })))
}

async fn buy(
    State(shop): State<Arc<Shop>>,
    Path(item): Path<u64>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let checked = bearer(&headers).and_then(|token| {
        one_unit(&body)?;
        shop.verifier.user(token).ok_or(Refusal::Unauthenticated)
    });
    let user = match checked {
        Ok(user) => user,
        Err(refusal) => return refusal.into_response(),
    };
    match decide(&shop.pool, item, user, request_id(&headers)).await {
        Ok(decision) => respond(decision, item),
        Err(error) => failed(&error),
    }
}

async fn decide(
    pool: &MySqlPool,
    item: u64,
    user: u64,
    request: &str,
) -> std::result::Result<Decision, sqlx::Error> {
    let order = next_order();
    let mut transaction = pool.begin().await?;
    let inserted = sqlx::query(
        "INSERT INTO peer_orders (order_id, item_id, user_id, request_id) VALUES (?, ?, ?, ?)",
    )
    .bind(order)
    .bind(item)
    .bind(user)
    .bind(request)
    .execute(&mut *transaction)
    .await;
    match inserted {
        Ok(_) => {}
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            transaction.rollback().await?;
            return known(pool, item, user, request).await;
        }
        Err(error) => return Err(error),
    }
    let taken = sqlx::query(
        "UPDATE peer_stock SET available = available - 1, reserved = reserved + 1 \
         WHERE item_id = ? AND available > 0",
    )
    .bind(item)
    .execute(&mut *transaction)
    .await?;
    if taken.rows_affected() == 0 {
        transaction.rollback().await?;
        let item = sqlx::query("SELECT 1 FROM peer_stock WHERE item_id = ?").bind(item);
        let exists = item.fetch_optional(pool).await?.is_some();
        return Ok(if exists { Decision::SoldOut } else { Decision::ItemNotFound });
    }
    transaction.commit().await?;
    Ok(Decision::Reserved(order))
}

/// This user has an order for this item: of the same request, or of another.
async fn known(
    pool: &MySqlPool,
    item: u64,
    user: u64,
    request: &str,
) -> std::result::Result<Decision, sqlx::Error> {
    let found: Option<(u64, String)> = sqlx::query_as(
        "SELECT order_id, request_id FROM peer_orders WHERE item_id = ? AND user_id = ?",
    )
    .bind(item)
    .bind(user)
    .fetch_optional(pool)
    .await?;
    Ok(match found {
        Some((order, by)) if by == request => Decision::Replayed(order),
        _ => Decision::LimitReached,
    })
}

async fn new_sale(State(shop): State<Arc<Shop>>, Json(sale): Json<NewSale>) -> Response {
    let fill = async {
        for table in ["TRUNCATE TABLE peer_orders", "TRUNCATE TABLE peer_stock"] {
            sqlx::query(table).execute(&shop.pool).await?;
        }
        for item in &sale.items {
            sqlx::query("INSERT INTO peer_stock VALUES (?, ?, 0)")
                .bind(item)
                .bind(sale.allotted)
                .execute(&shop.pool)
                .await?;
        }
        Ok::<_, sqlx::Error>(())
    };
    match fill.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}
