//! `/challenge`: what a provider shows, in a frame of its own.
//!
//! A provider's script writes styles and markup as it likes, which no other page lets any script do; so the
//! page of an item frames this one, hears the solution from it, and stays as strict as it is.

use crate::http::pages::assets::Assets;
use crate::http::pages::headers::{Keep, frame};
use crate::http::pages::shop::visit::render;
use crate::http::problem::Problem;
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "shop/challenge.html")]
struct Challenge<'a> {
    provider: &'static str,
    site_key: &'a str,
    action: &'static str,
    script: &'a str,
    widget: String,
}

/// Shows the provider's challenge, if there is a provider.
pub async fn show(State(edge): State<Arc<Edge>>) -> Result<Response, Problem> {
    let provider = edge.challenges.provider().ok_or_else(Problem::not_found)?;
    let (shown, script) = (provider.shown(), provider.script());
    let page = Challenge {
        provider: shown.provider.name(),
        site_key: shown.site_key,
        action: shown.action,
        script: &script.url,
        widget: Assets::path("widget.js"),
    };
    frame(&edge.site, render(&page)?, Keep::Nobody, &script.sources)
}
