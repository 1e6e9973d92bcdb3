//! What an operator writes of a sale, and what is wrong with it.

use super::picture::PictureId;
use crate::admission::Admission;
use crate::buckets::BUCKETS_MAX;
use crate::ids::Timestamp;
use crate::sale::{
    ALLOTTED_MAX, AMOUNT_MAX, Currency, LIMIT_PER_USER_MAX, PAYMENT_WINDOW_MILLISECONDS_MAX,
    PRICE_MAX, PRODUCT_ID_LENGTH_MAX,
};
use std::collections::HashSet;
use std::fmt;

/// The longest title of a sale or an item, in characters.
pub const TITLE_LENGTH_MAX: usize = 200;
/// The longest description of an item, in characters.
pub const DESCRIPTION_LENGTH_MAX: usize = 1_000;
/// The most items of one sale.
pub const ITEMS_PER_SALE_MAX: usize = 200;
/// The shortest payment window.
const PAYMENT_WINDOW_MILLISECONDS_MIN: u64 = 1000;

/// A sale before it has a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaleDraft {
    /// 1 to [`TITLE_LENGTH_MAX`] characters.
    pub title: String,
    /// First instant at which a purchase can succeed.
    pub starts_at: Timestamp,
    /// First instant at which none can any more.
    pub ends_at: Timestamp,
    /// In the order of display, 1 to [`ITEMS_PER_SALE_MAX`].
    pub items: Vec<Offer>,
}

/// What is offered of one product.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// The product: 1 to 64 bytes, once per sale.
    pub product_id: String,
    /// 1 to [`TITLE_LENGTH_MAX`] characters.
    pub title: String,
    /// Price of one unit, in minor units of `currency`.
    pub price: u64,
    /// What it costs otherwise, to be shown beside the price.
    pub list_price: Option<u64>,
    /// ISO 4217 code.
    pub currency: Currency,
    /// Units on sale at the start.
    pub allotted: u32,
    /// Live units one buyer may hold.
    pub limit_per_user: u16,
    /// How long an order may stay unpaid.
    pub payment_window_milliseconds: u64,
    /// What is said of it in paragraphs, up to [`DESCRIPTION_LENGTH_MAX`] characters.
    pub description: Option<String>,
    /// The picture of it.
    pub picture: Option<PictureId>,
    /// How it is guarded when it goes on sale.
    pub admission: Admission,
    /// Over how many shards its units are spread, 1 to [`BUCKETS_MAX`].
    pub buckets: u8,
}

/// The text by which a repeated request is recognised, so it must not change: what came later is in it
/// only where there is any.
impl fmt::Debug for Offer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut offer = out.debug_struct("Offer");
        offer
            .field("product_id", &self.product_id)
            .field("title", &self.title)
            .field("price", &self.price)
            .field("list_price", &self.list_price)
            .field("currency", &self.currency)
            .field("allotted", &self.allotted)
            .field("limit_per_user", &self.limit_per_user)
            .field("payment_window_milliseconds", &self.payment_window_milliseconds);
        if let Some(description) = &self.description {
            offer.field("description", description);
        }
        if let Some(picture) = &self.picture {
            offer.field("picture", picture);
        }
        if self.admission != Admission::OPEN {
            offer.field("admission", &self.admission);
        }
        if self.buckets != 1 {
            offer.field("buckets", &self.buckets);
        }
        offer.finish()
    }
}

/// A field that is out of range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftProblem {
    /// The field's name in the API, such as `items[2].price`.
    pub field: String,
    /// What it must be, in words that follow the field's name.
    pub detail: String,
}

impl SaleDraft {
    /// All that is wrong with the draft; empty if it can be stored.
    pub fn problems(&self) -> Vec<DraftProblem> {
        let mut problems = Vec::new();
        problems.extend(text_problem("title", &self.title, TITLE_LENGTH_MAX));
        if self.ends_at <= self.starts_at || self.ends_at > Timestamp::MAX {
            problems.push(problem("ends_at", "must be after starts_at, and before the year 10000"));
        }
        if !(1..=ITEMS_PER_SALE_MAX).contains(&self.items.len()) {
            problems.push(problem("items", format!("must have 1 to {ITEMS_PER_SALE_MAX} items")));
        }
        let mut products = HashSet::new();
        for (position, offer) in self.items.iter().enumerate().take(ITEMS_PER_SALE_MAX) {
            let place = format!("items[{position}]");
            offer.collect_problems(&place, &mut problems);
            let window = self.ends_at.0.saturating_sub(self.starts_at.0);
            for (field, detail) in offer.admission.problems(window) {
                problems.push(problem(format!("{place}.admission.{field}"), detail));
            }
            if !products.insert(offer.product_id.as_str()) {
                let field = format!("items[{position}].product_id");
                problems.push(problem(
                    field,
                    "must not be another item's: a product comes once in a sale",
                ));
            }
        }
        problems
    }
}

