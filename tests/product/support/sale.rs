//! An approved sale and the people in it.

use super::server::Server;
use harness::http::{Answer, Client};
use serde_json::{Value, json};

/// What an item offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Units on sale.
    pub allotted: u32,
    /// Units one buyer may hold.
    pub limit: u16,
    /// Seconds an order may stay unpaid.
    pub window_seconds: u32,
}

/// A sale that is on, with tokens for everyone in it.
pub struct OpenSale {
    /// The items' identities, in the order of the offers.
    pub items: Vec<u64>,
    /// Buyers' tokens; buyer 0 is user 1.
    pub tokens: Vec<String>,
    /// An operator's token.
    pub operator: String,
    /// An approver's token.
    pub approver: String,
}

impl OpenSale {
    /// Creates, submits and approves a sale that is on, of items of so many buckets each.
    pub async fn open(
        server: &Server,
        tokens: Vec<String>,
        operator: String,
        approver: String,
        offers: &[Offer],
        buckets: u8,
    ) -> Self {
        let items: Vec<Value> = offers
            .iter()
            .enumerate()
            .map(|(index, offer)| {
                json!({
                    "product_id": format!("product-{index}"), "title": "Drill", "price": 100 + index,
                    "currency": "EUR", "allotted": offer.allotted, "limit_per_user": offer.limit,
                    "payment_window_seconds": offer.window_seconds, "buckets": buckets,
                })
            })
            .collect();
        let sale = json!({
            "title": "Drill", "starts_at": "2020-01-01T00:00:00Z",
            "ends_at": "2100-01-01T00:00:00Z", "items": items,
        });
        let mut client = server.client().await;
        let created = post(&mut client, "/api/v1/admin/sales", &operator, &sale.to_string()).await;
        assert_eq!(created.status, 201, "{}", created.text());
        let sale = created.id("sale_id");
        let id = |item: &Value| item["item_id"].as_str().and_then(|text| text.parse().ok());
        let made = created.json();
        let items = made["items"].as_array().expect("items").iter().map(id);
        let items = items.collect::<Option<_>>().expect("identities");
        for (step, token) in [("submit", &operator), ("approve", &approver)] {
            let path = format!("/api/v1/admin/sales/{sale}/{step}");
            let answer = post(&mut client, &path, token, "").await;
            assert_eq!(answer.status, 200, "{step}: {}", answer.text());
        }
        Self { items, tokens, operator, approver }
    }

    /// One purchase of one unit.
    pub async fn buy(
        &self,
        client: &mut Client,
        item: u64,
        buyer: usize,
        key: &str,
    ) -> std::io::Result<Answer> {
        let path = format!("/api/v1/items/{item}/buy");
        let key = [("idempotency-key", key)];
        client.send("POST", &path, &self.tokens[buyer], &key, "").await
    }

    /// A step of an order: `pay` or `cancel`.
    pub async fn step(
        &self,
        client: &mut Client,
        order: u64,
        buyer: usize,
        step: &str,
    ) -> std::io::Result<Answer> {
        let path = format!("/api/v1/orders/{order}/{step}");
        client.send("POST", &path, &self.tokens[buyer], &[], "").await
    }

    /// An order as its buyer sees it.
    pub async fn order(
        &self,
        client: &mut Client,
        order: u64,
        buyer: usize,
    ) -> std::io::Result<Answer> {
        let path = format!("/api/v1/orders/{order}");
        client.send("GET", &path, &self.tokens[buyer], &[], "").await
    }

    /// An item's counters: allotted, available, reserved, sold.
    pub async fn counters(&self, client: &mut Client, item: u64) -> [u64; 4] {
        let path = format!("/api/v1/items/{item}");
        let answer = client.send("GET", &path, "", &[], "").await.expect("it answers");
        let json = answer.json();
        ["allotted", "available", "reserved", "sold"]
            .map(|name| json["counters"][name].as_u64().unwrap_or_else(|| panic!("{json}")))
    }
}

async fn post(client: &mut Client, path: &str, token: &str, body: &str) -> Answer {
    client.send("POST", path, token, &[], body).await.expect("it answers")
}
