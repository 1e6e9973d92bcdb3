//! Which operator looks at one of the console's pages, in which language and from where: read from the
//! request once. Who has not logged in is led to where that is done.

use super::shell::{ConsoleShell, Section};
use crate::http::identity::operators::{ConsoleUser, identify};
use crate::http::identity::site::{Place, Site};
use crate::http::pages::flash;
use crate::http::pages::headers::{self, Keep};
use crate::http::pages::language::Language;
use crate::http::pages::shop::visit::render;
use crate::http::pages::times::{Moment, moment};
use crate::http::pages::words::Words;
use crate::http::problem::Problem;
use crate::http::state::{Edge, OnOperations};
use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use domain::Timestamp;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode, Uri};
use std::convert::Infallible;
use std::sync::Arc;

/// Somebody's request for a page that one sees without being logged in.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// What pages say.
    pub words: Words,
    /// The request's headers.
    pub headers: HeaderMap,
    /// What was asked for.
    pub uri: Uri,
    /// Where it came in.
    listener: Option<OnOperations>,
}

impl FromRequestParts<Arc<Edge>> for Stranger {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Infallible> {
        Ok(Self::of(parts, edge))
    }
}

impl Stranger {
    fn of(parts: &Parts, edge: &Edge) -> Self {
        let place = edge.site_of(&parts.extensions).place(&parts.headers, &parts.uri);
        let language = Language::preferred(&parts.headers, place);
        Self {
            words: Words::of(language),
            headers: parts.headers.clone(),
            uri: parts.uri.clone(),
            listener: parts.extensions.get().copied(),
        }
    }

    fn site<'a>(&self, edge: &'a Edge) -> &'a Site {
        edge.site_at(self.listener)
    }

    /// Returns where the browser sees the shop.
    pub fn place<'a>(&'a self, edge: &'a Edge) -> Place<'a> {
        self.site(edge).place(&self.headers, &self.uri)
    }

    /// Returns the frame of a page without navigation.
    pub fn shell(&self, edge: &Edge, title: String) -> ConsoleShell {
        let flash = flash::read(&self.headers, self.place(edge));
        let flash = flash.and_then(|key| said(self.words, key));
        let offset = Some(edge.options.pages.utc_offset);
        ConsoleShell { flash, offset, ..ConsoleShell::new(self.words, title) }
    }

    /// Makes the answer of a page.
    ///
    /// # Errors
    /// Returns a problem if the page cannot be rendered.
    pub fn page(
        &self,
        edge: &Edge,
        status: StatusCode,
        page: &impl Template,
    ) -> Result<Response, Problem> {
        let html = render(page)?;
        let mut response = headers::page(self.site(edge), status, html, Keep::Nobody);
        flash::clear(&self.headers, response.headers_mut(), self.place(edge));
        Ok(response)
    }

    /// Leads to a page, which says once what `flash` stands for.
    pub fn lead_to(&self, edge: &Edge, path: &str, flash: Option<&str>) -> Response {
        let mut response = Redirect::to(path).into_response();
        if let Some(key) = flash {
            flash::set(response.headers_mut(), self.place(edge), key);
        }
        response
    }

    /// Returns an instant as pages show it.
    pub fn moment(&self, edge: &Edge, at: Timestamp) -> Moment {
        moment(self.words.language(), edge.options.pages.utc_offset, at)
    }
}

/// An operator's request for a page.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The operator who asks.
    pub user: ConsoleUser,
    /// What was asked for.
    pub asked: Stranger,
}

impl std::ops::Deref for Visit {
    type Target = Stranger;

    fn deref(&self) -> &Stranger {
        &self.asked
    }
}

impl FromRequestParts<Arc<Edge>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Response> {
        match identify(edge, parts).await {
            Ok(Some(user)) => Ok(Self { user, asked: Stranger::of(parts, edge) }),
            Ok(None) => Err(to_log_in(parts, &Stranger::of(parts, edge), edge)),
            Err(problem) => Err(problem.into_response()),
        }
    }
}

