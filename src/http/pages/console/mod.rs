//! The pages for those who run the shop, below `/console`: a file for each, `shell` with the frame around
//! them, `visit` with who looks at one, and `sale_fields`, `sale_view`, `rule_fields` and `log_view` with what
//! several of them show.
//!
//! They call the functions behind the admin API. Their session is a cookie of its own, which that API does
//! not take.

mod approve;
mod dashboard;
mod dead_letters;
mod edit;
mod enter;
mod guard;
mod live;
mod log;
mod log_view;
mod operators;
mod orders;
mod refunds;
mod rule_change;
mod rule_fields;
mod rules;
mod sale_fields;
mod sale_view;
mod sales;
pub mod shell;
mod soon;
mod tonight;
pub mod viewer;
pub mod visit;

use crate::http::pages::live::stream;
use crate::http::state::Edge;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// Returns the table of the console's routes.
pub fn routes() -> Router<Arc<Edge>> {
    let sale = |rest: &str| format!("/console/sales/{{sale}}{rest}");
    Router::new()
        .route("/console/dashboard", get(dashboard::show))
        .route("/console/live", get(stream::watch))
        .route("/console", get(tonight::show))
        .route("/console/log-in", get(enter::show_log_in).post(enter::log_in))
        .route("/console/accept", get(enter::show_accept).post(enter::accept))
        .route("/console/log-out", post(enter::log_out))
        .route("/console/language/{language}", get(enter::choose_language))
        .route("/console/sales", get(sales::list))
        .route("/console/sales/new", get(edit::create).post(edit::submit_new))
        .route(&sale(""), get(sales::show))
        .route(&sale("/edit"), get(edit::edit).post(edit::submit_edit))
        .route(&sale("/submit"), post(sales::submit))
        .route(&sale("/withdraw"), post(sales::withdraw))
        .route(&sale("/revise"), post(sales::revise))
        .route(&sale("/delete"), post(sales::delete))
        .route(&sale("/approve"), get(approve::show).post(approve::submit))
        .route(&sale("/live"), get(live::show))
        .route(&sale("/figures"), get(live::figures))
        .route(&sale("/pause"), post(live::pause))
        .route(&sale("/resume"), post(live::resume))
        .route(&sale("/end"), post(live::end))
        .route(&sale("/items/{item}/units"), post(live::change_units))
        .route(&sale("/items/{item}/guard"), get(guard::show).post(guard::submit))
        .route("/console/rules", get(rules::show))
        .route("/console/rules/entries", post(rules::add))
        .route("/console/rules/entries/{entry}/remove", post(rules::remove))
        .route("/console/rules/{name}", get(rule_change::show).post(rule_change::submit))
        .route("/console/orders", get(orders::show))
        .route("/console/orders.csv", get(orders::file))
        .route("/console/refunds", get(refunds::show))
        .route("/console/refunds.csv", get(refunds::file))
        .route("/console/refunds/{payment}", post(refunds::settle))
        .route("/console/dead-letters", get(dead_letters::show))
        .route("/console/dead-letters/replay", post(dead_letters::replay))
        .route("/console/log", get(log::show))
        .route("/console/operators", get(operators::show))
        .route("/console/operators/link", post(operators::make_link))
        .route("/console/operators/switch", post(operators::switch))
}