impl Offer {
    fn collect_problems(&self, place: &str, problems: &mut Vec<DraftProblem>) {
        let mut check = |field: &str, is_right: bool, detail: String| {
            if !is_right {
                problems.push(problem(format!("{place}.{field}"), detail));
            }
        };
        let has_control = self.product_id.chars().any(char::is_control);
        check(
            "product_id",
            (1..=PRODUCT_ID_LENGTH_MAX).contains(&self.product_id.len()) && !has_control,
            format!("must have 1 to {PRODUCT_ID_LENGTH_MAX} bytes without control characters"),
        );
        check("price", self.price <= PRICE_MAX, format!("must be 0 to {PRICE_MAX}"));
        let limit = u64::from(self.limit_per_user.clamp(1, LIMIT_PER_USER_MAX));
        check(
            "price",
            self.price > PRICE_MAX || self.price <= AMOUNT_MAX / limit,
            format!("must be at most {} with this limit_per_user", AMOUNT_MAX / limit),
        );
        check(
            "list_price",
            self.list_price.is_none_or(|price| (self.price..=PRICE_MAX).contains(&price)),
            format!("must be from price, which is {}, to {PRICE_MAX}", self.price),
        );
        check(
            "allotted",
            (1..=ALLOTTED_MAX).contains(&self.allotted),
            format!("must be 1 to {ALLOTTED_MAX}"),
        );
        check(
            "limit_per_user",
            (1..=LIMIT_PER_USER_MAX).contains(&self.limit_per_user),
            format!("must be 1 to {LIMIT_PER_USER_MAX}"),
        );
        check(
            "buckets",
            (1..=BUCKETS_MAX).contains(&self.buckets),
            format!("must be 1 to {BUCKETS_MAX}"),
        );
        let window = PAYMENT_WINDOW_MILLISECONDS_MIN..=PAYMENT_WINDOW_MILLISECONDS_MAX;
        check(
            "payment_window_seconds",
            window.contains(&self.payment_window_milliseconds),
            format!("must be 1 to {}", PAYMENT_WINDOW_MILLISECONDS_MAX / 1000),
        );
        problems.extend(text_problem(&format!("{place}.title"), &self.title, TITLE_LENGTH_MAX));
        if let Some(description) = &self.description {
            let field = format!("{place}.description");
            problems.extend(paragraphs_problem(&field, description, DESCRIPTION_LENGTH_MAX));
        }
    }
}

/// What is wrong with a text that must have 1 to `length_max` characters and no controls.
pub fn text_problem(field: &str, text: &str, length_max: usize) -> Option<DraftProblem> {
    let length = text.chars().count();
    let is_right = (1..=length_max).contains(&length) && !text.chars().any(char::is_control);
    (!is_right).then(|| {
        problem(field, format!("must have 1 to {length_max} characters without control characters"))
    })
}

/// What is wrong with a text of paragraphs that must have 1 to `length_max` characters and no controls
/// but line breaks.
pub fn paragraphs_problem(field: &str, text: &str, length_max: usize) -> Option<DraftProblem> {
    let length = text.chars().count();
    let is_control = |character: char| character.is_control() && character != '\n';
    let is_right = (1..=length_max).contains(&length) && !text.chars().any(is_control);
    (!is_right).then(|| {
        let allowed = format!(
            "must have 1 to {length_max} characters without control characters but line breaks"
        );
        problem(field, allowed)
    })
}

