//! A sale as an operator writes it, from JSON to a draft that can be stored.
//!
//! Types are judged here and ranges by the draft itself, so that all that is wrong is said at once.

use crate::http::body::Fields;
use crate::http::error::{FieldError, Problem};
use crate::http::timestamp;
use crate::sales::CatalogueError;
use domain::catalogue::{Offer, SaleDraft};
use domain::sale::{
    ALLOTTED_MAX, LIMIT_PER_USER_MAX, PAYMENT_WINDOW_MILLISECONDS_MAX, PRICE_MAX,
    PRODUCT_ID_LENGTH_MAX,
};
use domain::{Currency, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use utoipa::ToSchema;

const TITLE_CHARACTERS_MAX: usize = 200;
const LIMIT_PER_USER_DEFAULT: u16 = 1;
const PAYMENT_WINDOW_SECONDS_DEFAULT: u64 = 600;

/// A sale to be made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaleRequest {
    /// What it is called.
    #[schema(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9 ]{1,200}$")]
    pub title: String,
    /// First instant at which a purchase can succeed.
    #[schema(format = DateTime)]
    pub starts_at: String,
    /// First instant at which none can any more: after `starts_at` and not past.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// What is offered, in the order of display; each product once.
    #[schema(min_items = 1, max_items = 200)]
    pub items: Vec<OfferRequest>,
}

/// What is offered of one product.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferRequest {
    /// The product: letters, digits, `_` and `-`; a non-negative integer is taken as its decimal
    /// text.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub product_id: String,
    /// What it is called.
    #[schema(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9 ]{1,200}$")]
    pub title: String,
    /// Price of one unit in minor units of `currency`.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    pub price: u64,
    /// What one unit costs otherwise; not below `price`.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    pub list_price: Option<u64>,
    /// ISO 4217 code.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// Units on sale at the start.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub allotted: u32,
    /// Units that one buyer may hold.
    #[schema(minimum = 1, maximum = 10_000, default = 1)]
    pub limit_per_user: Option<u16>,
    /// How long an order may stay unpaid.
    #[schema(minimum = 1, maximum = 2_592_000, default = 600)]
    pub payment_window_seconds: Option<u64>,
}

/// The draft in `body`.
///
/// # Errors
/// With all that is wrong with it.
pub fn read(body: Map<String, Value>, now: Timestamp) -> Result<SaleDraft, Problem> {
    let mut errors = Vec::new();
    let draft = read_sale(body, now, &mut errors);
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    let problems = draft.problems();
    if problems.is_empty() {
        return Ok(draft);
    }
    Err(CatalogueError::Invalid(problems).into())
}

/// The draft with stand-ins for what is wrong, which `errors` names.
fn read_sale(body: Map<String, Value>, now: Timestamp, errors: &mut Vec<FieldError>) -> SaleDraft {
    let mut fields = Fields::new(body, "", errors);
    let title = fields.text("title", TITLE_CHARACTERS_MAX).unwrap_or_default();
    let starts_at = instant(&mut fields, "starts_at");
    let ends_at = instant(&mut fields, "ends_at");
    if let (Some(starts_at), Some(ends_at)) = (starts_at, ends_at) {
        if ends_at <= starts_at {
            fields.wrong("ends_at", "must be after starts_at");
        } else if ends_at <= now {
            fields.wrong("ends_at", "must not be past");
        }
    }
    let offers = fields.take_required("items");
    if !matches!(offers, None | Some(Value::Array(_))) {
        fields.wrong("items", "must be an array");
    }
    fields.finish();
    let mut items = Vec::new();
    if let Some(Value::Array(offers)) = offers {
        for (position, offer) in offers.into_iter().enumerate() {
            let pointer = format!("/items/{position}");
            match offer {
                Value::Object(offer) => items.push(read_offer(offer, pointer, errors)),
                _ => errors.push(FieldError::new(pointer, "must be an object")),
            }
        }
    }
    SaleDraft {
        title,
        starts_at: starts_at.unwrap_or_default(),
        ends_at: ends_at.unwrap_or_default(),
        items,
    }
}

