//! What several pages of the console say of a sale: its stage, its items, and whether it is ready.

use super::sale_fields::guard_name;
use super::visit::Visit;
use crate::http::admin::preheat::PreheatItem;
use crate::http::pages::money;
use crate::http::pages::times::Moment;
use crate::http::pages::words::{Words, grouped};
use crate::http::state::Edge;
use domain::catalogue::{Sale, SaleItem};
use domain::{Admission, ItemCounters, SaleStage, SaleStatus};

/// Returns what a stage is called.
pub fn stage_name(words: Words, stage: SaleStage) -> String {
    match stage {
        SaleStage::Live => words.stage_live(),
        SaleStage::Status(SaleStatus::Draft) => words.stage_draft(),
        SaleStage::Status(SaleStatus::Submitted) => words.stage_submitted(),
        SaleStage::Status(SaleStatus::Rejected) => words.stage_rejected(),
        SaleStage::Status(SaleStatus::Approved) => words.stage_approved(),
        SaleStage::Status(SaleStatus::Preheated) => words.stage_preheated(),
        SaleStage::Status(SaleStatus::Ended) => words.stage_ended(),
        SaleStage::Status(SaleStatus::Settled) => words.stage_settled(),
    }
}

/// Returns the class of a stage's badge.
pub fn stage_badge(stage: SaleStage) -> &'static str {
    match stage {
        SaleStage::Live => "good",
        SaleStage::Status(SaleStatus::Submitted | SaleStatus::Approved) => "warn",
        SaleStage::Status(SaleStatus::Rejected) => "bad",
        SaleStage::Status(_) => "",
    }
}

/// A sale as lists show it.
pub struct SaleRow {
    /// The sale's number.
    pub number: u64,
    /// What it is called.
    pub title: String,
    /// How far it has come, in words.
    pub stage: String,
    /// The class of that word's badge.
    pub badge: &'static str,
    /// When it starts.
    pub starts_at: Moment,
    /// When it is over.
    pub ends_at: Moment,
    /// How many items it has.
    pub items: u64,
    /// Who edited it last.
    pub by: String,
}

impl SaleRow {
    /// Returns the sale as lists show it now.
    pub fn new(edge: &Edge, visit: &Visit, sale: &Sale) -> Self {
        let stage = sale.status.stage(edge.engine.now(), sale.starts_at, sale.ends_at);
        Self {
            number: sale.sale_id.0,
            title: sale.title.clone(),
            stage: stage_name(visit.words, stage),
            badge: stage_badge(stage),
            starts_at: visit.moment(edge, sale.starts_at),
            ends_at: visit.moment(edge, sale.ends_at),
            items: sale.items.len() as u64,
            by: sale.edited_by.clone(),
        }
    }
}

/// An item's units as pages show them, with the sum that has to come out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Units {
    /// Units on sale in all.
    pub allotted: String,
    /// Units that can be bought.
    pub available: String,
    /// Units of unpaid orders.
    pub reserved: String,
    /// Units of paid orders.
    pub sold: String,
    /// Whether the three add up to the first.
    pub adds_up: bool,
}

impl From<ItemCounters> for Units {
    fn from(counters: ItemCounters) -> Self {
        let text = |units: u32| grouped(&units.to_string());
        let sum =
            u64::from(counters.available) + u64::from(counters.reserved) + u64::from(counters.sold);
        Self {
            allotted: text(counters.allotted),
            available: text(counters.available),
            reserved: text(counters.reserved),
            sold: text(counters.sold),
            adds_up: sum == u64::from(counters.allotted),
        }
    }
}

/// An item as a sale's page shows it.
pub struct ItemRow {
    /// The product, as its seller names it.
    pub product: String,
    /// What it is called.
    pub title: String,
    /// What it costs.
    pub price: String,
    /// What it costs otherwise; empty if nobody says.
    pub list_price: String,
    /// Units on sale at the start.
    pub allotted: String,
    /// Units that one buyer may hold.
    pub limit: u64,
    /// How long an order may stay unpaid, in seconds.
    pub window: u64,
    /// What is said of it, in paragraphs; empty if nothing is.
    pub description: String,
    /// The name of its picture; empty if it has none.
    pub picture: String,
    /// How it is guarded from the start on; empty if everybody may buy it.
    pub guard: String,
    /// Its units now, once it is in its shard.
    pub units: Option<Units>,
}

