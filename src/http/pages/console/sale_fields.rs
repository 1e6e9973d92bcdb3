//! A sale as it stands in a form: text in every field, so that whatever was typed can be shown again.
//!
//! What a form says becomes the body that the API's rules read (`http/admin/draft.rs`), so both accept the
//! same sales; prices and times are written here as people write them.

use crate::http::pages::form::{Form, FormErrors};
use crate::http::pages::times::UtcOffset;
use crate::http::pages::words::Words;
use crate::http::problem::FieldErrors;
use crate::http::timestamp;
use domain::catalogue::{ITEMS_PER_SALE_MAX, Offer, Sale};
use domain::{Admission, Challenge, Currency, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A sale in a form.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SaleFields {
    /// What the sale is called.
    pub title: String,
    /// When it starts, in the shop's zone, as an input of the type `datetime-local` has it.
    pub starts_at: String,
    /// When it is over, likewise.
    pub ends_at: String,
    /// What is offered.
    pub items: Vec<OfferFields>,
}

/// An item in a form.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OfferFields {
    /// The product, as its seller names it.
    pub product_id: String,
    /// What the item is called.
    pub title: String,
    /// The price of one unit, such as `9.90`.
    pub price: String,
    /// The price of one unit outside of the sale; empty if none is shown.
    pub list_price: String,
    /// The currency's code.
    pub currency: String,
    /// Units on sale at the start.
    pub allotted: String,
    /// Units that one buyer may hold.
    pub limit_per_user: String,
    /// How long an order may stay unpaid, in seconds.
    pub payment_window_seconds: String,
    /// Over how many shards its units are spread; empty if one has them all.
    #[serde(default)]
    pub buckets: String,
    /// What is said of it, in paragraphs; empty if nothing is.
    #[serde(default)]
    pub description: String,
    /// The name of its picture; empty if it has none.
    #[serde(default)]
    pub picture: String,
    /// How it is guarded: empty if everybody may buy it, else what is solved for a buy token.
    #[serde(default)]
    pub guard: String,
    /// How long before the start tokens are given out, in seconds.
    #[serde(default)]
    pub lead_seconds: String,
    /// Over how long the start is spread, in milliseconds.
    #[serde(default)]
    pub spread_milliseconds: String,
}

/// A field that differs between two versions of a sale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Which field it is.
    pub label: String,
    /// What it was; empty if it was not there.
    pub before: String,
    /// What it is; empty if it is gone.
    pub after: String,
}