fn read_offer(offer: Map<String, Value>, pointer: String, errors: &mut Vec<FieldError>) -> Offer {
    const PRICE: RangeInclusive<u64> = 0..=PRICE_MAX;
    let mut fields = Fields::new(offer, pointer, errors);
    let product_id = product_id(&mut fields);
    let title = fields.text("title", TITLE_CHARACTERS_MAX).unwrap_or_default();
    let price = fields.integer("price", PRICE).unwrap_or_default();
    let list_price = fields.optional_integer("list_price", PRICE).flatten();
    let currency = currency(&mut fields);
    let allotted = fields
        .integer("allotted", 1..=u64::from(ALLOTTED_MAX))
        .and_then(|units| u32::try_from(units).ok())
        .unwrap_or(1);
    let limit_per_user = fields
        .optional_integer("limit_per_user", 1..=u64::from(LIMIT_PER_USER_MAX))
        .flatten()
        .and_then(|units| u16::try_from(units).ok())
        .unwrap_or(LIMIT_PER_USER_DEFAULT);
    let seconds_max = PAYMENT_WINDOW_MILLISECONDS_MAX / 1000;
    let payment_window_seconds = fields
        .optional_integer("payment_window_seconds", 1..=seconds_max)
        .flatten()
        .unwrap_or(PAYMENT_WINDOW_SECONDS_DEFAULT);
    fields.finish();
    Offer {
        product_id,
        title,
        price,
        list_price,
        currency,
        allotted,
        limit_per_user,
        payment_window_milliseconds: payment_window_seconds * 1000,
    }
}

fn instant(fields: &mut Fields<'_>, name: &str) -> Option<Timestamp> {
    let value = fields.take_required(name)?;
    let at = value.as_str().and_then(timestamp::parse);
    if at.is_none() {
        fields.wrong(name, "must be an RFC 3339 date and time such as 2026-11-21T12:00:00Z");
    }
    at
}

fn product_id(fields: &mut Fields<'_>) -> String {
    let product_id = match fields.take_required("product_id") {
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) if number.is_u64() => number.to_string(),
        Some(_) => {
            fields.wrong("product_id", "must be a string");
            return String::new();
        }
        None => return String::new(),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=PRODUCT_ID_LENGTH_MAX).contains(&product_id.len()) || !product_id.bytes().all(allowed)
    {
        fields.wrong("product_id", "must have 1 to 64 letters, digits, _ or -");
    }
    product_id
}

