//! What a token of another issuer claims, and whether it may: who issued it, for whom, about whom, until
//! when. Time is passed in. Must not know signatures, nor how users are numbered.

use super::rejected::Rejected;
use domain::Timestamp;
use serde_json::{Map, Number, Value};

/// How far the issuer's clock may be from ours, in seconds.
const LEEWAY_SECONDS: u64 = 60;
/// The longest subject, in bytes, as OpenID Connect has it.
pub const SUBJECT_BYTES_MAX: usize = 255;

/// What a token must claim, and which of its claims make an operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The issuer, letter for letter.
    pub issuer: String,
    /// The audience: this shop, as the issuer knows it.
    pub audience: String,
    /// The claim that holds what its subject may do.
    pub operator_claim: String,
    /// The value of that claim that makes an operator, if one does.
    pub operator_value: Option<String>,
    /// The value that makes an operator who may approve, if one does.
    pub approver_value: Option<String>,
    /// The claim that is an operator's name.
    pub operator_name_claim: String,
}

/// What a token claims, and may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedClaims {
    /// Who it is about, by the issuer's name for the user.
    pub subject: String,
    /// When it ends, in seconds since 1970.
    pub expires_at_seconds: u64,
    /// When it was made, in seconds since 1970; 0 if it does not say.
    pub issued_at_seconds: u64,
    /// Whether its subject is an operator.
    pub operator: Option<OperatorClaim>,
}

/// What makes an operator of a token's subject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperatorClaim {
    /// The operator's name.
    pub name: String,
    /// Whether the operator may approve sales.
    pub may_approve: bool,
}

impl Expected {
    /// Checks what a token claims at `now`.
    ///
    /// # Errors
    /// Returns `Rejected` if it must not be accepted.
    pub fn check(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<CheckedClaims, Rejected> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(self.issuer.as_str()) {
            return Err(Rejected::Issuer);
        }
        let is_for_us = match claims.get("aud") {
            Some(Value::String(audience)) => *audience == self.audience,
            Some(Value::Array(audiences)) => audiences.iter().any(|one| *one == *self.audience),
            _ => false,
        };
        if !is_for_us {
            return Err(Rejected::Audience);
        }
        let now_seconds = now.0 / 1000;
        let expires_at_seconds = time(claims.get("exp"))?.ok_or(Rejected::Times)?;
        if now_seconds >= expires_at_seconds.saturating_add(LEEWAY_SECONDS) {
            return Err(Rejected::Expired);
        }
        let not_before = time(claims.get("nbf"))?.unwrap_or_default();
        if now_seconds.saturating_add(LEEWAY_SECONDS) < not_before {
            return Err(Rejected::NotYet);
        }
        let subject = text("sub").ok_or(Rejected::Subject)?;
        if subject.is_empty()
            || subject.len() > SUBJECT_BYTES_MAX
            || subject.chars().any(char::is_control)
        {
            return Err(Rejected::Subject);
        }
        Ok(CheckedClaims {
            subject: subject.to_owned(),
            expires_at_seconds,
            issued_at_seconds: time(claims.get("iat"))?.unwrap_or_default(),
            operator: self.operator(claims)?,
        })
    }

    /// Returns whether the claims make an operator, and what kind.
    fn operator(&self, claims: &Map<String, Value>) -> Result<Option<OperatorClaim>, Rejected> {
        let Some(roles) = find(claims, &self.operator_claim) else { return Ok(None) };
        let has = |value: &Option<String>| {
            value.as_deref().is_some_and(|value| match roles {
                Value::String(roles) => roles.split_ascii_whitespace().any(|role| role == value),
                Value::Array(roles) => roles.iter().any(|role| role == value),
                _ => false,
            })
        };
        let may_approve = has(&self.approver_value);
        if !may_approve && !has(&self.operator_value) {
            return Ok(None);
        }
        let name = find(claims, &self.operator_name_claim).and_then(Value::as_str);
        let name = name.ok_or(Rejected::OperatorName)?.to_owned();
        Ok(Some(OperatorClaim { name, may_approve }))
    }
}

/// The claim of this name; if there is none, the one at the end of this path of names with points
/// between them, such as Keycloak's `realm_access.roles`.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
}

