//! A sale as an operator writes it, from JSON to a draft that can be stored.
//!
//! Each field is checked here, and what only the whole can be judged by (no product twice, a list
//! price not below the price) by the draft itself.

use super::guard::{self, AdmissionRequest};
use crate::http::api::example;
use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::http::request::fields::{Body, body};
use crate::http::request::rules::{
    self, Characters, CurrencyCode, Instant, Integer, List, Nested, Paragraphs, Rule, Text,
};
use crate::sales::CatalogueError;
use domain::buckets::BUCKETS_MAX;
use domain::catalogue::{
    DESCRIPTION_LENGTH_MAX, ITEMS_PER_SALE_MAX, Offer, PictureId, SaleDraft, TITLE_LENGTH_MAX,
};
use domain::sale::{
    ALLOTTED_MAX, LIMIT_PER_USER_MAX, PAYMENT_WINDOW_MILLISECONDS_MAX, PRICE_MAX,
    PRODUCT_ID_LENGTH_MAX,
};
use domain::{Admission, Currency, Timestamp};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

const LIMIT_PER_USER_DEFAULT: u16 = 1;
const PAYMENT_WINDOW_SECONDS_DEFAULT: u64 = 600;
const BUCKETS_DEFAULT: u8 = 1;

type Title = Text<TITLE_LENGTH_MAX>;
type Description = Paragraphs<DESCRIPTION_LENGTH_MAX>;
type Offers = List<OfferRequest, 1, ITEMS_PER_SALE_MAX>;
type Price = Integer<u64, 0, PRICE_MAX>;
type LimitPerUser = Integer<u16, 1, { LIMIT_PER_USER_MAX as u64 }>;
type BucketCount = Integer<u8, 1, { BUCKETS_MAX as u64 }>;
type PaymentWindowSeconds = Integer<u64, 1, { PAYMENT_WINDOW_MILLISECONDS_MAX / 1000 }>;
/// Units of an item: what a sale begins with, or what a restock adds.
pub type Units = Integer<u32, 1, { ALLOTTED_MAX as u64 }>;

body! {
    /// A sale to be made.
    pub struct SaleRequest {
        /// What the sale is called.
        Required title: Title,
        /// The first instant at which a purchase can succeed.
        Required starts_at: Instant,
        /// The first instant at which no purchase can succeed any more: after `starts_at`, and not past.
        Required ends_at: Instant,
        /// What is offered, in the order of display; each product once.
        Required items: Offers,
    }
}

body! {
    /// What is offered of one product.
    pub struct OfferRequest {
        /// The product, as you name it: letters of ASCII, digits, `_` and `-`. A non-negative integer is
        /// taken as its decimal text.
        Required product_id: ProductId,
        /// What the item is called.
        Required title: Title,
        /// The price of one unit, in minor units of `currency`: 990 is ¥9.90.
        Required price: Price,
        /// The price of one unit outside of the sale, in minor units of `currency`; not below `price`.
        Nullable list_price: Price,
        /// The currency of both prices.
        Required currency: CurrencyCode,
        /// Units on sale at the start.
        Required allotted: Units,
        /// Units that one buyer may hold.
        Nullable limit_per_user: LimitPerUser = LIMIT_PER_USER_DEFAULT,
        /// How long an order may stay unpaid, in seconds.
        Nullable payment_window_seconds: PaymentWindowSeconds = PAYMENT_WINDOW_SECONDS_DEFAULT,
        /// What is said of the item, in paragraphs.
        Nullable description: Description,
        /// The name of its picture, from `POST /api/v1/admin/media`.
        Nullable picture: PictureName,
        /// How the item is guarded from the moment it goes on sale; everybody may buy it if absent.
        Nullable admission: Nested<AdmissionRequest>,
        /// Over how many shards the item's units are spread: more than 1 for an item that more buyers want at
        /// once than one shard can decide about. At most as many as the shop has shards.
        Nullable buckets: BucketCount = BUCKETS_DEFAULT,
    }
}

/// A product's identity, which its seller chooses.
pub struct ProductId;

impl ProductId {
    const CHARACTERS: Characters =
        Characters(&['A'..='Z', 'a'..='z', '0'..='9', '_'..='_', '-'..='-']);
}

