//! Who looks at one of the shop's pages, in which language and from where: read from the request once.

use crate::http::auth::bearer;
use crate::http::auth::token::Principal;
use crate::http::identity::cookie::{SESSION, WHO};
use crate::http::identity::site::Place;
use crate::http::pages::flash;
use crate::http::pages::headers::{self, Keep};
use crate::http::pages::language::Language;
use crate::http::pages::shell::{Shell, Visitor};
use crate::http::pages::words::Words;
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use domain::UserId;
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use std::convert::Infallible;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

/// A visitor's request for a page.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What pages say to the visitor.
    pub words: Words,
    /// The buyer, if the visitor has logged in.
    pub buyer: Option<UserId>,
    /// The request's headers.
    pub headers: HeaderMap,
    /// What was asked for.
    pub uri: Uri,
}

impl FromRequestParts<Arc<Edge>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Infallible> {
        let place = edge.site.place(&parts.headers, &parts.uri);
        let language = Language::of_request(&parts.headers, &parts.uri, place);
        let token = SESSION.read(&parts.headers, place);
        let session = token.and_then(|token| bearer::read(edge, token).ok());
        let buyer = match session.map(|session| session.principal) {
            Some(Principal::Buyer(user_id)) => Some(user_id),
            _ => None,
        };
        Ok(Self {
            words: Words::of(language),
            buyer,
            headers: parts.headers.clone(),
            uri: parts.uri.clone(),
        })
    }
}

impl Visit {
    /// Returns the language of the page.
    pub fn language(&self) -> Language {
        self.words.language()
    }

    /// Returns where the visitor's browser sees the shop.
    pub fn place<'a>(&'a self, edge: &'a Edge) -> Place<'a> {
        edge.site.place(&self.headers, &self.uri)
    }

    /// Returns the buyer's name, as the cookie for scripts has it: to greet with, and for nothing else.
    pub fn name<'a>(&'a self, edge: &'a Edge) -> Option<&'a str> {
        let (rest, _) = WHO.read(&self.headers, self.place(edge))?.rsplit_once('.')?;
        rest.rsplit_once('.').map(|(name, _)| name).filter(|name| !name.is_empty())
    }

    /// Returns the frame of a page that is this visitor's.
    pub fn shell(&self, edge: &Edge, title: String, path: impl Into<String>) -> Shell {
        let place = self.place(edge);
        let name = self.name(edge).unwrap_or("–");
        let visitor = self.buyer.map_or(Visitor::Guest, |_| Visitor::Buyer(name.to_owned()));
        let flash = flash::read(&self.headers, place).and_then(|key| said(self.words, key));
        Shell { words: self.words, title, path: path.into(), visitor, flash }
    }

    /// Makes the answer of a page that is this visitor's.
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
        let mut response = headers::page(&edge.site, status, html, Keep::Visitor);
        flash::clear(&self.headers, response.headers_mut(), self.place(edge));
        Ok(response)
    }

    /// Returns the path of a page in the visitor's language.
    pub fn href(&self, path: impl Display) -> String {
        format!("/{}{path}", self.language().name())
    }

    /// Returns the buyer, or leads a guest to the log-in, and from there back to this page.
    ///
    /// # Errors
    /// Returns the answer for a guest.
    pub fn buyer_or_log_in(&self) -> Result<UserId, Box<Response>> {
        // A form without fields leaves a question mark behind.
        let to = self.uri.path_and_query().map_or("", |path| path.as_str());
        self.buyer_or_log_in_for(to.trim_end_matches('?'))
    }

    /// Returns the buyer, or leads a guest to the log-in, and from there to this page.
    ///
    /// # Errors
    /// Returns the answer for a guest.
    pub fn buyer_or_log_in_for(&self, to: &str) -> Result<UserId, Box<Response>> {
        self.buyer.ok_or_else(|| {
            let path = self.href(format_args!("/login?to={}", escaped(to)));
            Box::new(Redirect::to(&path).into_response())
        })
    }

    /// Leads to a page in the visitor's language, which says once what `flash` stands for.
    pub fn lead_to(&self, edge: &Edge, path: impl Display, flash: Option<&str>) -> Response {
        let mut response = Redirect::to(&self.href(path)).into_response();
        if let Some(key) = flash {
            flash::set(response.headers_mut(), self.place(edge), key);
        }
        response
    }
}

/// Returns text as it stands in a query.
pub fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

/// Returns a value as JSON that can stand in a page's `script` element, where it is data.
pub fn data_block(value: &Value) -> String {
    // What ends the element, or begins a comment in it, has a `<`.
    value.to_string().replace('<', "\\u003c")
}

/// Renders a page.
///
/// # Errors
/// Returns a problem if it cannot be rendered, which no page of this shop comes to.
pub fn render(page: &impl Template) -> Result<String, Problem> {
    page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Problem::new(Code::Overloaded, "the page could not be rendered")
    })
}

/// What the shop says for a key, once.
fn said(words: Words, key: &str) -> Option<String> {
    Some(match key {
        "registered" => words.flash_registered(),
        "logged_in" => words.flash_logged_in(),
        "logged_out" => words.flash_logged_out(),
        "paid" => words.flash_paid(),
        "cancelled" => words.flash_cancelled(),
        "closed" => words.flash_closed(),
        "busy" => words.flash_busy(),
        "payment_refused" => words.flash_payment_refused(),
        "too_many_payments" => words.flash_too_many_payments(),
        "password_changed" => words.flash_password_changed(),
        _ => return None,
    })
}