/// A time in seconds since 1970, which may have a fraction.
fn time(value: Option<&Value>) -> Result<Option<u64>, Rejected> {
    /// Beyond it a fraction's number is not exact, and no time.
    const SECONDS_MAX: f64 = 9_007_199_254_740_992.0;
    let Some(value) = value else { return Ok(None) };
    let seconds = value.as_number().and_then(|number: &Number| match number.as_u64() {
        Some(seconds) => Some(seconds),
        None => {
            let seconds = number.as_f64().filter(|seconds| (0.0..SECONDS_MAX).contains(seconds))?;
            // It is in the range of the type, and its fraction counts for nothing.
            Some(seconds as u64)
        }
    });
    seconds.map(Some).ok_or(Rejected::Times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);
    const NOW_SECONDS: u64 = 1_790_000_000;

    fn expected() -> Expected {
        Expected {
            issuer: "https://login.mall.example".to_owned(),
            audience: "seckill".to_owned(),
            operator_claim: "roles".to_owned(),
            operator_value: Some("sale-operator".to_owned()),
            approver_value: Some("sale-approver".to_owned()),
            operator_name_claim: "sub".to_owned(),
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://login.mall.example", "aud": "seckill", "sub": "u-1",
            "exp": NOW_SECONDS + 600, "iat": NOW_SECONDS - 1,
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    fn check(expected: &Expected, claims: &Value) -> Result<CheckedClaims, Rejected> {
        expected.check(claims.as_object().unwrap(), NOW)
    }

    #[test]
    fn a_good_token_is_believed() {
        let found = check(&expected(), &good());
        let claims = CheckedClaims {
            subject: "u-1".to_owned(),
            expires_at_seconds: NOW_SECONDS + 600,
            issued_at_seconds: NOW_SECONDS - 1,
            operator: None,
        };
        assert_eq!(found, Ok(claims));
    }

    #[test]
    fn claims_are_checked_one_by_one() {
        let seconds = |offset: i64| json!(NOW_SECONDS.checked_add_signed(offset).unwrap());
        for (name, value, refused) in [
            ("iss", json!("https://login.mall.example/"), Some(Rejected::Issuer)),
            ("iss", json!("HTTPS://login.mall.example"), Some(Rejected::Issuer)),
            ("iss", json!(["https://login.mall.example"]), Some(Rejected::Issuer)),
            ("iss", Value::Null, Some(Rejected::Issuer)),
            ("aud", json!("other"), Some(Rejected::Audience)),
            ("aud", json!(["other", "seckill"]), None),
            ("aud", json!([]), Some(Rejected::Audience)),
            ("aud", json!([["seckill"]]), Some(Rejected::Audience)),
            ("aud", json!({ "seckill": true }), Some(Rejected::Audience)),
            ("aud", json!("seckill "), Some(Rejected::Audience)),
            ("exp", seconds(-59), None),
            ("exp", seconds(-60), Some(Rejected::Expired)),
            ("exp", json!(NOW_SECONDS as f64 + 0.5), None),
            ("exp", json!(1e300), Some(Rejected::Times)),
            ("exp", json!(-1), Some(Rejected::Times)),
            ("exp", json!("1790000600"), Some(Rejected::Times)),
            ("exp", json!(u64::MAX), None),
            ("exp", Value::Null, Some(Rejected::Times)),
            ("nbf", seconds(60), None),
            ("nbf", seconds(61), Some(Rejected::NotYet)),
            ("nbf", json!(u64::MAX), Some(Rejected::NotYet)),
            ("nbf", json!("now"), Some(Rejected::Times)),
            ("iat", json!([]), Some(Rejected::Times)),
            ("sub", json!(""), Some(Rejected::Subject)),
            ("sub", json!(7), Some(Rejected::Subject)),
            ("sub", json!("a\u{0}b"), Some(Rejected::Subject)),
            ("sub", json!("用户-1"), None),
            ("sub", json!("x".repeat(255)), None),
            ("sub", json!("x".repeat(256)), Some(Rejected::Subject)),
        ] {
            assert_eq!(
                check(&expected(), &with(name, value.clone())).err(),
                refused,
                "{name} {value}"
            );
        }
        for name in ["iss", "aud", "exp", "sub"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(name);
            assert!(check(&expected(), &claims).is_err(), "{name}");
        }
    }

    #[test]
    fn operators_are_made_by_a_claim() {
        let role = |roles: Value| {
            let found = check(&expected(), &with("roles", roles)).unwrap();
            found.operator.map(|operator| operator.may_approve)
        };
        for (roles, expected) in [
            (json!(["sale-operator"]), Some(false)),
            (json!(["customer", "sale-approver"]), Some(true)),
            (json!(["sale-operator", "sale-approver"]), Some(true)),
            (json!("customer sale-operator"), Some(false)),
            (json!("sale-operators"), None),
            (json!(["SALE-OPERATOR"]), None),
            (json!([["sale-operator"]]), None),
            (json!({ "sale-operator": true }), None),
            (Value::Null, None),
        ] {
            assert_eq!(role(roles.clone()), expected, "{roles}");
        }
        // Without a value nobody is one, whatever the token says.
        let none = Expected { operator_value: None, approver_value: None, ..expected() };
        assert_eq!(check(&none, &with("roles", json!(["", null]))).unwrap().operator, None);
    }

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let keycloak = Expected {
            operator_claim: "realm_access.roles".to_owned(),
            operator_name_claim: "preferred_username".to_owned(),
            ..expected()
        };
        let mut claims = with("realm_access", json!({ "roles": ["sale-operator"] }));
        assert_eq!(check(&keycloak, &claims).err(), Some(Rejected::OperatorName));
        claims["preferred_username"] = json!("eva");
        let operator = check(&keycloak, &claims).unwrap().operator.unwrap();
        assert_eq!(operator, OperatorClaim { name: "eva".to_owned(), may_approve: false });
        let spaced =
            Expected { operator_claim: "https://mall.example/roles".to_owned(), ..expected() };
        let claims = with("https://mall.example/roles", json!(["sale-approver"]));
        assert!(check(&spaced, &claims).unwrap().operator.unwrap().may_approve);
    }
}