impl Rule for ProductId {
    type Value = String;

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Integer]))
            .minimum(Some(0))
            .min_length(Some(1))
            .max_length(Some(PRODUCT_ID_LENGTH_MAX))
            .pattern(Some(Self::CHARACTERS.pattern(1, PRODUCT_ID_LENGTH_MAX)))
            .into()
    }

    fn read(value: Value) -> Result<String, Cow<'static, str>> {
        let product_id = match value {
            Value::Number(number) if number.is_u64() => number.to_string(),
            value => rules::string(value)?,
        };
        let has_length = (1..=PRODUCT_ID_LENGTH_MAX).contains(&product_id.len());
        if has_length && product_id.chars().all(|character| Self::CHARACTERS.contains(character)) {
            return Ok(product_id);
        }
        Err(format!(
            "must have 1 to {PRODUCT_ID_LENGTH_MAX} characters, each one of A to Z, a to z, 0 to 9, _ and -"
        )
        .into())
    }
}

/// The name of a picture that was sent before.
pub struct PictureName;

impl PictureName {
    const CHARACTERS: Characters = Characters(&['0'..='9', 'a'..='f']);
}

impl Rule for PictureName {
    type Value = PictureId;

    fn schema() -> RefOr<Schema> {
        let digits = PictureId::DIGITS;
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(Self::CHARACTERS.pattern(digits, digits)))
            .into()
    }

    fn read(value: Value) -> Result<PictureId, Cow<'static, str>> {
        rules::string(value)?.parse().map_err(|_| {
            format!("must be {} characters, each one of 0 to 9 and a to f", PictureId::DIGITS)
                .into()
        })
    }
}

/// Reads the draft in `body`, for a shop in which an item may have so many buckets.
///
/// # Errors
/// Returns an `invalid_field` problem with all that is wrong with it.
pub fn read(
    body: Map<String, Value>,
    now: Timestamp,
    buckets_max: u16,
) -> Result<SaleDraft, Problem> {
    let mut errors = FieldErrors::default();
    let draft = read_sale(body, now, &mut errors);
    for (position, offer) in draft.items.iter().enumerate() {
        if u16::from(offer.buckets) > buckets_max {
            let detail = match buckets_max {
                1 => "must be 1: this shop has one shard, or nodes that do not reach each other"
                    .to_owned(),
                _ => format!("must be at most {buckets_max}, the number of shards"),
            };
            errors.push(FieldError::new(format!("/items/{position}/buckets"), detail));
        }
    }
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    let problems = draft.problems();
    if problems.is_empty() {
        return Ok(draft);
    }
    Err(CatalogueError::Invalid(problems).into())
}

/// Reads the draft, with stand-ins for what is wrong, which `errors` names.
fn read_sale(body: Map<String, Value>, now: Timestamp, errors: &mut FieldErrors) -> SaleDraft {
    let sale = SaleRequest::read_with(body, "", errors, |sale, fields| {
        if let (Some(starts_at), Some(ends_at)) = (sale.starts_at, sale.ends_at) {
            if ends_at <= starts_at {
                fields.note("ends_at", "must be after starts_at");
            } else if ends_at <= now {
                fields.note("ends_at", "must not be past");
            }
        }
    });
    // Where it is not known it bounds nothing: what is wrong with it is told already.
    let window = match (sale.starts_at, sale.ends_at) {
        (Some(starts_at), Some(ends_at)) if starts_at < ends_at => ends_at.0 - starts_at.0,
        _ => u64::MAX,
    };
    let mut items = Vec::new();
    for (position, offer) in sale.items.unwrap_or_default().into_iter().enumerate() {
        let pointer = format!("/items/{position}");
        match offer {
            Value::Object(offer) => {
                items.push(read_offer(offer, &pointer, window, errors));
            }
            _ => errors.push(FieldError::new(pointer, "must be an object")),
        }
    }
    SaleDraft {
        title: sale.title.unwrap_or_default(),
        starts_at: sale.starts_at.unwrap_or_default(),
        ends_at: sale.ends_at.unwrap_or_default(),
        items,
    }
}

fn read_offer(
    offer: Map<String, Value>,
    pointer: &str,
    window_milliseconds: u64,
    errors: &mut FieldErrors,
) -> Offer {
    let offer = OfferRequest::read(offer, pointer, errors);
    let admission = offer.admission.map_or(Admission::OPEN, |object| {
        let pointer = format!("{pointer}/admission");
        guard::read(object, &pointer, window_milliseconds, errors)
    });
    let payment_window_seconds =
        offer.payment_window_seconds.unwrap_or(PAYMENT_WINDOW_SECONDS_DEFAULT);
    Offer {
        product_id: offer.product_id.unwrap_or_default(),
        title: offer.title.unwrap_or_default(),
        price: offer.price.unwrap_or_default(),
        list_price: offer.list_price,
        currency: offer.currency.unwrap_or(Currency::CNY),
        allotted: offer.allotted.unwrap_or(1),
        limit_per_user: offer.limit_per_user.unwrap_or(LIMIT_PER_USER_DEFAULT),
        payment_window_milliseconds: payment_window_seconds * 1000,
        description: offer.description,
        picture: offer.picture,
        admission,
        buckets: offer.buckets.unwrap_or(BUCKETS_DEFAULT),
    }
}

