//! JSON bodies: when a body is taken for JSON, and which JSON is accepted.

use crate::http::problem::{Code, Problem, shortened};
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Checks that the headers announce a JSON body without an encoding.
///
/// # Errors
/// Returns an `unsupported_media_type` problem if they do not.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "encoded bodies are not accepted: send it without Content-Encoding",
        ));
    }
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|given| {
        let given = given.as_bytes();
        let end = given.iter().position(|byte| *byte == b';').unwrap_or(given.len());
        given[..end].trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if is_json {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "send Content-Type: application/json"))
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
    use hyper::header::HeaderValue;

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
}