/// The fields of an item: name in the form, and how to get at it.
type Column = (&'static str, fn(&mut OfferFields) -> &mut String);

const COLUMNS: [Column; 14] = [
    ("product_id", |offer| &mut offer.product_id),
    ("title", |offer| &mut offer.title),
    ("price", |offer| &mut offer.price),
    ("list_price", |offer| &mut offer.list_price),
    ("currency", |offer| &mut offer.currency),
    ("allotted", |offer| &mut offer.allotted),
    ("limit_per_user", |offer| &mut offer.limit_per_user),
    ("payment_window_seconds", |offer| &mut offer.payment_window_seconds),
    ("buckets", |offer| &mut offer.buckets),
    ("description", |offer| &mut offer.description),
    ("picture", |offer| &mut offer.picture),
    // The rules say what is wrong with these below `admission`.
    ("admission-challenge", |offer| &mut offer.guard),
    ("admission-lead_seconds", |offer| &mut offer.lead_seconds),
    ("admission-spread_milliseconds", |offer| &mut offer.spread_milliseconds),
];

impl OfferFields {
    /// Returns the fields of an item that is to be written.
    pub fn blank() -> Self {
        Self {
            currency: Currency::CNY.to_string(),
            limit_per_user: "1".to_owned(),
            payment_window_seconds: "600".to_owned(),
            buckets: "1".to_owned(),
            lead_seconds: "60".to_owned(),
            spread_milliseconds: "0".to_owned(),
            ..Self::default()
        }
    }

    fn of(offer: &Offer) -> Self {
        let GuardFields { guard, lead_seconds, spread_milliseconds } =
            GuardFields::of(offer.admission);
        let price = |amount| decimal(offer.currency, amount);
        Self {
            product_id: offer.product_id.clone(),
            title: offer.title.clone(),
            price: price(offer.price),
            list_price: offer.list_price.map(price).unwrap_or_default(),
            currency: offer.currency.to_string(),
            allotted: offer.allotted.to_string(),
            limit_per_user: offer.limit_per_user.to_string(),
            payment_window_seconds: (offer.payment_window_milliseconds / 1000).to_string(),
            buckets: offer.buckets.to_string(),
            description: offer.description.clone().unwrap_or_default(),
            picture: offer.picture.map(|picture| picture.to_string()).unwrap_or_default(),
            guard,
            lead_seconds,
            spread_milliseconds,
        }
    }

    fn body(&self) -> Value {
        let currency = Currency::parse(self.currency.trim());
        let money = |text: &str| amount(currency, text).map_or_else(|| json!(text), Value::from);
        let mut body = json!({
            "product_id": self.product_id.trim(),
            "title": self.title.trim(),
            "price": money(&self.price),
            "currency": self.currency.trim(),
            "allotted": number(&self.allotted),
            "limit_per_user": number(&self.limit_per_user),
            "payment_window_seconds": number(&self.payment_window_seconds),
        });
        if !self.list_price.trim().is_empty() {
            body["list_price"] = money(&self.list_price);
        }
        if !self.buckets.trim().is_empty() {
            body["buckets"] = number(&self.buckets);
        }
        // Browsers send line breaks as two characters.
        let description = self.description.replace("\r\n", "\n");
        if !description.trim().is_empty() {
            body["description"] = json!(description.trim());
        }
        if !self.picture.trim().is_empty() {
            body["picture"] = json!(self.picture.trim());
        }
        if !self.guard.is_empty() {
            body["admission"] = GuardFields {
                guard: self.guard.clone(),
                lead_seconds: self.lead_seconds.clone(),
                spread_milliseconds: self.spread_milliseconds.clone(),
            }
            .body();
        }
        body
    }
}

/// A number in a form; what is none stays text, for the rules to refuse.
fn number(text: &str) -> Value {
    text.trim().parse::<u64>().map_or_else(|_| json!(text), Value::from)
}

/// How an item is guarded, in a form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuardFields {
    /// Empty if everybody may buy it, else what is solved for a buy token.
    pub guard: String,
    /// How long before the start tokens are given out, in seconds.
    pub lead_seconds: String,
    /// Over how long the start is spread, in milliseconds.
    pub spread_milliseconds: String,
}

impl GuardFields {
    /// Returns how an item is guarded, as a form has it.
    pub fn of(admission: Admission) -> Self {
        let blank = OfferFields::blank();
        let Admission { buy_token, challenge, lead_seconds, spread_milliseconds } = admission;
        if !buy_token {
            return Self {
                guard: String::new(),
                lead_seconds: blank.lead_seconds,
                spread_milliseconds: blank.spread_milliseconds,
            };
        }
        Self {
            guard: challenge.name().to_owned(),
            lead_seconds: lead_seconds.to_string(),
            spread_milliseconds: spread_milliseconds.to_string(),
        }
    }

    /// Returns the body that the API's rules read.
    pub fn body(&self) -> Value {
        if self.guard.is_empty() {
            return json!({ "buy_token": false });
        }
        let mut body = json!({ "buy_token": true, "challenge": self.guard });
        for (name, text) in [
            ("lead_seconds", &self.lead_seconds),
            ("spread_milliseconds", &self.spread_milliseconds),
        ] {
            if !text.trim().is_empty() {
                body[name] = number(text);
            }
        }
        body
    }
}

/// Returns what a guard is called: empty for none at all, else what is solved for a buy token.
pub fn guard_name(words: Words, guard: &str) -> String {
    match guard {
        "" => words.guard_open(),
        "none" => words.guard_token(),
        "proof" => words.guard_proof(),
        _ => words.guard_external(),
    }
}

