//! What a field may be: each rule is declared once, for the check and for the schema.
//!
//! A deserialiser with a validator would not do: it stops at the first value of a wrong type, and a
//! caller is to hear of all its mistakes at once. So a rule reads one value by itself, and
//! `fields.rs` asks each field's rule in turn.

use crate::http::timestamp::{self, NotAnInstant};
use domain::{Currency, Timestamp};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The name of a schema, and the schema: a component of the OpenAPI document.
pub type NamedSchema = (String, RefOr<Schema>);

/// What a field may be.
pub trait Rule {
    /// What the field's value is once it has been read.
    type Value;

    /// Returns the schema of a value that [`Rule::read`] accepts.
    fn schema() -> RefOr<Schema>;

    /// Adds the components that the schema refers to.
    fn components(_schemas: &mut Vec<NamedSchema>) {}

    /// Reads a value.
    ///
    /// # Errors
    /// Returns what the value must be, for a person, if it is something else.
    fn read(value: Value) -> Result<Self::Value, Cow<'static, str>>;
}

/// A whole number from `MIN` to `MAX`, read as a `T`, which has to hold both.
#[derive(Debug)]
pub struct Integer<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T: TryFrom<u64>, const MIN: u64, const MAX: u64> Rule for Integer<T, MIN, MAX> {
    type Value = T;

    fn schema() -> RefOr<Schema> {
        let is_short = MAX <= i32::MAX.unsigned_abs().into();
        let format = if is_short { KnownFormat::Int32 } else { KnownFormat::Int64 };
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(format)))
            .minimum(usize::try_from(MIN).ok())
            .maximum(usize::try_from(MAX).ok())
            .into()
    }

    fn read(value: Value) -> Result<T, Cow<'static, str>> {
        let number = bounded(&value, MIN..=MAX)?;
        T::try_from(number).map_err(|_| must_be_within(&(MIN..=MAX)))
    }
}

/// Returns the value as a whole number within `range`.
///
/// # Errors
/// Returns what it must be if it is something else.
pub fn bounded(value: &Value, range: RangeInclusive<u64>) -> Result<u64, Cow<'static, str>> {
    whole_number(value)
        .filter(|number| range.contains(number))
        .ok_or_else(|| must_be_within(&range))
}

fn must_be_within(range: &RangeInclusive<u64>) -> Cow<'static, str> {
    Cow::Owned(format!("must be an integer from {} to {}", range.start(), range.end()))
}

/// Returns the value as a whole number, which `1.0` is too: JSON knows only one kind of number.
fn whole_number(value: &Value) -> Option<u64> {
    /// Beyond it not every whole number has a form of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        // Within the bounds the conversion is exact.
        (number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&number)).then_some(number as u64)
    })
}

/// A set of characters, as ranges: for the check and for a schema's pattern.
#[derive(Clone, Copy, Debug)]
pub struct Characters(pub &'static [RangeInclusive<char>]);

impl Characters {
    /// Returns whether the set contains `character`.
    pub fn contains(self, character: char) -> bool {
        self.0.iter().any(|range| range.contains(&character))
    }

    /// Returns the pattern of a text of `min` to `max` characters of this set.
    pub fn pattern(self, min: usize, max: usize) -> String {
        format!("^[{}]{{{min},{max}}}$", self.class())
    }

    /// Returns the set as the inside of a character class of a regular expression.
    fn class(self) -> String {
        let mut class = String::new();
        for range in self.0 {
            push_escaped(*range.start(), &mut class);
            if range.start() != range.end() {
                class.push('-');
                push_escaped(*range.end(), &mut class);
            }
        }
        class
    }
}

/// Appends a character to a character class of a regular expression.
fn push_escaped(character: char, class: &mut String) {
    if character.is_ascii_graphic() && !r"\]^-".contains(character) {
        class.push(character);
    } else if character.is_ascii_graphic() {
        class.extend(['\\', character]);
    } else {
        let _ = write!(class, r"\u{:04X}", u32::from(character));
    }
}

/// The control characters of Unicode.
const CONTROL: Characters = Characters(&['\0'..='\u{1F}', '\u{7F}'..='\u{9F}']);
/// The white space of Unicode that is not a control character.
const BLANK: Characters = Characters(&[
    ' '..=' ',
    '\u{A0}'..='\u{A0}',
    '\u{1680}'..='\u{1680}',
    '\u{2000}'..='\u{200A}',
    '\u{2028}'..='\u{2029}',
    '\u{202F}'..='\u{202F}',
    '\u{205F}'..='\u{205F}',
    '\u{3000}'..='\u{3000}',
]);
/// What shows nothing by itself: Unicode's `Default_Ignorable_Code_Point`, and the Braille cell without dots. Those
/// beyond the Basic Multilingual Plane are left out, because no escape names them in the patterns of all languages.
const INVISIBLE: Characters = Characters(&[
    '\u{AD}'..='\u{AD}',
    '\u{34F}'..='\u{34F}',
    '\u{61C}'..='\u{61C}',
    '\u{115F}'..='\u{1160}',
    '\u{17B4}'..='\u{17B5}',
    '\u{180B}'..='\u{180F}',
    '\u{200B}'..='\u{200F}',
    '\u{202A}'..='\u{202E}',
    '\u{2060}'..='\u{206F}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{FE00}'..='\u{FE0F}',
    '\u{FEFF}'..='\u{FEFF}',
    '\u{FFA0}'..='\u{FFA0}',
    '\u{FFF0}'..='\u{FFF8}',
]);

/// Returns whether nobody can see the character.
fn is_unseen(character: char) -> bool {
    BLANK.contains(character) || INVISIBLE.contains(character)
}

/// A text of 1 to `MAX` characters of which one can be seen, without control characters.
#[derive(Debug)]
pub struct Text<const MAX: usize>;

impl<const MAX: usize> Rule for Text<MAX> {
    type Value = String;

    fn schema() -> RefOr<Schema> {
        let (control, unseen) = (CONTROL.class(), BLANK.class() + &INVISIBLE.class());
        let pattern = format!("^[^{control}]*[^{control}{unseen}][^{control}]*$");
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX))
            .pattern(Some(pattern))
            .into()
    }

    fn read(value: Value) -> Result<String, Cow<'static, str>> {
        let text = string(value)?;
        if text.chars().all(is_unseen) || text.chars().count() > MAX {
            return Err(format!("must have 1 to {MAX} characters, and one that can be seen").into());
        }
        if text.chars().any(|character| CONTROL.contains(character)) {
            return Err("must not contain control characters".into());
        }
        Ok(text)
    }
}

