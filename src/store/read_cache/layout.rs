//! Where the read side lies in Redis: the course's keys (§66), readable by its own tools.
//!
//! ```text
//! seckill::{date}::rounds               list    the day's sales, by id, in order of display
//! seckill::{date}::sales                string  the whole day as one JSON document
//! seckill::round::{sale}::info          hash    title, status, starts_at, ends_at (ms since 1970)
//! seckill::round::{sale}::products      list    its products, by id, in order of display
//! seckill::{sale}::{product}::info      hash    item_id, title, price, list_price, currency,
//!                                               amount, limit_per_user, payment_window_seconds
//! ```
//!
//! A sale's keys are replaced in one transaction. A read that finds a part missing, because it ended
//! or was evicted, takes nothing. All keys end by themselves.

use super::{CachedItem, CachedSale, Day};
use crate::domain::{Currency, SaleId, Timestamp};
use crate::store::redis_connection::{RedisConnection, RedisFailure};
use redis::pipe;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How long the whole-day document lives, in seconds: about ten minutes, each time another, so that
/// documents that were filled together do not end together.
const DOCUMENT_LIFE_SECONDS: RangeInclusive<i64> = 480..=720;
/// How long all else lives: about a day.
const LIFE_SECONDS: RangeInclusive<i64> = 82_800..=90_000;

type Fields = HashMap<String, String>;

fn rounds_key(day: Day) -> String {
    format!("seckill::{day}::rounds")
}

fn document_key(day: Day) -> String {
    format!("seckill::{day}::sales")
}

fn sale_key(sale_id: SaleId) -> String {
    format!("seckill::round::{sale_id}::info")
}

fn products_key(sale_id: SaleId) -> String {
    format!("seckill::round::{sale_id}::products")
}

fn product_key(sale_id: SaleId, product_id: &str) -> String {
    format!("seckill::{sale_id}::{product_id}::info")
}

pub(super) async fn get_day(
    redis: &RedisConnection,
    day: Day,
) -> Result<Option<Vec<CachedSale>>, RedisFailure> {
    let mut pipeline = pipe();
    pipeline.get(document_key(day));
    let (document,): (Option<Vec<u8>>,) = redis.run(&pipeline).await?;
    // A document of another version is as good as none.
    Ok(document.and_then(|document| serde_json::from_slice(&document).ok()))
}

pub(super) async fn put_day(
    redis: &RedisConnection,
    day: Day,
    sales: &[CachedSale],
) -> Result<(), RedisFailure> {
    let document =
        serde_json::to_vec(sales).map_err(|error| RedisFailure::Unexpected(error.to_string()))?;
    let mut pipeline = pipe();
    pipeline.atomic().del(rounds_key(day)).ignore();
    if !sales.is_empty() {
        let ids: Vec<u64> = sales.iter().map(|sale| sale.sale_id.0).collect();
        pipeline.rpush(rounds_key(day), ids).ignore();
        pipeline.expire(rounds_key(day), rand::random_range(LIFE_SECONDS)).ignore();
    }
    let life = rand::random_range(DOCUMENT_LIFE_SECONDS);
    pipeline.cmd("SET").arg(document_key(day)).arg(document).arg("EX").arg(life).ignore();
    redis.run(&pipeline).await
}

pub(super) async fn get_sale(
    redis: &RedisConnection,
    sale_id: SaleId,
) -> Result<Option<CachedSale>, RedisFailure> {
    let mut pipeline = pipe();
    pipeline.atomic().hgetall(sale_key(sale_id)).lrange(products_key(sale_id), 0, -1);
    let (sale, product_ids): (Fields, Vec<String>) = redis.run(&pipeline).await?;
    if sale.is_empty() {
        return Ok(None);
    }
    let mut items = Vec::with_capacity(product_ids.len());
    if !product_ids.is_empty() {
        let mut pipeline = pipe();
        for product_id in &product_ids {
            pipeline.hgetall(product_key(sale_id, product_id));
        }
        let products: Vec<Fields> = redis.run(&pipeline).await?;
        for (product_id, fields) in product_ids.into_iter().zip(products) {
            let Some(item) = item(product_id, &fields) else { return Ok(None) };
            items.push(item);
        }
    }
    Ok(self::sale(sale_id, &sale, items))
}

