//! The peer most flash-sale tutorials end with: stock in Redis, one Lua script that
//! checks, removes duplicates, decrements and locks. Several multiplexed connections
//! with TCP_NODELAY, script called by its digest.
//!
//! Promises: a purchase is atomic. What a crash forgets depends on the append-only file:
//! off, everything since the last snapshot; `everysec`, up to a second of confirmed
//! orders; `always`, nothing. Orders are in Redis only: getting them into a database,
//! paying, cancelling and expiring are not part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use redis::aio::ConnectionManager;
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands, IntoConnectionInfo, Script};

use super::answer::{
    Decision, NewSale, Refusal, bearer, failed, next_order, one_unit, request_id, respond,
};
use super::token::Verifier;
use crate::{Error, Result};

/// KEYS: the item's counters, the item's buyers. ARGV: user, order id, request id.
/// Answers the decision's number and, for 0 and 1, an order id.
const BUY: &str = r"
local available = redis.call('HGET', KEYS[1], 'available')
if not available then return {4, ''} end
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then
  local order, request = string.match(known, '^(%d+) (.*)$')
  if request == ARGV[3] then return {1, order} end
  return {3, ''}
end
if tonumber(available) <= 0 then return {2, ''} end
redis.call('HINCRBY', KEYS[1], 'available', -1)
redis.call('HINCRBY', KEYS[1], 'reserved', 1)
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return {0, ARGV[2]}
";

struct Shop {
    connections: Vec<ConnectionManager>,
    turn: AtomicUsize,
    script: Script,
    verifier: Verifier,
}

pub async fn router(url: &str, connections: usize, verifier: Verifier) -> Result<Router> {
    let unusable = |error: redis::RedisError| Error::Server(format!("{url}: {error}"));
    let info = url.into_connection_info().map_err(unusable)?;
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = redis::Client::open(info).map_err(unusable)?;
    let mut managers = Vec::with_capacity(connections);
    for _ in 0..connections.max(1) {
        managers.push(ConnectionManager::new(client.clone()).await.map_err(unusable)?);
    }
    let shop = Shop {
        connections: managers,
        turn: AtomicUsize::new(0),
        script: Script::new(BUY),
        verifier,
    };
    Ok(Router::new()
        .route("/api/v1/items/{item}/buy", post(buy))
        .route("/peer/sale", post(new_sale))
        .with_state(Arc::new(shop)))
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
    let mut call = shop.script.key(stock_key(item));
    call.key(buyers_key(item)).arg(user).arg(next_order()).arg(request_id(&headers));
    match call.invoke_async::<(u8, String)>(&mut shop.connection()).await {
        Ok((decision, order)) => {
            let order = order.parse().unwrap_or(0);
            let decision = match decision {
                0 => Decision::Reserved(order),
                1 => Decision::Replayed(order),
                2 => Decision::SoldOut,
                3 => Decision::LimitReached,
                _ => Decision::ItemNotFound,
            };
            respond(decision, item)
        }
        Err(error) => failed(&error),
    }
}

impl Shop {
    fn connection(&self) -> ConnectionManager {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.connections[turn % self.connections.len()].clone()
    }
}

async fn new_sale(State(shop): State<Arc<Shop>>, Json(sale): Json<NewSale>) -> Response {
    let mut connection = shop.connection();
    let fill = async {
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await?;
        for item in &sale.items {
            let counters = [("available", sale.allotted), ("reserved", 0)];
            let _: () = connection.hset_multiple(stock_key(*item), &counters).await?;
        }
        Ok::<_, redis::RedisError>(())
    };
    match fill.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

fn stock_key(item: u64) -> String {
    format!("item:{{{item}}}:stock")
}

fn buyers_key(item: u64) -> String {
    format!("item:{{{item}}}:buyers")
}