fn problem(field: impl Into<String>, detail: impl Into<String>) -> DraftProblem {
    DraftProblem { field: field.into(), detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> SaleDraft {
        let offer = Offer {
            product_id: "p-1".to_owned(),
            title: "苹果".to_owned(),
            price: 100,
            list_price: Some(200),
            currency: Currency::parse("CNY").expect("a code"),
            allotted: 10,
            limit_per_user: 1,
            payment_window_milliseconds: 600_000,
            description: None,
            picture: None,
            admission: Admission::OPEN,
            buckets: 1,
        };
        SaleDraft {
            title: "noon".to_owned(),
            starts_at: Timestamp(1_000),
            ends_at: Timestamp(2_000),
            items: vec![offer],
        }
    }

    /// Applies a change to a right draft and lists the fields that are wrong then.
    fn check(change: impl FnOnce(&mut SaleDraft), expected: &[&str]) {
        let mut draft = draft();
        change(&mut draft);
        let fields: Vec<String> = draft.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_draft_without_later_fields_reads_as_it_always_did() {
        let text = "Offer { product_id: \"p-1\", title: \"苹果\", price: 100, list_price: Some(200), \
                    currency: Currency([67, 78, 89]), allotted: 10, limit_per_user: 1, \
                    payment_window_milliseconds: 600000 }";
        let mut offer = draft().items.remove(0);
        assert_eq!(format!("{offer:?}"), text);
        offer.description = Some("red".to_owned());
        assert!(format!("{offer:?}").ends_with("600000, description: \"red\" }"));
        offer.admission.buy_token = true;
        assert!(format!("{offer:?}").contains("\"red\", admission: Admission"));
        offer.buckets = 2;
        assert!(format!("{offer:?}").ends_with(", buckets: 2 }"));
    }

    #[test]
    fn each_field_has_its_range() {
        check(|_| {}, &[]);
        check(|draft| draft.title.clear(), &["title"]);
        check(|draft| draft.title = "a\nb".to_owned(), &["title"]);
        check(|draft| draft.ends_at = draft.starts_at, &["ends_at"]);
        check(|draft| draft.items.clear(), &["items"]);
        check(
            |draft| draft.items[0].price = PRICE_MAX + 1,
            &["items[0].price", "items[0].list_price"],
        );
        check(|draft| draft.items[0].list_price = Some(99), &["items[0].list_price"]);
        check(|draft| draft.items[0].allotted = 0, &["items[0].allotted"]);
        check(
            |draft| {
                let item = &mut draft.items[0];
                (item.price, item.list_price, item.limit_per_user) = (PRICE_MAX, None, 9_008);
            },
            &["items[0].price"],
        );
        check(|draft| draft.items[0].buckets = 0, &["items[0].buckets"]);
        check(|draft| draft.items[0].buckets = 65, &["items[0].buckets"]);
        check(|draft| draft.items[0].limit_per_user = 0, &["items[0].limit_per_user"]);
        check(
            |draft| draft.items[0].payment_window_milliseconds = 999,
            &["items[0].payment_window_seconds"],
        );
        check(|draft| draft.items[0].product_id = "x".repeat(65), &["items[0].product_id"]);
        let describe =
            |text: String| move |draft: &mut SaleDraft| draft.items[0].description = Some(text);
        check(describe("苹果\n\n香".repeat(200)), &[]);
        check(describe("果".repeat(DESCRIPTION_LENGTH_MAX + 1)), &["items[0].description"]);
        check(describe("a\tb".to_owned()), &["items[0].description"]);
        check(describe(String::new()), &["items[0].description"]);
        let guard = |spread_milliseconds, lead_seconds| {
            move |draft: &mut SaleDraft| {
                draft.items[0].admission = Admission {
                    buy_token: true,
                    lead_seconds,
                    spread_milliseconds,
                    ..Admission::OPEN
                };
            }
        };
        check(guard(999, 86_400), &[]);
        check(guard(1_000, 0), &["items[0].admission.spread_milliseconds"]);
        check(guard(0, 86_401), &["items[0].admission.lead_seconds"]);
        check(|draft| draft.items.push(draft.items[0].clone()), &["items[1].product_id"]);
        check(
            |draft| draft.items = vec![draft.items[0].clone(); ITEMS_PER_SALE_MAX + 1],
            &[
                vec!["items".to_owned()],
                (1..ITEMS_PER_SALE_MAX).map(|i| format!("items[{i}].product_id")).collect(),
            ]
            .concat()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
        );
    }
}