impl Visit {
    /// Returns the frame of a page in this section.
    pub fn frame(&self, edge: &Edge, title: String, section: Section) -> ConsoleShell {
        ConsoleShell {
            user: Some(self.user.clone()),
            section: Some(section),
            ..self.asked.shell(edge, title)
        }
    }
}

/// Leads to the log-in and from there back to the page that was asked for, or where the form stands that was sent.
/// What a form carried is gone then, which the log-in says.
fn to_log_in(parts: &Parts, asked: &Stranger, edge: &Edge) -> Response {
    let is_form = parts.method == Method::POST;
    asked.lead_to(edge, &log_in_for(&parts.uri, is_form), is_form.then_some("session_over"))
}

/// Returns the log-in's path, with where it leads to.
fn log_in_for(uri: &Uri, is_form: bool) -> String {
    let to = match is_form {
        true => page_of_form(uri.path()),
        false => uri.path_and_query().map_or(uri.path(), |path| path.as_str()).to_owned(),
    };
    match to.as_str() {
        "/console" => "/console/log-in".to_owned(),
        to => format!("/console/log-in?to={}", to.bytes().map(escape).collect::<String>()),
    }
}

/// Returns the page on which the form stands that is sent to this path: most of these paths show none themselves.
fn page_of_form(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    match parts.as_slice() {
        ["sales", sale, "submit" | "withdraw" | "revise" | "delete"] => {
            format!("/console/sales/{sale}")
        }
        ["sales", sale, "pause" | "resume" | "end"] | ["sales", sale, "items", _, "units"] => {
            format!("/console/sales/{sale}/live")
        }
        ["rules", "entries", ..] => "/console/rules".to_owned(),
        [list @ ("refunds" | "dead-letters" | "operators"), _] => format!("/console/{list}"),
        _ => path.to_owned(),
    }
}

fn escape(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.') {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// What the console says for a key, once.
fn said(words: Words, key: &str) -> Option<String> {
    Some(match key {
        "session_over" => words.console_flash_session_over(),
        "console_logged_out" => words.console_flash_logged_out(),
        "welcome" => words.console_flash_welcome(),
        "saved" => words.console_flash_saved(),
        "deleted" => words.console_flash_deleted(),
        "submitted" => words.console_flash_submitted(),
        "withdrawn" => words.console_flash_withdrawn(),
        "revised" => words.console_flash_revised(),
        "approved" => words.console_flash_approved(),
        "rejected" => words.console_flash_rejected(),
        "paused" => words.console_flash_paused(),
        "resumed" => words.console_flash_resumed(),
        "ended" => words.console_flash_ended(),
        "units_changed" => words.console_flash_units_changed(),
        "guarded" => words.console_flash_guarded(),
        "rules_changed" => words.console_flash_rules_changed(),
        "entry_added" => words.console_flash_entry_added(),
        "entry_removed" => words.console_flash_entry_removed(),
        "refunded" => words.console_flash_refunded(),
        "replayed" => words.console_flash_replayed(),
        "disabled" => words.console_flash_disabled(),
        "enabled" => words.console_flash_enabled(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_log_in_the_page_that_was_asked_for_is_shown() {
        let orders = "/console/orders?user=1&status=paid";
        for (is_form, path, to) in [
            (false, "/console", ""),
            (false, "/console/sales/7", "?to=/console/sales/7"),
            (false, orders, "?to=/console/orders%3Fuser%3D1%26status%3Dpaid"),
            (true, "/console/sales/new", "?to=/console/sales/new"),
            (true, "/console/sales/7/pause", "?to=/console/sales/7/live"),
            (true, "/console/rules/entries/deny_user-7/remove", "?to=/console/rules"),
        ] {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(log_in_for(&uri, is_form), format!("/console/log-in{to}"), "{path}");
        }
    }
}