/// Returns the example's sale as a request.
pub fn example_of_flash_sale() -> Value {
    json!({
        "title": example::SALE_TITLE,
        "starts_at": example::STARTS_AT,
        "ends_at": example::ENDS_AT,
        "items": [{
            "product_id": example::PRODUCT_ID,
            "title": example::ITEM_TITLE,
            "price": example::PRICE,
            "list_price": example::LIST_PRICE,
            "currency": example::CURRENCY,
            "allotted": example::ALLOTTED,
            "limit_per_user": example::LIMIT_PER_USER,
            "payment_window_seconds": example::PAYMENT_WINDOW_SECONDS,
            "description": example::DESCRIPTION,
        }],
    })
}

/// Returns the example's sale with a window that is open for some years, so that a purchase succeeds
/// as soon as the sale is approved.
pub fn example_of_open_sale() -> Value {
    let mut sale = example_of_flash_sale();
    sale["title"] = json!("试运行");
    sale["starts_at"] = json!("2026-01-01T00:00:00Z");
    sale["ends_at"] = json!("2036-01-01T00:00:00Z");
    sale
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
        match read(body, NOW, 64) {
            Ok(_) => Vec::new(),
            Err(problem) => problem.errors.shown.into_iter().map(|error| error.pointer).collect(),
        }
    }

    #[test]
    fn defaults_are_those_of_the_document() {
        let mut sale = sale();
        sale["ends_at"] = json!("2026-11-21T14:00:00+01:00");
        let Value::Object(body) = sale else { panic!("the sale is an object") };
        let draft = read(body, NOW, 64).unwrap();
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
            ("/title", json!("\u{200B}"), true),
            ("/items/0/title", json!("\u{2060}\u{FEFF}"), true),
            ("/title", json!(1), true),
            ("/title", Value::Null, true),
            ("/starts_at", json!("2026-11-21T14:00:00Z"), false),
            ("/starts_at", json!("tomorrow"), true),
            ("/starts_at", json!(1_790_000_000_000_u64), true),
            ("/ends_at", json!("2026-11-21T12:00:00Z"), true),
            ("/items", json!([]), true),
            ("/items", json!(vec![json!({}); 201]), true),
            ("/ends_at", json!("9999-12-31T23:59:59+00:00"), false),
            ("/ends_at", json!("9999-12-31T23:59:59-01:00"), true),
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
            ("/items/0/description", json!("一\n二"), false),
            ("/items/0/description", json!("x".repeat(1_001)), true),
            ("/items/0/description", json!("\u{7}"), true),
            ("/items/0/description", json!("\n"), true),
            ("/items/0/picture", json!("0".repeat(64)), false),
            ("/items/0/picture", json!("A".repeat(64)), true),
            ("/items/0/picture", json!(7), true),
            ("/items/0/admission", json!({ "buy_token": true, "spread_milliseconds": 1 }), false),
            ("/items/0/admission", json!(true), true),
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
        let found: Vec<String> = read(body, NOW, 64)
            .unwrap_err()
            .errors
            .shown
            .into_iter()
            .map(|error| error.pointer)
            .collect();
        let expected = ["/title", "/ends_at", "/items/0/price", "/items/0/allotted"];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_documents_examples_are_accepted() {
        for example in [example_of_flash_sale(), example_of_open_sale()] {
            let Value::Object(body) = example else { panic!("the sale is an object") };
            let draft = read(body, NOW, 64).unwrap();
            assert_eq!(draft.items[0].title, example::ITEM_TITLE);
        }
    }

    #[test]
    fn a_product_comes_once() {
        let mut sale = sale();
        sale["ends_at"] = json!("2026-11-21T14:00:00Z");
        let again = sale["items"][0].clone();
        sale["items"].as_array_mut().unwrap().push(again);
        let Value::Object(body) = sale else { panic!("the sale is an object") };
        let problem = read(body, NOW, 64).unwrap_err();
        assert_eq!(problem.errors.shown[0].pointer, "/items/1/product_id");
    }
}
