//! The tokens of a mall's own issuer (OpenID Connect): who their bearers are here.
//!
//! A token is believed if it has the form, claims what it must and an issuer's key signed it, in this order,
//! so that a flood of junk costs no signature and asks nobody. Its subject becomes a user of this shop, once
//! and for all nodes, in the catalogue. Must not know how keys are fetched, nor HTTP's headers.

#[cfg(test)]
mod arbitrary;
mod cache;
mod claims;
pub mod jws;
mod keys;
mod rejected;

pub use claims::Expected;
pub use jws::Algorithm;
pub use keys::{BadKeys, KeySet};

use super::auth::operator_name;
use super::auth::token::Principal;
use super::problem::{Code, Problem};
use crate::actors::Kept;
use crate::sales::Sales;
use cache::{Fingerprint, VerifiedTokens};
use claims::CheckedClaims;
use domain::{OperatorRole, Timestamp};
use jws::Unverified;
use rejected::Rejected;
use std::fmt;

/// What is accepted of the issuer's tokens, and its keys.
#[derive(Clone, Debug)]
pub struct OidcOptions {
    /// What a token must claim.
    pub expected: Expected,
    /// The algorithms that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// The issuer's keys, which somebody keeps fresh.
    pub keys: Kept<KeySet>,
}

/// Accepts the tokens of one issuer.
pub struct Oidc {
    options: OidcOptions,
    verified: VerifiedTokens,
}

/// The bearer of a token of the issuer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bearer {
    /// Who it is here.
    pub principal: Principal,
    /// When the token ends, in seconds since 1970.
    pub expires_at_seconds: u64,
}

/// A token whose signature is right.
struct Verified {
    claims: CheckedClaims,
    /// The generation of the keys.
    generation: u64,
}

impl fmt::Debug for Oidc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Oidc").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}

impl Oidc {
    /// Accepts the tokens of an issuer.
    pub fn new(options: OidcOptions) -> Self {
        Self { options, verified: VerifiedTokens::new() }
    }

    /// Returns the issuer's name, as its tokens have it.
    pub fn issuer(&self) -> &str {
        &self.options.expected.issuer
    }

    /// Says what is wrong with the issuer's keys; none if all is well.
    pub fn trouble(&self) -> Option<String> {
        self.options.keys.trouble()
    }

    /// Returns whether there are keys to verify anything with.
    pub fn has_keys(&self) -> bool {
        self.options.keys.current().is_some()
    }

    /// Returns who the bearer of a token is; the token of a buyer who was here before is only looked up.
    ///
    /// # Errors
    /// Returns a problem as [`Self::bearer`] does.
    pub async fn principal(
        &self,
        token: &str,
        now: Timestamp,
        sales: &Sales,
    ) -> Result<Principal, Problem> {
        let fingerprint = Fingerprint::of(token);
        if let Some((_, generation)) = self.options.keys.current()
            && let Some(user_id) = self.verified.find(fingerprint, generation, now)
        {
            return Ok(Principal::Buyer(user_id));
        }
        let Verified { claims, generation } = self.verify(token, now).await?;
        let ends_at_seconds = claims.expires_at_seconds;
        let principal = self.principal_of(claims, now, sales).await?;
        if let Principal::Buyer(user_id) = principal {
            self.verified.insert(fingerprint, user_id, generation, ends_at_seconds);
        }
        Ok(principal)
    }

    /// Returns who the bearer of a token is, and until when the token says so.
    ///
    /// # Errors
    /// Returns an `unauthenticated` problem if the token is not accepted, an `issuer_unavailable` one if the
    /// issuer's keys are not known, and a `records_unavailable` one if its subject cannot be looked up.
    pub async fn bearer(
        &self,
        token: &str,
        now: Timestamp,
        sales: &Sales,
    ) -> Result<Bearer, Problem> {
        let Verified { claims, .. } = self.verify(token, now).await?;
        let expires_at_seconds = claims.expires_at_seconds;
        Ok(Bearer { principal: self.principal_of(claims, now, sales).await?, expires_at_seconds })
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, Problem> {
        let token = Unverified::of(token)?;
        if !self.options.algorithms.contains(&token.algorithm) {
            return Err(Rejected::Algorithm.into());
        }
        let claims = self.options.expected.check(&token.claims, now)?;
        match self.verify_with_present_keys(&token) {
            Some(Ok(generation)) => return Ok(Verified { claims, generation }),
            // There may be newer keys, or any at all.
            Some(Err(Rejected::Key)) | None => self.options.keys.renew().await,
            Some(Err(rejected)) => return Err(rejected.into()),
        }
        match self.verify_with_present_keys(&token) {
            Some(Ok(generation)) => Ok(Verified { claims, generation }),
            Some(Err(rejected)) => Err(rejected.into()),
            None => Err(Problem::new(
                Code::IssuerUnavailable,
                "the keys of the token's issuer cannot be fetched",
            )),
        }
    }

    /// Returns the generation of the keys that verified the token; none if there are no keys.
    fn verify_with_present_keys(&self, token: &Unverified<'_>) -> Option<Result<u64, Rejected>> {
        let (keys, generation) = self.options.keys.current()?;
        let key_id = token.key_id.as_deref();
        let verified = keys.verify(token.algorithm, key_id, token.signed, &token.signature);
        Some(verified.map(|()| generation))
    }

    async fn principal_of(
        &self,
        claims: CheckedClaims,
        now: Timestamp,
        sales: &Sales,
    ) -> Result<Principal, Problem> {
        if let Some(operator) = claims.operator {
            let name = operator_name::of_person(&operator.name)
                .map_err(|_| Problem::from(Rejected::OperatorName))?;
            let role =
                if operator.may_approve { OperatorRole::Approver } else { OperatorRole::Operator };
            let issued_at = Timestamp(claims.issued_at_seconds.saturating_mul(1000));
            return Ok(Principal::Operator { name, roles: role.into(), issued_at });
        }
        let user_id = sales.external_user(self.issuer(), &claims.subject, now).await?;
        Ok(Principal::Buyer(user_id))
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        Self::new(Code::Unauthenticated, rejected.to_string())
    }
}
