//! Bodies of requests: how much of them is read, how long it may take, and which JSON is JSON.

use super::connection::Connection;
use super::error::{Code, FieldError, Problem};
use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Reads the whole body, at most `bytes_max` of it, within `timeout`.
///
/// # Errors
/// Where it is larger, later, or breaks off.
pub async fn read<B>(body: B, bytes_max: usize, timeout: Duration) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    tokio::time::timeout(timeout, collect(body, bytes_max, None)).await.unwrap_or_else(|_| {
        Err(Problem::new(Code::RequestTimeout, "the body did not arrive in time"))
    })
}

/// Reads a whole small body without a timer: the connection's sweep says when it has taken too long.
///
/// # Errors
/// Where it is larger, later, or breaks off.
pub async fn read_swept<B>(
    body: B,
    bytes_max: usize,
    connection: &Connection,
) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    let _guard = connection.begin_body();
    collect(body, bytes_max, Some(connection)).await
}

/// Whether the body's announced length is within bounds.
///
/// # Errors
/// Where it is not.
pub fn check_length<B: Body>(body: &B, bytes_max: usize) -> Result<(), Problem> {
    if body.size_hint().lower() <= bytes_max as u64 {
        return Ok(());
    }
    Err(too_large(bytes_max))
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body may have {bytes_max} bytes"))
}

async fn collect<B>(
    body: B,
    bytes_max: usize,
    connection: Option<&Connection>,
) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    check_length(&body, bytes_max)?;
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while !body.is_end_stream() {
        let frame = poll_fn(|context| {
            if connection.is_some_and(Connection::body_expired) {
                return Poll::Ready(Err(Problem::new(
                    Code::RequestTimeout,
                    "the body did not arrive in time",
                )));
            }
            body.as_mut().poll_frame(context).map(Ok)
        })
        .await?;
        let Some(frame) = frame else { break };
        let frame = frame
            .map_err(|_| Problem::new(Code::BadRequest, "the body broke off or is not framed"))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        // A small body comes in one piece, which is then handed on as it is.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
            first = Bytes::new();
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Whether headers allow the body to be read as JSON.
///
/// # Errors
/// Where its type is another or it is encoded.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "encoded bodies are not taken: send it without Content-Encoding",
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

/// The JSON object in `bytes`. No key may come twice: readers disagree on which one counts.
///
/// # Errors
/// Where it is not JSON, repeats a key, or is not an object.
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
                return Err(de::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// Reads the fields of an object one by one and notes what is wrong with each, so that a client
/// hears of all its mistakes at once.
#[derive(Debug)]
pub struct Fields<'a> {
    object: Map<String, Value>,
    /// JSON Pointer of the object, empty for the body itself.
    prefix: String,
    errors: &'a mut Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// The fields of `object`, which is at `prefix` of the body.
    pub fn new(
        object: Map<String, Value>,
        prefix: impl Into<String>,
        errors: &'a mut Vec<FieldError>,
    ) -> Self {
        Self { object, prefix: prefix.into(), errors }
    }

    /// Notes that `name` is wrong.
    pub fn wrong(&mut self, name: &str, detail: impl Into<std::borrow::Cow<'static, str>>) {
        let name = name.replace('~', "~0").replace('/', "~1");
        self.errors.push(FieldError::new(format!("{}/{name}", self.prefix), detail));
    }

    /// Takes the field's value out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name)
    }

    /// Takes the value of a field out that may be absent, which null stands for too.
    pub fn take_optional(&mut self, name: &str) -> Option<Value> {
        self.take(name).filter(|value| !value.is_null())
    }

    /// Takes the value of a required field out.
    pub fn take_required(&mut self, name: &str) -> Option<Value> {
        let value = self.take(name);
        if value.is_none() {
            self.wrong(name, "is missing");
        }
        value
    }

    /// A required integer within `range`.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.take_required(name)?;
        self.bounded(name, &value, range)
    }

    /// An integer within `range`: `None` where it is absent or null, `Some(None)` where it is wrong.
    pub fn optional_integer(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Option<u64>> {
        let value = self.take_optional(name)?;
        Some(self.bounded(name, &value, range))
    }

    fn bounded(&mut self, name: &str, value: &Value, range: RangeInclusive<u64>) -> Option<u64> {
        let number = whole_number(value).filter(|number| range.contains(number));
        if number.is_none() {
            let (first, last) = (range.start(), range.end());
            self.wrong(name, format!("must be an integer from {first} to {last}"));
        }
        number
    }

    /// A required text of 1 to `characters_max` characters, none of them a control character.
    pub fn text(&mut self, name: &str, characters_max: usize) -> Option<String> {
        let Value::String(text) = self.take_required(name)? else {
            self.wrong(name, "must be a string");
            return None;
        };
        if text.trim().is_empty() || text.chars().count() > characters_max {
            self.wrong(name, format!("must have 1 to {characters_max} characters"));
            return None;
        }
        if text.chars().any(char::is_control) {
            self.wrong(name, "must not contain control characters");
            return None;
        }
        Some(text)
    }

    /// Whatever is left is unknown.
    pub fn finish(mut self) {
        let names: Vec<String> = self.object.keys().cloned().collect();
        for name in names {
            self.wrong(&name, "is not a field of this request");
        }
    }
}

/// The value as a whole number, which `1.0` is too: JSON knows one kind of number only.
fn whole_number(value: &Value) -> Option<u64> {
    /// Beyond it not every whole number has a form of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        // Within the bounds the conversion is exact.
        (number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&number)).then_some(number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn only_plain_objects_are_taken() {
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
    fn all_mistakes_are_named_at_once() {
        let object =
            parse_object(br#"{"n":1e308,"t":"","m":-1,"x":0,"o":"1","w":4.0,"f":4.5}"#).unwrap();
        let mut errors = Vec::new();
        let mut fields = Fields::new(object, "/items/0", &mut errors);
        assert_eq!(fields.integer("n", 1..=5), None);
        assert_eq!(fields.integer("m", 1..=5), None);
        assert_eq!(fields.integer("w", 1..=5), Some(4));
        assert_eq!(fields.integer("f", 1..=5), None);
        assert_eq!(fields.text("t", 10), None);
        assert_eq!(fields.text("missing", 10), None);
        assert_eq!(fields.optional_integer("o", 1..=5), Some(None));
        assert_eq!(fields.optional_integer("absent", 1..=5), None);
        fields.finish();
        let found: Vec<_> =
            errors.iter().map(|error| (error.pointer.as_str(), &*error.detail)).collect();
        assert_eq!(
            found,
            [
                ("/items/0/n", "must be an integer from 1 to 5"),
                ("/items/0/m", "must be an integer from 1 to 5"),
                ("/items/0/f", "must be an integer from 1 to 5"),
                ("/items/0/t", "must have 1 to 10 characters"),
                ("/items/0/missing", "is missing"),
                ("/items/0/o", "must be an integer from 1 to 5"),
                ("/items/0/x", "is not a field of this request"),
            ]
        );
    }

    #[tokio::test]
    async fn pieces_are_put_together_in_their_order() {
        for pieces in [&["one"][..], &["one", "two"], &["one", "", "two", "three", "four"]] {
            let frames = pieces
                .iter()
                .map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())));
            let body = axum::body::Body::from_stream(futures_util::stream::iter(frames));
            let read = read(body, 100, Duration::from_secs(1)).await.unwrap();
            assert_eq!(read, pieces.concat().into_bytes(), "{pieces:?}");
        }
        let body = axum::body::Body::from("four");
        let refused = read(body, 3, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(refused.code, Code::BodyTooLarge);
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
