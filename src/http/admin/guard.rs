//! How an item is guarded, as operators write it: in a sale's draft, or of an item that is on sale.

use crate::http::problem::FieldErrors;
use crate::http::request::fields::{Body as _, body};
use crate::http::request::rules::{self, Boolean, Integer, Rule};
use domain::admission::{LEAD_SECONDS_MAX, SPREAD_MILLISECONDS_MAX};
use domain::{Admission, Challenge};
use serde_json::{Map, Value};
use std::borrow::Cow;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// How long before the start tokens are given out if the operator does not say.
const LEAD_SECONDS_DEFAULT: u32 = 60;

type LeadSeconds = Integer<u32, 0, { LEAD_SECONDS_MAX as u64 }>;
type SpreadMilliseconds = Integer<u32, 0, { SPREAD_MILLISECONDS_MAX as u64 }>;

body! {
    /// How an item is guarded. Without `buy_token` the other fields have nothing to guard, and must be
    /// left out or say so.
    pub struct AdmissionRequest {
        /// Whether a purchase needs a buy token, which each buyer gets beforehand.
        Required buy_token: Boolean,
        /// What a buyer solves for a token: `none` if absent.
        Optional challenge: ChallengeName,
        /// How long before the start tokens are given out, in seconds: 60 if absent.
        Optional lead_seconds: LeadSeconds,
        /// Over how many milliseconds the start is spread, each buyer having a slot of its own: 0, which
        /// lets everybody start at once, if absent. Shorter than the sale.
        Optional spread_milliseconds: SpreadMilliseconds,
    }
}

/// A challenge by its name.
pub struct ChallengeName;

impl Rule for ChallengeName {
    type Value = Challenge;

    fn schema() -> RefOr<Schema> {
        let names = Challenge::ALL.map(Challenge::name);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }

    fn read(value: Value) -> Result<Challenge, Cow<'static, str>> {
        let name = rules::string(value)?;
        Challenge::from_name(&name).ok_or("must be none, proof or external".into())
    }
}

/// Reads how an item is guarded that sells for `window_milliseconds`; `object` is at `pointer` of the
/// body. Adds what is wrong to `errors`.
pub fn read(
    object: Map<String, Value>,
    pointer: &str,
    window_milliseconds: u64,
    errors: &mut FieldErrors,
) -> Admission {
    let request = AdmissionRequest::read_with(object, pointer, errors, |request, fields| {
        for (field, detail) in admission(request).problems(window_milliseconds) {
            fields.note(field, detail);
        }
    });
    admission(&request)
}

/// Returns the admission that a request means, with stand-ins for what is not valid.
fn admission(request: &AdmissionRequest) -> Admission {
    let buy_token = request.buy_token.unwrap_or(true);
    let lead_seconds = if buy_token { LEAD_SECONDS_DEFAULT } else { 0 };
    Admission {
        buy_token,
        challenge: request.challenge.unwrap_or_default(),
        lead_seconds: request.lead_seconds.unwrap_or(lead_seconds),
        spread_milliseconds: request.spread_milliseconds.unwrap_or_default(),
    }
}
