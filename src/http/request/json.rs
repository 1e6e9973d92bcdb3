//! JSON bodies: when a body is taken for JSON, and which JSON is accepted.

use crate::http::problem::{Code, Problem, shortened};
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Checks that the headers announce a JSON body, once, in UTF-8 and without an encoding.
///
/// # Errors
/// Returns a `bad_request` problem if they announce two types, and an `unsupported_media_type` one if it
/// is another type, character set or encoding.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail: &'static str| Problem::new(Code::UnsupportedMediaType, detail);
    if headers.get_all(CONTENT_ENCODING).iter().any(|encoding| encoding != "identity") {
        return Err(unsupported(
            "encoded bodies are not accepted: send it without Content-Encoding",
        ));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let given = types.next().map(HeaderValue::as_bytes).unwrap_or_default();
    if types.next().is_some() {
        return Err(Problem::new(Code::BadRequest, "send one Content-Type header"));
    }
    let mut parts = given.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(b"application/json")) {
        return Err(unsupported("send Content-Type: application/json"));
    }
    if parts.any(is_other_charset) {
        return Err(unsupported(
            "JSON is UTF-8: send it so, and Content-Type without another charset",
        ));
    }
    Ok(())
}

/// Whether a parameter of a type says that the text is not in UTF-8, of which ASCII is a part.
fn is_other_charset(parameter: &[u8]) -> bool {
    let Some((name, value)) = parameter.split_at_checked(b"charset".len()) else { return false };
    let Some(value) = value.trim_ascii_start().strip_prefix(b"=") else { return false };
    let value = value.trim_ascii();
    let value =
        value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let is_known =
        [&b"utf-8"[..], b"utf8", b"us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known));
    name.eq_ignore_ascii_case(b"charset") && !is_known
}

/// Parses the JSON object in `bytes`. No key may come twice: readers disagree on which one counts.
///
/// # Errors
/// Returns a `malformed_json` problem if it is not JSON or repeats a key, and an `invalid_field` one
/// if it is not an object.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let Strict(value) = serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(Code::MalformedJson, format!("the body is not valid JSON: {error}"))
    })?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Problem::field("", "must be an object")),
    }
}

/// A JSON value without repeated keys.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if object.contains_key(&key) {
                let key = shortened(&key);
                return Err(de::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_objects_are_accepted() {
        for (text, code) in [
            (r#"{"a":1}"#, None),
            ("{}", None),
            ("", Some(Code::MalformedJson)),
            ("{", Some(Code::MalformedJson)),
            (r#"{"a":1,"a":2}"#, Some(Code::MalformedJson)),
            (r#"{"a":{"b":1,"b":1}}"#, Some(Code::MalformedJson)),
            (r#"{"a":1}}"#, Some(Code::MalformedJson)),
            (r#"{"a":1e999}"#, Some(Code::MalformedJson)),
            ("[1]", Some(Code::InvalidField)),
            ("null", Some(Code::InvalidField)),
        ] {
            let outcome = parse_object(text.as_bytes()).err().map(|problem| problem.code);
            assert_eq!(outcome, code, "{text}");
        }
        let deep = "[".repeat(100_000);
        let problem = parse_object(deep.as_bytes()).unwrap_err();
        assert_eq!(problem.code, Code::MalformedJson);
        let problem = parse_object(b"{\"a\":\"\xff\"}").unwrap_err();
        assert_eq!(problem.code, Code::MalformedJson);
    }

    #[test]
    fn only_unencoded_json_is_read() {
        for (content_type, encoding, taken) in [
            (Some("application/json"), None, true),
            (Some("Application/JSON; charset=utf-8"), None, true),
            (Some("application/json;Charset=\"UTF-8\""), None, true),
            (Some("application/json; charset=us-ascii"), None, true),
            (Some("application/json; profile=x; charset=utf-16"), None, false),
            (Some("application/json; charset=gbk"), None, false),
            (Some("application/json"), Some("identity"), true),
            (Some("application/json"), Some("gzip"), false),
            (Some("text/plain"), None, false),
            (Some("application/jsonp"), None, false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(given) = content_type {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(given));
            }
            if let Some(given) = encoding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(given));
            }
            assert_eq!(require_json(&headers).is_ok(), taken, "{content_type:?} {encoding:?}");
        }
    }

    #[test]
    fn a_type_that_is_said_twice_is_refused_by_its_name() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let problem = require_json(&headers).unwrap_err();
        assert_eq!(problem.code, Code::BadRequest);
        assert_eq!(problem.detail, "send one Content-Type header");
    }
}
