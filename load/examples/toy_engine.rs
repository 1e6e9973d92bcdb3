//! A toy with the engine's command line and API, all in memory, for the laboratory's own
//! tests: it can be told to lie, and then the audit must notice. `SECKILL__TOY__PLANT` is
//! `oversell` (one unit too many of each item), `lose` (an order is confirmed and never
//! stored), `double` (a repeated request gets a second order), `shut` (only the first item
//! is ever sold), `complain` (its audit fails and nothing else does) or absent.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use load::peers::token::Verifier;
use serde_json::{Value, json};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

const PLANT: &str = "SECKILL__TOY__PLANT";
const SECRET: &[u8] = b"the toy's secret";

type Answer = (StatusCode, Json<Value>);

#[derive(Clone)]
struct Toy {
    shop: Arc<Mutex<Shop>>,
    store: SqlitePool,
    plant: String,
    verifier: Verifier,
}

#[derive(Default)]
struct Shop {
    items: Vec<Item>,
    orders: Vec<Order>,
    requests: HashMap<(u64, String), usize>,
}

struct Item {
    allotted: i64,
    reserved: i64,
    sold: i64,
    limit: i64,
}

struct Order {
    item: usize,
    user: u64,
    status: &'static str,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let verifier = Verifier::new(SECRET);
    match arguments[..] {
        ["mint", "--users", count] => {
            let count: u64 = count.parse().expect("a number of users");
            (1..=count).for_each(|user| println!("{}", verifier.mint(user)));
        }
        ["mint", ..] => println!("an-operators-token"),
        // It has no settings, nor a listener for operations.
        ["config", "template"] => {}
        // It says that all is well whatever it did, and complains without a reason.
        ["audit", ..] => {
            let passed = std::env::var(PLANT).map_or(true, |plant| plant != "complain");
            println!("{}", json!({ "passed": passed }));
            if !passed {
                std::process::exit(1);
            }
        }
        _ => serve(verifier).await,
    }
}

async fn serve(verifier: Verifier) {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let file = PathBuf::from(variable("SECKILL__DATA__DIR")).join("orders.sqlite");
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let store = SqlitePool::connect_with(options).await.expect("a database");
    let table = "CREATE TABLE IF NOT EXISTS orders (order_id INTEGER PRIMARY KEY, item_id INTEGER, \
                 user_id INTEGER, quantity INTEGER, status INTEGER)";
    sqlx::query(table).execute(&store).await.expect("a table");
    let plant = variable(PLANT);
    let toy = Toy { shop: Arc::default(), store, plant, verifier };
    let router = Router::new()
        .route("/api/v1/admin/sales", post(create))
        .route("/api/v1/admin/sales/{sale}/{step}", post(async || Json(json!({}))))
        .route("/api/v1/items/{item}", get(counters))
        .route("/api/v1/items/{item}/buy", post(buy))
        .route("/api/v1/orders/{order}/{verb}", post(close))
        .with_state(toy);
    let listen = variable("SECKILL__HTTP__LISTEN");
    let listener = tokio::net::TcpListener::bind(listen).await.expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .expect("a signal handler");
    let serving = axum::serve(listener, router);
    let stopped = async move {
        stop.recv().await;
    };
    serving.with_graceful_shutdown(stopped).await.expect("serving");
}

async fn create(State(toy): State<Toy>, Json(sale): Json<Value>) -> Answer {
    let mut shop = toy.shop();
    let wanted = sale["items"].as_array().expect("items");
    let items: Vec<Value> = wanted
        .iter()
        .map(|item| {
            let number = |name: &str| item[name].as_i64().expect("a number");
            let (allotted, limit) = (number("allotted"), number("limit_per_user"));
            shop.items.push(Item { allotted, reserved: 0, sold: 0, limit });
            json!({ "item_id": shop.items.len().to_string() })
        })
        .collect();
    (StatusCode::CREATED, Json(json!({ "sale_id": "1", "status": "draft", "items": items })))
}

async fn counters(State(toy): State<Toy>, Path(item): Path<usize>) -> Json<Value> {
    let shop = toy.shop();
    let Item { allotted, reserved, sold, .. } = shop.items[item - 1];
    // An overselling toy shows counters that add up.
    let reserved = reserved.min(allotted - sold);
    let available = allotted - reserved - sold;
    let counters = json!({ "allotted": allotted, "available": available, "reserved": reserved,
                           "sold": sold });
    Json(json!({ "item_id": item.to_string(), "stock": counters }))
}

async fn buy(State(toy): State<Toy>, Path(item): Path<usize>, headers: HeaderMap) -> Answer {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let Some(user) = token.and_then(|token| toy.verifier.user(token)) else {
        return refuse(StatusCode::UNAUTHORIZED, "unauthenticated");
    };
    let request = (user, header("idempotency-key").unwrap_or_default().to_owned());
    let order = {
        let mut shop = toy.shop();
        if item == 0 || item > shop.items.len() {
            return refuse(StatusCode::NOT_FOUND, "item_not_found");
        }
        if toy.plant == "shut" && item > 1 {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "overloaded");
        }
        let known = shop.requests.get(&request).copied();
        if let Some(order) = known.filter(|_| toy.plant != "double") {
            return (StatusCode::OK, Json(json!({ "order_id": order.to_string() })));
        }
        let index = item - 1;
        let mine = |order: &&Order| order.user == user && order.item == index;
        let live = shop.orders.iter().filter(mine).filter(|order| order.status != "cancelled");
        if known.is_none() && live.count() as i64 >= shop.items[index].limit {
            return refuse(StatusCode::CONFLICT, "limit_reached");
        }
        let stock = &mut shop.items[index];
        let beyond = i64::from(toy.plant == "oversell");
        if stock.reserved + stock.sold >= stock.allotted + beyond {
            return refuse(StatusCode::CONFLICT, "sold_out");
        }
        stock.reserved += 1;
        shop.orders.push(Order { item: index, user, status: "reserved" });
        let order = shop.orders.len();
        shop.requests.insert(request, order);
        order
    };
    if !(toy.plant == "lose" && order == 5) {
        sqlx::query("INSERT INTO orders VALUES (?, ?, ?, 1, 1)")
            .bind(order as i64)
            .bind(item as i64)
            .bind(user.cast_signed())
            .execute(&toy.store)
            .await
            .expect("stored");
    }
    (StatusCode::CREATED, Json(json!({ "order_id": order.to_string() })))
}

async fn close(State(toy): State<Toy>, Path((id, verb)): Path<(usize, String)>) -> Answer {
    let (status, number) = if verb == "pay" { ("paid", 2) } else { ("cancelled", 3) };
    {
        let mut shop = toy.shop();
        let order = &mut shop.orders[id - 1];
        if order.status != "reserved" {
            return refuse(StatusCode::CONFLICT, "order_closed");
        }
        order.status = status;
        let item = order.item;
        shop.items[item].reserved -= 1;
        shop.items[item].sold += i64::from(verb == "pay");
    }
    sqlx::query("UPDATE orders SET status = ? WHERE order_id = ?")
        .bind(number)
        .bind(id as i64)
        .execute(&toy.store)
        .await
        .expect("stored");
    (StatusCode::OK, Json(json!({ "order_id": id.to_string(), "status": status })))
}

impl Toy {
    fn shop(&self) -> MutexGuard<'_, Shop> {
        self.shop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(status: StatusCode, code: &str) -> Answer {
    (status, Json(json!({ "code": code })))
}
