//! The read cache's keys and values in Redis, readable by other programs too.
//!
//! ```text
//! seckill::{date}::rounds               list    the day's sales, by id, in order of display
//! seckill::{date}::sales                string  the whole day as one JSON document
//! seckill::round::{sale}::info          hash    title, status, starts_at, ends_at (ms since 1970),
//!                                               products (how many), generation
//! seckill::round::{sale}::products      list    its products, by id, in order of display
//! seckill::{sale}::{product}::info      hash    item_id, title, price, list_price, currency, amount,
//!                                               limit_per_user, payment_window_ms, generation
//! ```
//!
//! A sale's keys are replaced in one transaction. A read that finds a part of another generation, or
//! misses a part because it expired or was evicted, is a miss as a whole. All keys expire. The engine
//! reads all but `rounds`, which is there for other programs: the document holds the same.

use super::document::Document;
use super::generation::Generation;
use crate::store::redis_connection::{RedisConnection, RedisFailure};
use domain::catalogue::{Day, PublicItem, PublicSale, SaleList};
use domain::{Admission, Currency, SaleId, SaleStatus, Timestamp};
use redis::{Pipeline, pipe};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How long a key lives: at most as long as a change of unknown outcome may go unseen, and a random
/// time, so that keys that were filled together do not expire together.
pub(super) const LIFE_SECONDS: RangeInclusive<i64> = 30..=60;

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
    generation: Generation,
) -> Result<Option<SaleList>, RedisFailure> {
    let mut pipeline = pipe();
    pipeline.get(document_key(day));
    let (document,): (Option<Vec<u8>>,) = redis.run(&pipeline).await?;
    // A document of another version is a miss.
    Ok(document.and_then(|document| Document::read(&document)?.into_day(generation.0)))
}

pub(super) async fn put_day(
    redis: &RedisConnection,
    day: Day,
    sales: &SaleList,
    generation: Generation,
) -> Result<(), RedisFailure> {
    let document = serde_json::to_vec(&Document::new(generation.0, sales))
        .map_err(|error| RedisFailure::Unexpected(error.to_string()))?;
    let life = rand::random_range(LIFE_SECONDS);
    let mut pipeline = pipe();
    pipeline.atomic();
    put_list(&mut pipeline, &rounds_key(day), life, sales.sales.iter().map(|sale| sale.sale_id.0));
    pipeline.cmd("SET").arg(document_key(day)).arg(document).arg("EX").arg(life).ignore();
    redis.run(&pipeline).await
}

pub(super) async fn get_sale(
    redis: &RedisConnection,
    sale_id: SaleId,
    generation: Generation,
) -> Result<Option<PublicSale>, RedisFailure> {
    let mut pipeline = pipe();
    pipeline.atomic().hgetall(sale_key(sale_id)).lrange(products_key(sale_id), 0, -1);
    let (sale, product_ids): (Fields, Vec<String>) = redis.run(&pipeline).await?;
    if !is_of(&sale, generation) {
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
            let item = is_of(&fields, generation).then(|| item(product_id, &fields)).flatten();
            let Some(item) = item else { return Ok(None) };
            items.push(item);
        }
    }
    Ok(self::sale(sale_id, &sale, items))
}

pub(super) async fn put_sale(
    redis: &RedisConnection,
    sale: &PublicSale,
    generation: Generation,
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
            ("status", sale.status.name().to_owned()),
            ("starts_at", sale.starts_at.0.to_string()),
            ("ends_at", sale.ends_at.0.to_string()),
            // Tells a sale without items from one whose list was lost.
            ("products", sale.items.len().to_string()),
            ("generation", generation.0.to_string()),
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
            ("payment_window_ms", item.payment_window_milliseconds.to_string()),
            ("admission", item.admission.number().to_string()),
            ("generation", generation.0.to_string()),
        ];
        fields.extend(item.list_price.map(|price| ("list_price", price.to_string())));
        fields.extend(item.description.clone().map(|text| ("description", text)));
        fields.extend(item.picture.map(|picture| ("picture", picture.to_string())));
        put(product_key(sale_id, &item.product_id), &fields);
    }
    let product_ids = sale.items.iter().map(|item| item.product_id.as_str());
    put_list(&mut pipeline, &products_key(sale_id), life, product_ids);
    redis.run(&pipeline).await
}

/// Replaces a list. An empty one is deleted, because Redis has no empty lists.
fn put_list<Entry: redis::ToRedisArgs + redis::ToSingleRedisArg>(
    pipeline: &mut Pipeline,
    key: &str,
    life_seconds: i64,
    entries: impl Iterator<Item = Entry>,
) {
    pipeline.del(key).ignore();
    let entries: Vec<Entry> = entries.collect();
    if !entries.is_empty() {
        pipeline.rpush(key, entries).ignore();
        pipeline.expire(key, life_seconds).ignore();
    }
}

fn is_of(fields: &Fields, generation: Generation) -> bool {
    parsed(fields, "generation") == Some(generation.0)
}

fn sale(sale_id: SaleId, fields: &Fields, items: Vec<PublicItem>) -> Option<PublicSale> {
    if parsed::<usize>(fields, "products")? != items.len() {
        return None;
    }
    Some(PublicSale {
        sale_id,
        title: fields.get("title")?.clone(),
        status: SaleStatus::from_name(fields.get("status")?)?,
        starts_at: Timestamp(parsed(fields, "starts_at")?),
        ends_at: Timestamp(parsed(fields, "ends_at")?),
        items,
    })
}

fn item(product_id: String, fields: &Fields) -> Option<PublicItem> {
    Some(PublicItem {
        item_id: parsed(fields, "item_id")?,
        product_id,
        title: fields.get("title")?.clone(),
        price: parsed(fields, "price")?,
        list_price: optional(fields, "list_price")?,
        currency: Currency::parse(fields.get("currency")?)?,
        allotted: parsed(fields, "amount")?,
        limit_per_user: parsed(fields, "limit_per_user")?,
        payment_window_milliseconds: parsed(fields, "payment_window_ms")?,
        description: fields.get("description").cloned(),
        picture: optional(fields, "picture")?,
        admission: Admission::from_number(parsed(fields, "admission")?)?,
    })
}

/// The value of a field that need not be there; none if it is there and not of its form.
#[expect(clippy::option_option, reason = "a field that is absent is no fault")]
fn optional<Value: FromStr>(fields: &Fields, name: &str) -> Option<Option<Value>> {
    fields.get(name).map(|text| text.parse()).transpose().ok()
}

fn parsed<Value: FromStr>(fields: &Fields, name: &str) -> Option<Value> {
    fields.get(name)?.parse().ok()
}