/// The control characters of Unicode but the line break.
const CONTROL_IN_LINE: Characters =
    Characters(&['\0'..='\u{9}', '\u{B}'..='\u{1F}', '\u{7F}'..='\u{9F}']);

/// A text of 1 to `MAX` characters of which one can be seen, without control characters but line breaks.
/// A line break of any system is read as `\n`.
#[derive(Debug)]
pub struct Paragraphs<const MAX: usize>;

impl<const MAX: usize> Rule for Paragraphs<MAX> {
    type Value = String;

    fn schema() -> RefOr<Schema> {
        let (control, unseen) = (CONTROL_IN_LINE.class(), BLANK.class() + &INVISIBLE.class());
        let pattern = format!(r"^[^{control}]*[^{control}{unseen}\n][^{control}]*$");
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX))
            .pattern(Some(pattern))
            .into()
    }

    fn read(value: Value) -> Result<String, Cow<'static, str>> {
        let text = string(value)?.replace("\r\n", "\n");
        let is_unseen = |character: char| character == '\n' || is_unseen(character);
        if text.chars().all(is_unseen) || text.chars().count() > MAX {
            return Err(format!("must have 1 to {MAX} characters, and one that can be seen").into());
        }
        if text.chars().any(|character| CONTROL_IN_LINE.contains(character)) {
            return Err("must not contain control characters but line breaks".into());
        }
        Ok(text)
    }
}

/// Returns the text of a value.
///
/// # Errors
/// Returns what it must be if it is not a string.
pub fn string(value: Value) -> Result<String, Cow<'static, str>> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("must be a string".into()),
    }
}

/// Either `true` or `false`.
#[derive(Debug)]
pub struct Boolean;

impl Rule for Boolean {
    type Value = bool;

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Boolean).into()
    }

    fn read(value: Value) -> Result<bool, Cow<'static, str>> {
        value.as_bool().ok_or("must be true or false".into())
    }
}

/// An object of the fields that `T` declares; it is read by `T` itself.
#[derive(Debug)]
pub struct Nested<T>(PhantomData<T>);

impl<T: ToSchema> Rule for Nested<T> {
    type Value = Map<String, Value>;

    fn schema() -> RefOr<Schema> {
        reference::<T>()
    }

    fn components(schemas: &mut Vec<NamedSchema>) {
        component::<T>(schemas);
    }

    fn read(value: Value) -> Result<Map<String, Value>, Cow<'static, str>> {
        match value {
            Value::Object(object) => Ok(object),
            _ => Err("must be an object".into()),
        }
    }
}

/// An array of `MIN` to `MAX` objects of the fields that `T` declares. Only their number is checked
/// here, before anybody looks at one of them: they are read by `T` itself.
#[derive(Debug)]
pub struct List<T, const MIN: usize, const MAX: usize>(PhantomData<T>);

impl<T: ToSchema, const MIN: usize, const MAX: usize> Rule for List<T, MIN, MAX> {
    type Value = Vec<Value>;

    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(reference::<T>()).min_items(Some(MIN)).max_items(Some(MAX)).into()
    }

    fn components(schemas: &mut Vec<NamedSchema>) {
        component::<T>(schemas);
    }

    fn read(value: Value) -> Result<Vec<Value>, Cow<'static, str>> {
        match value {
            Value::Array(elements) if (MIN..=MAX).contains(&elements.len()) => Ok(elements),
            Value::Array(_) => Err(format!("must have {MIN} to {MAX} elements").into()),
            _ => Err("must be an array".into()),
        }
    }
}

/// Returns a reference to the component of this type.
pub fn reference<T: ToSchema>() -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(T::name()))
}