fn currency(fields: &mut Fields<'_>) -> Currency {
    let given = fields.take_required("currency");
    let currency = given.as_ref().and_then(Value::as_str).and_then(Currency::parse);
    if given.is_some() && currency.is_none() {
        fields.wrong("currency", "must be an ISO 4217 code: three capital letters");
    }
    currency.or_else(|| Currency::parse("XXX")).expect("XXX is the code for no currency")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn sale() -> Value {
        json!({
            "title": "Noon",
            "starts_at": "2026-11-21T12:00:00Z",
            "ends_at": "2026-11-21T13:00:00+01:00",
            "items": [{
                "product_id": "p-1", "title": "Pear", "price": 100, "currency": "EUR",
                "allotted": 10,
            }],
        })
    }

    /// Sets the value at `pointer` (removes it where that is null) and lists what is wrong then.
    fn wrong_with(pointer: &str, value: Value) -> Vec<String> {
        let mut sale = sale();
        sale["ends_at"] = json!("2026-11-21T14:00:00Z");
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = sale.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value);
        }
        let Value::Object(body) = sale else { panic!("the sale is an object") };
        match read(body, NOW) {
            Ok(_) => Vec::new(),
            Err(problem) => problem.errors.into_iter().map(|error| error.pointer).collect(),
        }
    }

    #[test]
    fn defaults_are_those_of_the_document() {
        let mut sale = sale();
        sale["ends_at"] = json!("2026-11-21T14:00:00+01:00");
        let Value::Object(body) = sale else { panic!("the sale is an object") };
        let draft = read(body, NOW).unwrap();
        assert_eq!(draft.ends_at.0 - draft.starts_at.0, 3_600_000);
        assert_eq!(draft.items[0].limit_per_user, 1);
        assert_eq!(draft.items[0].payment_window_milliseconds, 600_000);
        assert_eq!(draft.items[0].list_price, None);
    }

    #[test]
    fn each_field_has_its_bounds() {
        for (pointer, value, wrong) in [
            ("/title", json!("x".repeat(200)), false),
            ("/title", json!("x".repeat(201)), true),
            ("/title", json!("  "), true),
            ("/title", json!(1), true),
            ("/title", Value::Null, true),
            ("/starts_at", json!("2026-11-21T14:00:00Z"), false),
            ("/starts_at", json!("tomorrow"), true),
            ("/starts_at", json!(1_790_000_000_000_u64), true),
            ("/ends_at", json!("2026-11-21T12:00:00Z"), true),
            ("/items", json!([]), true),
            ("/items", json!({}), true),
            ("/items/0/product_id", json!(7), false),
            ("/items/0/product_id", json!(-7), true),
            ("/items/0/product_id", json!("a b"), true),
            ("/items/0/product_id", json!("x".repeat(65)), true),
            ("/items/0/price", json!(0), false),
            ("/items/0/price", json!(-1), true),
            ("/items/0/price", json!(1_000_000_000_001_u64), true),
            ("/items/0/price", json!(9_223_372_036_854_775_808_u64), true),
            ("/items/0/price", json!(1e308), true),
            ("/items/0/price", json!(1.5), true),
            ("/items/0/price", json!("100"), true),
            ("/items/0/list_price", json!(99), true),
            ("/items/0/list_price", json!(100), false),
            ("/items/0/currency", json!("eur"), true),
            ("/items/0/currency", Value::Null, true),
            ("/items/0/allotted", json!(0), true),
            ("/items/0/allotted", json!(-1), true),
            ("/items/0/allotted", json!(1_000_000_001_u64), true),
            ("/items/0/limit_per_user", json!(0), true),
            ("/items/0/limit_per_user", json!(10_000), false),
            ("/items/0/limit_per_user", json!(10_001), true),
            ("/items/0/payment_window_seconds", json!(0), true),
            ("/items/0/payment_window_seconds", json!(2_592_001), true),
            ("/items/0/colour", json!("red"), true),
        ] {
            let found = wrong_with(pointer, value.clone());
            // A start at the end is said of the end.
            let expected = match pointer {
                "/starts_at" if value == json!("2026-11-21T14:00:00Z") => vec!["/ends_at"],
                _ if wrong => vec![pointer],
                _ => Vec::new(),
            };
            assert_eq!(found, expected, "{pointer} {value}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut sale = sale();
        sale["items"][0]["price"] = json!(-1);
        sale["items"][0]["allotted"] = json!(0);
        sale["title"] = json!("");
        let Value::Object(body) = sale else { panic!("the sale is an object") };
        let found: Vec<String> =
            read(body, NOW).unwrap_err().errors.into_iter().map(|error| error.pointer).collect();
        let expected = ["/title", "/ends_at", "/items/0/price", "/items/0/allotted"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_product_comes_once() {
        let mut sale = sale();
        sale["ends_at"] = json!("2026-11-21T14:00:00Z");
        let again = sale["items"][0].clone();
        sale["items"].as_array_mut().unwrap().push(again);
        let Value::Object(body) = sale else { panic!("the sale is an object") };
        let problem = read(body, NOW).unwrap_err();
        assert_eq!(problem.errors[0].pointer, "/items/1/product_id");
    }
}
