//! `/console/dashboard`: the live figures, and with `?wall` their first row alone, large.
//!
//! The page is whole without a script: it shows the latest look as it is rendered. With scripts the same
//! places are filled anew each second from `/console/live`.

use super::sale_view::dependency_name;
use super::shell::{ConsoleShell, Section};
use super::viewer::Looker;
use crate::http::pages::headers::{self, Keep};
use crate::http::pages::language::Language;
use crate::http::pages::live::look::{ItemLook, Look, Witness};
use crate::http::pages::live::series::Series;
use crate::http::pages::times::{Moment, moment};
use crate::http::pages::words::{Words, grouped};
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::Timestamp;
use hyper::{HeaderMap, StatusCode, Uri};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/dashboard.html")]
struct Dashboard {
    shell: ConsoleShell,
    is_wall: bool,
    look: Option<Shown>,
    /// Words for the scripts, as JSON that can stand in a page.
    words: String,
}

impl Dashboard {
    /// The latest value of a series.
    fn at(&self, series: &str) -> &str {
        let figures = self.look.as_ref().map(|look| &look.figures);
        figures.and_then(|figures| figures.get(series)).map_or("–", String::as_str)
    }
}

/// A look in the words of the page.
struct Shown {
    at: Moment,
    verdict: String,
    level: &'static str,
    balances: bool,
    figures: BTreeMap<&'static str, String>,
    items: Vec<ItemRow>,
    refusals: Vec<(String, String)>,
    dependencies: Vec<DependencyRow>,
}

struct ItemRow {
    title: String,
    state: String,
    is_live: bool,
    allotted: String,
    available: String,
    reserved: String,
    sold: String,
    balances: bool,
    witness: String,
}

struct DependencyRow {
    name: String,
    kind: &'static str,
    healthy: bool,
    meaning: String,
}

/// Shows the page.
///
/// # Errors
/// Returns a problem if the caller may not see it.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    Looker(visit): Looker,
    asked: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let language = Language::preferred(&asked, edge.site.place(&asked, &uri));
    let words = Words::of(language);
    let is_wall = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "wall"));
    let offset = edge.options.pages.utc_offset;
    let at = |second: u32| moment(language, offset, Timestamp(u64::from(second) * 1_000));
    let look = edge.board.latest().map(|update| shown(words, &update.look, at(update.look.at)));
    let title = words.dashboard_title();
    let shell = match &visit {
        Some(visit) => visit.frame(&edge, title, Section::Dashboard),
        None => ConsoleShell::new(words, title),
    };
    let page = Dashboard { shell, is_wall, look, words: script_words(words) };
    if let Some(visit) = visit {
        return visit.page(&edge, StatusCode::OK, &page);
    }
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "the dashboard cannot be rendered");
        Problem::new(Code::OutcomeUnknown, "the page cannot be shown")
    })?;
    Ok(headers::page(&edge.site, StatusCode::OK, html, Keep::Nobody))
}

fn shown(words: Words, look: &Look, at: Moment) -> Shown {
    let language = words.language();
    let figure = |series: &Series| (series.name(), figure(look.values.0[*series as usize]));
    let mut refusals = Vec::new();
    for refusal in &look.refusals {
        refusals.push((code_title(words, refusal.code), count(refusal.total)));
    }
    Shown {
        at,
        verdict: look.verdict.of(language).to_owned(),
        level: look.level,
        balances: look.balances,
        figures: Series::ALL.iter().map(figure).collect(),
        items: look.items.iter().map(|item| item_row(words, item)).collect(),
        refusals,
        dependencies: look
            .dependencies
            .iter()
            .map(|dependency| DependencyRow {
                name: dependency_name(words, dependency.name),
                kind: dependency.kind,
                healthy: dependency.healthy,
                meaning: dependency.meaning.of(language).to_owned(),
            })
            .collect(),
    }
}