pub(super) async fn put_sale(
    redis: &RedisConnection,
    sale: &CachedSale,
) -> Result<(), RedisFailure> {
    let life = rand::random_range(LIFE_SECONDS);
    let sale_id = sale.sale_id;
    let mut pipeline = pipe();
    pipeline.atomic();
    let mut put = |key: String, fields: &[(&str, String)]| {
        pipeline.del(&key).ignore();
        pipeline.hset_multiple(&key, fields).ignore();
        pipeline.expire(&key, life).ignore();
    };
    put(
        sale_key(sale_id),
        &[
            ("title", sale.title.clone()),
            ("status", sale.status.clone()),
            ("starts_at", sale.starts_at.0.to_string()),
            ("ends_at", sale.ends_at.0.to_string()),
            // Tells a sale without items from one whose list was lost.
            ("products", sale.items.len().to_string()),
        ],
    );
    for item in &sale.items {
        let mut fields = vec![
            ("item_id", item.item_id.to_string()),
            ("title", item.title.clone()),
            ("price", item.price.to_string()),
            ("currency", item.currency.to_string()),
            ("amount", item.allotted.to_string()),
            ("limit_per_user", item.limit_per_user.to_string()),
            ("payment_window_seconds", item.payment_window_seconds.to_string()),
        ];
        fields.extend(item.list_price.map(|price| ("list_price", price.to_string())));
        put(product_key(sale_id, &item.product_id), &fields);
    }
    let products = products_key(sale_id);
    pipeline.del(&products).ignore();
    if !sale.items.is_empty() {
        let ids: Vec<&str> = sale.items.iter().map(|item| item.product_id.as_str()).collect();
        pipeline.rpush(&products, ids).ignore();
        pipeline.expire(&products, life).ignore();
    }
    redis.run(&pipeline).await
}

pub(super) async fn forget_sale(
    redis: &RedisConnection,
    sale_id: SaleId,
    days: &[Day],
) -> Result<(), RedisFailure> {
    let mut pipeline = pipe();
    pipeline.atomic().unlink(sale_key(sale_id)).ignore().unlink(products_key(sale_id)).ignore();
    for day in days {
        pipeline.unlink(rounds_key(*day)).ignore().unlink(document_key(*day)).ignore();
    }
    redis.run(&pipeline).await
}

fn sale(sale_id: SaleId, fields: &Fields, items: Vec<CachedItem>) -> Option<CachedSale> {
    if parsed::<usize>(fields, "products")? != items.len() {
        return None;
    }
    Some(CachedSale {
        sale_id,
        title: fields.get("title")?.clone(),
        status: fields.get("status")?.clone(),
        starts_at: Timestamp(parsed(fields, "starts_at")?),
        ends_at: Timestamp(parsed(fields, "ends_at")?),
        items,
    })
}

fn item(product_id: String, fields: &Fields) -> Option<CachedItem> {
    let list_price = match fields.get("list_price") {
        Some(price) => Some(price.parse().ok()?),
        None => None,
    };
    Some(CachedItem {
        item_id: parsed(fields, "item_id")?,
        product_id,
        title: fields.get("title")?.clone(),
        price: parsed(fields, "price")?,
        list_price,
        currency: Currency::parse(fields.get("currency")?)?,
        allotted: parsed(fields, "amount")?,
        limit_per_user: parsed(fields, "limit_per_user")?,
        payment_window_seconds: parsed(fields, "payment_window_seconds")?,
    })
}

fn parsed<Value: FromStr>(fields: &Fields, name: &str) -> Option<Value> {
    fields.get(name)?.parse().ok()
}

/// Identities in JSON: decimal strings.
pub(super) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::fmt::Display;
    use std::str::FromStr;

    pub fn serialize<Id: Display, To: Serializer>(id: &Id, to: To) -> Result<To::Ok, To::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, Id, From>(from: From) -> Result<Id, From::Error>
    where
        Id: FromStr<Err: Display>,
        From: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Instants in JSON: milliseconds since 1970.
pub(super) mod milliseconds {
    use crate::domain::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<To: Serializer>(at: &Timestamp, to: To) -> Result<To::Ok, To::Error> {
        to.serialize_u64(at.0)
    }

    pub fn deserialize<'de, From: Deserializer<'de>>(from: From) -> Result<Timestamp, From::Error> {
        u64::deserialize(from).map(Timestamp)
    }
}

/// Currencies in JSON: their codes.
pub(super) mod currency {
    use crate::domain::Currency;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<To: Serializer>(currency: &Currency, to: To) -> Result<To::Ok, To::Error> {
        to.serialize_str(currency.as_str())
    }

    pub fn deserialize<'de, From: Deserializer<'de>>(from: From) -> Result<Currency, From::Error> {
        let code = String::deserialize(from)?;
        Currency::parse(&code).ok_or_else(|| de::Error::custom("not a currency code"))
    }
}