/// Adds the component of this type, and those that it refers to.
pub fn component<T: ToSchema>(schemas: &mut Vec<NamedSchema>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

/// An identity: a decimal number of 64 bits as text, because JavaScript loses integers past 2^53.
#[derive(Debug)]
pub struct Identity;

impl PartialSchema for Identity {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("An identity: a decimal number of 64 bits, as text."))
            .pattern(Some("^(0|[1-9][0-9]{0,18})$"))
            .into()
    }
}

impl ToSchema for Identity {}

/// The characters of a currency's code.
const CAPITALS: Characters = Characters(&['A'..='Z']);

/// A currency by its ISO 4217 code, such as `CNY`.
#[derive(Debug)]
pub struct CurrencyCode;

impl PartialSchema for CurrencyCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A currency's ISO 4217 code: three capital letters."))
            .pattern(Some(CAPITALS.pattern(3, 3)))
            .into()
    }
}

impl ToSchema for CurrencyCode {}

impl Rule for CurrencyCode {
    type Value = Currency;

    fn schema() -> RefOr<Schema> {
        reference::<Self>()
    }

    fn components(schemas: &mut Vec<NamedSchema>) {
        component::<Self>(schemas);
    }

    fn read(value: Value) -> Result<Currency, Cow<'static, str>> {
        value
            .as_str()
            .and_then(Currency::parse)
            .ok_or_else(|| "must be an ISO 4217 code: three letters from A to Z".into())
    }
}

/// An instant as RFC 3339 text.
#[derive(Debug)]
pub struct Instant;

impl Rule for Instant {
    type Value = Timestamp;

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }

    fn read(value: Value) -> Result<Timestamp, Cow<'static, str>> {
        let text = value.as_str().ok_or(NotAnInstant::Form);
        text.and_then(timestamp::parse).map_err(|error| match error {
            NotAnInstant::Form => {
                "must be an RFC 3339 date and time such as 2026-11-21T12:00:00Z".into()
            }
            NotAnInstant::Range => {
                "must be from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59.999Z".into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn control_characters_and_white_space_are_those_of_unicode() {
        for character in '\0'..=char::MAX {
            assert_eq!(CONTROL.contains(character), character.is_control(), "{character:?}");
            let is_blank = character.is_whitespace() && !character.is_control();
            assert_eq!(BLANK.contains(character), is_blank, "{character:?}");
            let is_letter = character.is_alphabetic() || character.is_numeric();
            // Four fillers of Hangul count as letters and show nothing.
            let is_filler = matches!(character, '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}');
            let is_seen = is_letter && !is_filler || character.is_ascii_graphic();
            assert!(!(is_seen && is_unseen(character)), "{character:?}");
        }
    }

    #[test]
    fn a_pattern_has_the_ranges_of_its_set() {
        let set = Characters(&['0'..='9', 'a'..='z', '_'..='_', '-'..='-', '\\'..='^']);
        assert_eq!(set.pattern(1, 64), r"^[0-9a-z_\-\\-\^]{1,64}$");
        assert_eq!(Characters(&['\0'..='\u{1F}']).pattern(0, 2), r"^[\u0000-\u001F]{0,2}$");
    }

    #[test]
    fn texts_are_accepted_as_their_schema_says() {
        for (text, is_valid) in [
            ("双十一", true),
            ("a", true),
            ("  a", true),
            ("", false),
            ("  \u{3000}", false),
            ("\u{200B}", false),
            ("\u{FEFF} \u{2060}\u{AD}", false),
            ("\u{FE0F}", false),
            ("\u{3164}\u{2800}", false),
            // Within a text they have a meaning: of an emoji, of Persian.
            ("❤\u{FE0F}", true),
            ("می\u{200C}خ", true),
            ("a\u{7}", false),
            ("\n", false),
            ("abcde", true),
            ("abcdef", false),
            ("苹苹苹苹苹", true),
        ] {
            assert_eq!(Text::<5>::read(json!(text)).is_ok(), is_valid, "{text:?}");
        }
        assert!(Text::<5>::read(json!(1)).is_err());
    }

    #[test]
    fn paragraphs_may_have_line_breaks() {
        for (text, expected) in [
            ("一\n二", Some("一\n二")),
            ("a\r\nb", Some("a\nb")),
            ("\n a", Some("\n a")),
            ("\n \n", None),
            ("\n\u{200B}\n", None),
            ("a\rb", None),
            ("a\tb", None),
            ("abcdef", None),
        ] {
            let read = Paragraphs::<5>::read(json!(text)).ok();
            assert_eq!(read.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_are_accepted_in_every_form_of_json() {
        let read = |value: Value| Integer::<u16, 1, 10_000>::read(value).ok();
        for (value, expected) in [
            (json!(1), Some(1)),
            (json!(10_000), Some(10_000)),
            (json!(4.0), Some(4)),
            (json!(0), None),
            (json!(10_001), None),
            (json!(-1), None),
            (json!(4.5), None),
            (json!(1e308), None),
            (json!("1"), None),
            (json!(null), None),
        ] {
            assert_eq!(read(value.clone()), expected, "{value}");
        }
    }
}