/// Returns the guards that can be chosen, each with what it is called.
pub fn guards(words: Words) -> Vec<(&'static str, String)> {
    let named = Challenge::ALL.into_iter().map(Challenge::name);
    std::iter::once("").chain(named).map(|guard| (guard, guard_name(words, guard))).collect()
}

impl SaleFields {
    /// Returns the fields of a sale that is to be written.
    pub fn blank() -> Self {
        Self { items: vec![OfferFields::blank()], ..Self::default() }
    }

    /// Returns a stored sale's fields, with times in the zone of `offset`.
    pub fn of(sale: &Sale, offset: UtcOffset) -> Self {
        Self {
            title: sale.title.clone(),
            starts_at: local(offset, sale.starts_at),
            ends_at: local(offset, sale.ends_at),
            items: sale.items.iter().map(|item| OfferFields::of(&item.offer)).collect(),
        }
    }

    /// Returns what stands in a form, and what its buttons for items did to it.
    pub fn read(form: &Form) -> Self {
        let count = form.text("items").parse::<usize>().unwrap_or(0).min(ITEMS_PER_SALE_MAX);
        let removed = form.text("remove").parse::<usize>().ok();
        let offer = |place: usize| {
            let mut offer = OfferFields::default();
            for (name, field) in COLUMNS {
                form.text(&format!("items-{place}-{name}")).clone_into(field(&mut offer));
            }
            if form.has(&format!("items-{place}-unpicture")) {
                offer.picture.clear();
            }
            offer
        };
        let mut items: Vec<OfferFields> =
            (0..count).filter(|place| Some(*place) != removed).map(offer).collect();
        if items.is_empty() || (form.has("add") && items.len() < ITEMS_PER_SALE_MAX) {
            items.push(OfferFields::blank());
        }
        Self {
            title: form.text("title").to_owned(),
            starts_at: form.text("starts_at").to_owned(),
            ends_at: form.text("ends_at").to_owned(),
            items,
        }
    }

    /// Returns the place, once the form was read, of the item that a file was chosen for; none if that
    /// item was removed.
    pub fn place_of_file(form: &Form, field: &str) -> Option<usize> {
        let place = field.strip_prefix("items-")?.strip_suffix("-file")?;
        let place = place.parse::<usize>().ok()?;
        match form.text("remove").parse::<usize>() {
            Ok(removed) if removed == place => None,
            Ok(removed) if removed < place => Some(place - 1),
            _ => Some(place),
        }
    }

    /// Returns the body that the API's rules read. What is no number or no time is left as it was typed,
    /// for the rules to refuse.
    pub fn body(&self, offset: UtcOffset) -> Map<String, Value> {
        let items: Vec<Value> = self.items.iter().map(OfferFields::body).collect();
        let body = json!({
            "title": self.title.trim(),
            "starts_at": instant(offset, &self.starts_at),
            "ends_at": instant(offset, &self.ends_at),
            "items": items,
        });
        match body {
            Value::Object(body) => body,
            _ => Map::new(),
        }
    }

    /// Returns the fields in which `after` differs from this version. Items are the same if their product
    /// is.
    pub fn differences(&self, after: &Self, words: Words) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut compare = |label: String, before: &str, after: &str| {
            if before != after {
                let (before, after) = (before.to_owned(), after.to_owned());
                found.push(Difference { label, before, after });
            }
        };
        compare(words.sale_title(), &self.title, &after.title);
        compare(words.sale_starts(), &self.starts_at, &after.starts_at);
        compare(words.sale_ends(), &self.ends_at, &after.ends_at);
        let same = |items: &[OfferFields], product: &str| {
            items.iter().find(|item| item.product_id == product).cloned().unwrap_or_default()
        };
        let mut products: Vec<&str> = Vec::new();
        for item in self.items.iter().chain(&after.items) {
            if !products.contains(&item.product_id.as_str()) {
                products.push(&item.product_id);
            }
        }
        // An item that is not there has no guard, rather than none that asks for anything.
        let spell = |item: &mut OfferFields| {
            if !item.product_id.is_empty() {
                item.guard = guard_name(words, &item.guard);
            }
        };
        for product in products {
            let mut before = same(&self.items, product);
            let mut now = same(&after.items, product);
            spell(&mut before);
            spell(&mut now);
            for (name, field) in COLUMNS {
                let label = format!("{product}: {}", column_label(words, name));
                compare(label, field(&mut before), field(&mut now));
            }
        }
        found
    }
}

