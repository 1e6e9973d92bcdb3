//! The fields of a body, declared once: [`body!`](body) makes of one declaration the struct that is
//! read, its reader and its schema.

use super::rules::Rule;
use crate::http::problem::{FieldError, FieldErrors, Problem, shortened};
use serde_json::{Map, Value};
use std::borrow::Cow;
use utoipa::openapi::schema::{
    AdditionalProperties, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};

/// Whether a field may be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// The field has to be there.
    Required,
    /// The field may be left out, but not be `null`.
    Optional,
    /// The field may be left out, and `null` stands for leaving it out.
    Nullable,
}

/// What [`body!`](body) declares.
pub trait Body: Sized {
    /// Reads the fields of `object`, which is at `pointer` of the body, and adds what is wrong with
    /// them to `errors`. `check` adds what is wrong between them, before unknown fields are added.
    fn read_with(
        object: Map<String, Value>,
        pointer: &str,
        errors: &mut FieldErrors,
        check: impl FnOnce(&Self, &mut Fields<'_>),
    ) -> Self;

    /// Reads the fields of `object`, which is at `pointer` of the body, and adds what is wrong with
    /// them to `errors`.
    fn read(object: Map<String, Value>, pointer: &str, errors: &mut FieldErrors) -> Self {
        Self::read_with(object, pointer, errors, |_, _| {})
    }

    /// Reads the body that is `object`.
    ///
    /// # Errors
    /// Returns an `invalid_field` problem with what is wrong with it.
    fn parse(object: Map<String, Value>) -> Result<Self, Problem> {
        let mut errors = FieldErrors::default();
        let body = Self::read(object, "", &mut errors);
        errors.or(body)
    }
}

/// Declares a body: a struct with its fields, each with its presence, its rule, and its default if
/// it has one.
///
/// The struct's fields are the values that could be read. A field is `None` if it is absent without
/// a default, or if it is not valid, which the errors say then.
macro_rules! body {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $field_about:literal])+
                $presence:ident $field:ident: $rule:ty $(= $default:expr)?,
            )+
        }
    ) => {
        $(#[doc = $about])+
        pub struct $name {
            $(
                $(#[doc = $field_about])+
                pub $field: Option<<$rule as $crate::http::request::rules::Rule>::Value>,
            )+
        }

        impl $crate::http::request::fields::Body for $name {
            fn read_with(
                object: serde_json::Map<String, serde_json::Value>,
                pointer: &str,
                errors: &mut $crate::http::problem::FieldErrors,
                check: impl FnOnce(&Self, &mut $crate::http::request::fields::Fields<'_>),
            ) -> Self {
                use $crate::http::request::fields::{Fields, Presence};
                let mut fields = Fields::new(object, pointer, errors);
                let body = Self {
                    $($field: fields.read::<$rule>(
                        stringify!($field),
                        Presence::$presence,
                        None$(.or(Some($default)))?,
                    ),)+
                };
                check(&body, &mut fields);
                fields.finish();
                body
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use $crate::http::request::fields::{ObjectSchema, Presence};
                ObjectSchema::new(concat!($($about, "\n"),+))
                    $(.property::<$rule>(
                        stringify!($field),
                        concat!($($field_about, "\n"),+),
                        Presence::$presence,
                        None$(.or(Some(serde_json::Value::from($default))))?,
                    ))+
                    .build()
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(schemas: &mut Vec<$crate::http::request::rules::NamedSchema>) {
                $(<$rule as $crate::http::request::rules::Rule>::components(schemas);)+
            }
        }
    };
}

pub(crate) use body;

/// Reads the fields of an object one by one and notes what is wrong with each, so that the caller
/// hears of all its mistakes at once.
#[derive(Debug)]
pub struct Fields<'a> {
    object: Map<String, Value>,
    /// JSON Pointer of the object, empty for the body itself.
    pointer: &'a str,
    errors: &'a mut FieldErrors,
}

impl<'a> Fields<'a> {
    /// Begins to read `object`, which is at `pointer` of the body.
    pub fn new(object: Map<String, Value>, pointer: &'a str, errors: &'a mut FieldErrors) -> Self {
        Self { object, pointer, errors }
    }

    /// Reads a field. Returns `default` if it is absent, and `None` if it is not valid.
    pub fn read<R: Rule>(
        &mut self,
        name: &str,
        presence: Presence,
        default: Option<R::Value>,
    ) -> Option<R::Value> {
        let value = match (presence, self.object.remove(name)) {
            (Presence::Required, None) => {
                self.note(name, "is missing");
                return None;
            }
            (Presence::Optional, None) | (Presence::Nullable, None | Some(Value::Null)) => {
                return default;
            }
            (_, Some(value)) => value,
        };
        match R::read(value) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.note(name, detail);
                None
            }
        }
    }

    /// Notes that the field of this name is not valid.
    pub fn note(&mut self, name: &str, detail: impl Into<Cow<'static, str>>) {
        let name = name.replace('~', "~0").replace('/', "~1");
        self.errors.push(FieldError::new(format!("{}/{name}", self.pointer), detail));
    }

    /// Notes every field that was not read as unknown.
    pub fn finish(mut self) {
        for (name, _) in std::mem::take(&mut self.object) {
            self.note(&shortened(&name), "is not a field of this request");
        }
    }
}

