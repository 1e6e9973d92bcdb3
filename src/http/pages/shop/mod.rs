//! The shop's pages, below `/zh` and `/en`.

mod account;
mod challenge;
mod confirm;
pub mod home;
pub mod item;
mod login;
mod orders;
mod register;
mod root;
pub mod sale;
pub mod visit;

use super::files;
use super::language::Language;
use crate::http::state::Edge;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// Returns the table of the shop's routes.
pub fn routes() -> Router<Arc<Edge>> {
    let router = Router::new()
        .route("/", get(root::show))
        .route("/api", get(files::developers))
        .route("/challenge", get(challenge::show))
        .route("/assets/{build}/{name}", get(files::asset))
        .route("/language/{language}", get(root::choose_language))
        .route("/orders/{order}", get(root::order));
    Language::ALL.into_iter().fold(router, |router, language| {
        let path = |path: &str| format!("/{}{path}", language.name());
        router
            .route(&path(""), get(root::home_of_language))
            .route(&path("/"), get(home::show))
            .route(&path("/sales/{sale}"), get(sale::show))
            .route(&path("/items/{item}"), get(item::show))
            .route(&path("/items/{item}/buy"), get(confirm::show).post(confirm::submit))
            .route(&path("/orders"), get(orders::list))
            .route(&path("/orders/{order}"), get(orders::show))
            .route(&path("/orders/{order}/pay"), post(orders::pay))
            .route(&path("/orders/{order}/cancel"), post(orders::cancel))
            .route(&path("/login"), get(login::show).post(login::submit))
            .route(&path("/logout"), post(login::log_out))
            .route(&path("/register"), get(register::show).post(register::submit))
            .route(&path("/account"), get(account::show).post(account::submit))
    })
}