fn item_row(words: Words, item: &ItemLook) -> ItemRow {
    ItemRow {
        title: item.title.clone(),
        state: state_name(words, item.state),
        is_live: item.state == "live",
        allotted: count(u64::from(item.allotted)),
        available: count(u64::from(item.available)),
        reserved: count(u64::from(item.reserved)),
        sold: count(u64::from(item.sold)),
        balances: item.balances,
        witness: witness_name(words, item.witness),
    }
}

fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// A figure with as many digits as one reads at a glance.
fn figure(value: f32) -> String {
    match value {
        value if !value.is_finite() => "–".to_owned(),
        value if value.abs() >= 100.0 || value.fract() == 0.0 => {
            let sign = if value < 0.0 { "−" } else { "" };
            format!("{sign}{}", grouped(&format!("{:.0}", value.abs())))
        }
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn code_title(words: Words, code: &str) -> String {
    let own = words.problem(code).map(|(title, _)| title);
    own.or_else(|| Code::from_name(code).map(|code| code.title().to_owned())).unwrap_or_default()
}

fn state_name(words: Words, state: &str) -> String {
    match state {
        "live" => words.state_live(),
        "sold_out" => words.state_sold_out(),
        "paused" => words.state_paused(),
        "ended" => words.state_ended(),
        "quarantined" => words.state_quarantined(),
        _ => words.state_upcoming(),
    }
}

fn witness_name(words: Words, witness: Witness) -> String {
    match witness {
        Witness::Unheard => words.witness_unheard(),
        Witness::Agrees => words.witness_agrees(),
        Witness::Differs => words.witness_differs(),
    }
}

/// Words that the scripts put into the page.
#[derive(Serialize)]
struct ScriptWords {
    language: &'static str,
    tag: &'static str,
    last_heard: String,
    connecting: String,
    yes: String,
    no: String,
    nothing: String,
    codes: BTreeMap<&'static str, String>,
    states: BTreeMap<&'static str, String>,
    witnesses: BTreeMap<&'static str, String>,
    dependencies: BTreeMap<&'static str, String>,
}

/// The words as JSON in which nothing ends the element that it stands in.
fn script_words(words: Words) -> String {
    let states = ["upcoming", "live", "sold_out", "paused", "ended", "quarantined"];
    let dependencies = [
        "journal",
        "clock",
        "data_directory",
        "tasks",
        "settings",
        "certificate",
        "checkpoint",
        "broker",
        "events",
        "order_store",
        "catalogue",
    ];
    let own = ScriptWords {
        language: words.language().name(),
        tag: words.language().tag(),
        last_heard: words.last_heard("{time}"),
        connecting: words.connecting(),
        yes: words.sums_agree(),
        no: words.sums_differ(),
        nothing: words.nothing_on_sale(),
        codes: Code::ALL.iter().map(|code| (code.name(), code_title(words, code.name()))).collect(),
        states: states.map(|state| (state, state_name(words, state))).into(),
        witnesses: [
            ("unheard", words.witness_unheard()),
            ("agrees", words.witness_agrees()),
            ("differs", words.witness_differs()),
        ]
        .into(),
        dependencies: dependencies.map(|name| (name, dependency_name(words, name))).into(),
    };
    serde_json::to_string(&own).unwrap_or_default().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_at_a_glance() {
        for (value, expected) in [
            (f32::NAN, "–"),
            (0.0, "0"),
            (1_234.6, "1,235"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.05, "0.05"),
            (-1_500.0, "−1,500"),
        ] {
            assert_eq!(figure(value), expected);
        }
    }

    #[test]
    fn the_scripts_words_cannot_end_their_element() {
        for language in Language::ALL {
            let words = script_words(Words::of(language));
            assert!(!words.contains('<'), "{words}");
            let read: serde_json::Value = serde_json::from_str(&words).expect("JSON");
            assert_eq!(read["codes"].as_object().expect("codes").len(), Code::ALL.len());
        }
    }
}