/// Returns what an item's field is called.
pub fn column_label(words: Words, name: &str) -> String {
    match name {
        "product_id" => words.offer_product(),
        "title" => words.offer_title(),
        "price" => words.offer_price(),
        "list_price" => words.offer_list_price(),
        "currency" => words.offer_currency(),
        "allotted" => words.offer_allotted(),
        "limit_per_user" => words.offer_limit(),
        "buckets" => words.offer_buckets(),
        "description" => words.offer_description(),
        "picture" => words.offer_picture(),
        "admission-challenge" => words.offer_guard(),
        "admission-lead_seconds" => words.offer_lead(),
        "admission-spread_milliseconds" => words.offer_spread(),
        _ => words.offer_window(),
    }
}

/// Returns what is wrong with a form, in the operator's language, from what the rules say of its body.
pub fn errors_of(words: Words, problems: &FieldErrors) -> FormErrors {
    let mut errors = FormErrors::default();
    for problem in &problems.shown {
        let field = problem.pointer.trim_start_matches('/').replace('/', "-");
        let message = match field.rsplit('-').next().unwrap_or_default() {
            "title" => words.rule_title(),
            "starts_at" => words.rule_time(),
            // What is wrong with an end is either its form or its place in time.
            "ends_at" if problem.detail.contains("RFC 3339") => words.rule_time(),
            "ends_at" => words.rule_ends(),
            "product_id" if problem.detail.contains("1 to") => words.rule_product(),
            "product_id" => words.rule_product_once(),
            "price" => words.rule_price(),
            "list_price" => words.rule_list_price(),
            "currency" => words.rule_currency(),
            "allotted" => words.rule_allotted(),
            "limit_per_user" => words.rule_limit(),
            "payment_window_seconds" => words.rule_window(),
            "buckets" => words.rule_buckets(),
            "description" => words.rule_description(),
            "picture" => words.rule_picture(),
            "challenge" => words.rule_guard(),
            "lead_seconds" => words.rule_lead(),
            "spread_milliseconds" => words.rule_spread(),
            "items" => words.rule_items(),
            _ => problem.detail.clone().into_owned(),
        };
        let place = field.strip_prefix("items-").and_then(|rest| rest.split('-').next());
        let place = place.and_then(|place| place.parse::<u64>().ok());
        let message = match place {
            Some(place) => words.rule_of_item(place + 1, &message),
            None => message,
        };
        errors.push(field, message);
    }
    errors
}

/// An instant as an input of the type `datetime-local` has it, in the zone of `offset`.
fn local(offset: UtcOffset, at: Timestamp) -> String {
    let shift = i64::from(offset.minutes()) * 60_000;
    let shifted = Timestamp(at.0.saturating_add_signed(shift));
    let text = timestamp::to_string(shifted);
    // Milliseconds are shown where there are any, so that an edit does not lose them.
    let end = if at.0.is_multiple_of(1000) { 19 } else { 23 };
    text[..end].to_owned()
}

/// Returns the RFC 3339 text of what stands in such an input.
pub fn instant(offset: UtcOffset, local: &str) -> String {
    let local = local.trim();
    // Browsers leave out seconds that are zero.
    let seconds = if local.len() == 16 { ":00" } else { "" };
    let minutes = offset.minutes();
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
    format!("{local}{seconds}{sign}{hours:02}:{rest:02}")
}

/// An amount in minor units as people write it, without a sign: `9.90`.
fn decimal(currency: Currency, amount: u64) -> String {
    let digits = currency.exponent() as usize;
    let unit = 10_u64.pow(currency.exponent());
    match digits {
        0 => amount.to_string(),
        _ => format!("{}.{:0digits$}", amount / unit, amount % unit),
    }
}