impl ItemRow {
    /// Returns the item as it is now.
    pub fn new(edge: &Edge, visit: &Visit, item: &SaleItem) -> Self {
        let offer = &item.offer;
        let units = edge.engine.known_gate(item.item_id).and_then(|gate| gate.units());
        let money = |amount| money::format(visit.words.language(), offer.currency, amount);
        Self {
            product: offer.product_id.clone(),
            title: offer.title.clone(),
            price: money(offer.price),
            list_price: offer.list_price.map(money).unwrap_or_default(),
            allotted: grouped(&offer.allotted.to_string()),
            limit: u64::from(offer.limit_per_user),
            window: offer.payment_window_milliseconds / 1000,
            description: offer.description.clone().unwrap_or_default(),
            picture: offer.picture.map(|picture| picture.to_string()).unwrap_or_default(),
            guard: guard(visit.words, offer.admission),
            units: units.map(Units::from),
        }
    }
}

/// Returns how an item is guarded, in words; empty if everybody may buy it.
fn guard(words: Words, admission: Admission) -> String {
    if !admission.buy_token {
        return String::new();
    }
    let name = guard_name(words, admission.challenge.name());
    let (lead, spread) = (admission.lead_seconds, admission.spread_milliseconds);
    words.guard_said(&name, u64::from(lead), u64::from(spread))
}

/// Whether a sale is ready to be sold: each item, and what the sale depends on.
pub struct Checks {
    /// Whether all is well.
    pub is_ready: bool,
    /// Each check, in words.
    pub checks: Vec<Check>,
}

/// One thing that has to be right before a sale starts.
pub struct Check {
    /// Whether it is.
    pub is_good: bool,
    /// What it is about.
    pub about: String,
    /// How it is.
    pub said: String,
}

impl Checks {
    /// Looks at the sale's items and at what it depends on.
    pub fn of(edge: &Edge, visit: &Visit, sale: &Sale, items: &[PreheatItem]) -> Self {
        let words = visit.words;
        let mut checks = Vec::with_capacity(items.len() + 8);
        let approver = sale.approved.as_ref().map(|(name, _)| name.clone());
        checks.push(Check {
            is_good: approver.is_some(),
            about: words.check_approval(),
            said: approver.unwrap_or_default(),
        });
        for (item, checked) in sale.items.iter().zip(items) {
            let said = match (checked.loaded, checked.terms_agree, checked.shard) {
                (true, true, Some(shard)) => words.check_loaded(u64::from(shard)),
                (true, false, _) => words.check_terms(),
                _ => words.check_not_loaded(),
            };
            let about = item.offer.title.clone();
            checks.push(Check { is_good: checked.is_ready(), about, said });
        }
        let status = edge.engine.status();
        let are_up = status.shards_up == status.shards;
        checks.push(Check {
            is_good: status.refusing_because.is_none() && are_up,
            about: words.check_engine(),
            said: words.check_shards(status.shards_up as u64, status.shards as u64),
        });
        for dependency in status.dependencies {
            checks.push(Check {
                is_good: dependency.healthy,
                about: format!("{} ({})", dependency_name(words, dependency.name), dependency.kind),
                said: words.meaning(&dependency.meaning),
            });
        }
        Self { is_ready: checks.iter().all(|check| check.is_good), checks }
    }
}

/// Returns what a dependency is called.
pub fn dependency_name(words: Words, name: &str) -> String {
    match name {
        "journal" => words.dependency_journal(),
        "clock" => words.dependency_clock(),
        "data_directory" => words.dependency_data_directory(),
        "tasks" => words.dependency_tasks(),
        "settings" => words.dependency_settings(),
        "certificate" => words.dependency_certificate(),
        "checkpoint" => words.dependency_checkpoint(),
        "broker" => words.dependency_broker(),
        "events" => words.dependency_events(),
        "order_store" => words.dependency_order_store(),
        "catalogue" => words.dependency_catalogue(),
        name => match name.strip_prefix("order_store_") {
            Some(place) => format!("{} {place}", words.dependency_order_store()),
            None => name.replace('_', " "),
        },
    }
}
