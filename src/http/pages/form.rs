//! What a visitor enters into a form: read from the request, and shown again with what is wrong.
//!
//! A form works without scripts, so a mistake comes back as the page itself, with everything that was
//! typed, the fields marked, and a summary that leads to each.

use super::multipart;
use crate::http::identity::origin;
use crate::http::problem::{Code, Problem};
use crate::http::request::body::{self, BodyBytesMax};
use crate::http::state::Edge;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use std::sync::Arc;

/// The most fields of a form: a sale of 200 items with a dozen fields each.
const FIELDS_MAX: usize = 4_096;

/// The fields of a form that was submitted by a page of this shop, in their order, and the files that were
/// chosen.
#[derive(Clone, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
    files: Vec<(String, Bytes)>,
}

impl Form {
    /// Returns the field's text; empty if the form has no such field.
    pub fn text(&self, name: &str) -> &str {
        let mut values = self.fields.iter().filter(|(found, _)| found == name);
        values.next().map_or("", |(_, value)| value)
    }

    /// Returns whether the form has the field: a box that was ticked, a button that was pressed.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(found, _)| found == name)
    }

    /// Returns the files that were chosen, each with its field's name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.files.iter().map(|(name, content)| (name.as_str(), content))
    }
}

/// Reads the form. A form that another site's page submits is refused, with a session or without: else a
/// visitor could be logged in as somebody else.
impl FromRequest<Arc<Edge>> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        origin::check(edge.site_of(&parts.extensions), &parts)
            .map_err(|error| Problem::new(Code::Forbidden, error.to_string()))?;
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let boundary = kind.and_then(multipart::boundary).map(str::to_owned);
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        if boundary.is_none() && !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let detail =
                "send the form as application/x-www-form-urlencoded or multipart/form-data";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        let bytes_max = parts.extensions.get().map(|BodyBytesMax(bytes_max)| *bytes_max);
        let bytes_max = bytes_max.unwrap_or_else(|| edge.live_options.body_bytes_max());
        let bytes = body::read(body, bytes_max, edge.options.body_timeout).await?;
        match boundary {
            Some(boundary) => parse_parts(&bytes, &boundary),
            None => parse(&bytes).map(|fields| Self { fields, files: Vec::new() }),
        }
    }
}

/// Returns what a form with files holds. A field of a file that none was chosen for is left out.
fn parse_parts(bytes: &Bytes, boundary: &str) -> Result<Form, Problem> {
    let parts = multipart::parse(bytes, boundary, FIELDS_MAX)
        .map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
    let mut form = Form::default();
    for part in parts {
        match part.is_file {
            true if part.content.is_empty() => {}
            true => form.files.push((part.name, part.content)),
            false => {
                let text = String::from_utf8_lossy(&part.content).into_owned();
                form.fields.push((part.name, text));
            }
        }
    }
    Ok(form)
}

/// Returns the pairs of a query or a form (the URL standard, application/x-www-form-urlencoded).
fn parse(bytes: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    let pairs = bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let fields = pairs.take(FIELDS_MAX + 1).map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (decoded(&pair[..end]), decoded(pair.get(end + 1..).unwrap_or_default()))
    });
    let fields: Vec<_> = fields.collect();
    if fields.len() > FIELDS_MAX {
        let detail = format!("a form may have {FIELDS_MAX} fields");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    Ok(fields)
}

fn decoded(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| *first == b'%').and_then(|digits| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            // Two hexadecimal digits fit a byte.
            Some((digit(digits[0])? * 16 + digit(digits[1])?) as u8)
        });
        rest = after;
        match (escape, first) {
            (Some(byte), _) => {
                text.push(byte);
                rest = &after[2..];
            }
            (None, b'+') => text.push(b' '),
            (None, byte) => text.push(*byte),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// One field that is not valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FormError {
    /// The `id` of the field's element.
    pub field: String,
    /// What is wrong, in the visitor's language.
    pub message: String,
}

/// The fields of a form that are not valid.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FormErrors(Vec<FormError>);

impl FormErrors {
    /// Adds what is wrong with a field, by the `id` of its element.
    pub fn push(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FormError { field: field.into(), message: message.into() });
    }

    /// Returns whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all that is wrong, in the order in which it was found.
    pub fn iter(&self) -> impl Iterator<Item = &FormError> {
        self.0.iter()
    }

    /// Returns what is wrong with the field; empty if nothing is.
    pub fn of(&self, field: impl AsRef<str>) -> &str {
        let mut found = self.0.iter().filter(|error| error.field == field.as_ref());
        found.next().map_or("", |error| &error.message)
    }
}

/// Returns `path` if it leads to a page of this shop: where a visitor goes on after logging in.
pub fn own_path(path: &str) -> Option<&str> {
    const LENGTH_MAX: usize = 512;
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_own = path.starts_with('/') && !path.starts_with("//");
    (is_plain && is_own && path.len() <= LENGTH_MAX).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        for (text, expected) in [
            ("", &[][..]),
            ("a=1&b=2", &[("a", "1"), ("b", "2")]),
            ("a=b=c&&d", &[("a", "b=c"), ("d", "")]),
            ("name=%E7%8E%8B+%E4%BC%9F&x=%2B%26%3D", &[("name", "王 伟"), ("x", "+&=")]),
            ("a=%&b=%4&c=%zz", &[("a", "%"), ("b", "%4"), ("c", "%zz")]),
            ("a=%ff", &[("a", "\u{FFFD}")]),
        ] {
            let fields = parse(text.as_bytes()).unwrap();
            let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(fields, expected, "{text}");
        }
        let many = "a&".repeat(FIELDS_MAX + 1);
        assert_eq!(parse(many.as_bytes()).unwrap_err().code, Code::BodyTooLarge);
    }

    #[test]
    fn only_paths_of_this_shop_are_gone_on_to() {
        for (path, is_own) in [
            ("/zh/items/7", true),
            ("/zh/orders?starting_after=1", true),
            ("", false),
            ("zh/", false),
            ("//evil.example/", false),
            ("/\\evil.example/", false),
            ("https://evil.example/", false),
            ("/a b", false),
            ("/a\r\nset-cookie: x", false),
        ] {
            assert_eq!(own_path(path).is_some(), is_own, "{path:?}");
        }
        assert_eq!(own_path(&format!("/{}", "a".repeat(512))), None);
    }
}