/// The amount in minor units of what people write: digits, and a point or comma before the last ones. None
/// if it is no amount of the currency.
fn amount(currency: Option<Currency>, text: &str) -> Option<u64> {
    let digits = currency?.exponent() as usize;
    let text = text.trim().replace(',', ".");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(part) || part.len() > digits {
        return None;
    }
    let unit = 10_u64.pow(currency?.exponent());
    let part = format!("{part:0<digits$}");
    let part = if part.is_empty() { 0 } else { part.parse().ok()? };
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::language::Language;

    fn offset(text: &str) -> UtcOffset {
        text.parse().expect("an offset")
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        let currency = |code| Currency::parse(code);
        for (code, text, expected) in [
            ("CNY", "9.90", Some(990)),
            ("CNY", " 9,9 ", Some(990)),
            ("CNY", "9", Some(900)),
            ("CNY", "0", Some(0)),
            ("CNY", "9.905", None),
            ("CNY", "", None),
            ("CNY", ".5", None),
            ("CNY", "-1", None),
            ("CNY", "1,000.00", None),
            ("CNY", "99999999999999999999", None),
            ("JPY", "1200", Some(1_200)),
            ("JPY", "1200.0", None),
            ("KWD", "1.234", Some(1_234)),
            ("nothing", "1", None),
        ] {
            assert_eq!(amount(currency(code), text), expected, "{code} {text:?}");
        }
        for (code, minor, text) in
            [("CNY", 990, "9.90"), ("JPY", 1_200, "1200"), ("KWD", 5, "0.005")]
        {
            let currency = currency(code).expect("a code");
            assert_eq!(decimal(currency, minor), text);
            assert_eq!(amount(Some(currency), text), Some(minor));
        }
    }

    #[test]
    fn times_are_those_of_the_shops_zone() {
        let at = Timestamp(1_920_585_600_000);
        for (zone, text) in [
            ("+08:00", "2030-11-11T08:00:00"),
            ("-03:30", "2030-11-10T20:30:00"),
            ("+00:00", "2030-11-11T00:00:00"),
        ] {
            assert_eq!(local(offset(zone), at), text);
            assert_eq!(timestamp::parse(&instant(offset(zone), text)), Ok(at));
        }
        let short = instant(offset("+08:00"), "2030-11-11T08:00");
        assert_eq!(timestamp::parse(&short), Ok(at));
        let odd = Timestamp(at.0 + 5);
        assert_eq!(local(offset("+00:00"), odd), "2030-11-11T00:00:00.005");
        assert_eq!(
            timestamp::parse(&instant(offset("+00:00"), &local(offset("+00:00"), odd))),
            Ok(odd)
        );
    }

    #[test]
    fn a_difference_names_its_field_and_product() {
        let words = Words::of(Language::English);
        let item = |product: &str, price: &str| OfferFields {
            product_id: product.to_owned(),
            price: price.to_owned(),
            ..OfferFields::blank()
        };
        let sale = |title: &str, items: Vec<OfferFields>| SaleFields {
            title: title.to_owned(),
            items,
            ..SaleFields::default()
        };
        let before = sale("Noon", vec![item("mug", "9.90"), item("tea", "1.00")]);
        assert_eq!(before.differences(&before, words), []);
        // Another order of the same items is no difference.
        let after = sale("Noon!", vec![item("tea", "1.00"), item("mug", "0.99")]);
        let found = before.differences(&after, words);
        let found: Vec<_> =
            found.iter().map(|one| (one.before.as_str(), one.after.as_str())).collect();
        assert_eq!(found, [("Noon", "Noon!"), ("9.90", "0.99")]);
        let gone = before.differences(&sale("Noon", vec![item("mug", "9.90")]), words);
        assert!(gone.iter().all(|one| one.after.is_empty()), "{gone:?}");
        assert!(gone[0].label.starts_with("tea: "), "{gone:?}");
    }
}