/// The schema of an object whose fields are all declared.
pub struct ObjectSchema(ObjectBuilder);

impl ObjectSchema {
    /// Begins the schema of an object with this doc comment.
    pub fn new(about: &str) -> Self {
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(unwrap_lines(about)))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        Self(object)
    }

    /// Adds a field with this doc comment.
    #[must_use]
    pub fn property<R: Rule>(
        mut self,
        name: &str,
        about: &str,
        presence: Presence,
        default: Option<Value>,
    ) -> Self {
        let mut schema = R::schema();
        if presence == Presence::Nullable {
            schema = nullable(schema);
        }
        describe(&mut schema, unwrap_lines(about), default);
        if presence == Presence::Required {
            self.0 = self.0.required(name);
        }
        Self(self.0.property(name, schema))
    }

    /// Returns the schema.
    pub fn build(self) -> RefOr<Schema> {
        self.0.into()
    }
}

fn nullable(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Type(only) = object.schema_type {
                object.schema_type = SchemaType::from_iter([only, Type::Null]);
            }
            RefOr::T(Schema::Object(object))
        }
        schema => {
            let null = ObjectBuilder::new().schema_type(Type::Null);
            OneOfBuilder::new().item(null).item(schema).into()
        }
    }
}

fn describe(schema: &mut RefOr<Schema>, about: String, default: Option<Value>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            object.description = Some(about);
            object.default = default;
        }
        RefOr::T(Schema::Array(array)) => array.description = Some(about),
        RefOr::T(Schema::OneOf(one_of)) => one_of.description = Some(about),
        RefOr::Ref(reference) => reference.description = about,
        RefOr::T(_) => {}
    }
}

/// Returns the text of a doc comment without its line breaks.
fn unwrap_lines(about: &str) -> String {
    about.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::Body;
    use crate::http::problem::FieldErrors;
    use crate::http::request::json;
    use crate::http::request::rules::{Integer, Text};
    use serde_json::json;
    use utoipa::PartialSchema;

    type Units = Integer<u16, 1, 5>;

    body! {
        /// A body
        /// of a test.
        pub struct Sample {
            /// A JSON number.
            Required n: Units,
            /// A JSON string.
            Required t: Text<10>,
            /// A number that
            /// may be null.
            Nullable o: Units = 3,
            /// A number that may be left out.
            Optional p: Units = 1,
        }
    }

    fn read(text: &str) -> (Sample, Vec<(String, String)>) {
        let object = json::parse_object(text.as_bytes()).unwrap();
        let mut errors = FieldErrors::default();
        let sample = Sample::read(object, "/items/0", &mut errors);
        let errors =
            errors.shown.into_iter().map(|error| (error.pointer, error.detail.into_owned()));
        (sample, errors.collect())
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let (sample, errors) = read(r#"{"n":1e308,"t":"","o":"1","p":null,"x":0,"a/b~":1}"#);
        assert_eq!((sample.n, sample.t, sample.o, sample.p), (None, None, None, None));
        let found: Vec<_> =
            errors.iter().map(|(at, detail)| (at.as_str(), detail.as_str())).collect();
        assert_eq!(
            found,
            [
                ("/items/0/n", "must be an integer from 1 to 5"),
                ("/items/0/t", "must have 1 to 10 characters, and one that can be seen"),
                ("/items/0/o", "must be an integer from 1 to 5"),
                ("/items/0/p", "must be an integer from 1 to 5"),
                ("/items/0/a~1b~0", "is not a field of this request"),
                ("/items/0/x", "is not a field of this request"),
            ]
        );
        let (_, errors) = read("{}");
        let found: Vec<_> =
            errors.iter().map(|(at, detail)| (at.as_str(), detail.as_str())).collect();
        assert_eq!(found, [("/items/0/n", "is missing"), ("/items/0/t", "is missing")]);
    }

    #[test]
    fn absent_fields_have_their_defaults() {
        for text in [r#"{"n":4.0,"t":"a"}"#, r#"{"n":4,"t":"a","o":null}"#] {
            let (sample, errors) = read(text);
            assert_eq!(errors, []);
            assert_eq!((sample.n, sample.o, sample.p), (Some(4), Some(3), Some(1)));
        }
    }

    #[test]
    fn the_schema_says_what_is_checked() {
        let schema = serde_json::to_value(Sample::schema()).unwrap();
        assert_eq!(schema["description"], "A body of a test.");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(["n", "t"]));
        let nullable = json!({
            "type": ["integer", "null"], "format": "int32", "minimum": 1, "maximum": 5,
            "default": 3, "description": "A number that may be null.",
        });
        assert_eq!(schema["properties"]["o"], nullable);
        assert_eq!(schema["properties"]["p"]["type"], "integer");
        assert_eq!(schema["properties"]["t"]["maxLength"], 10);
    }
}
