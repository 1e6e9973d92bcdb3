//! Sessions of operators: what the console's cookie says, and whether it is still believed.
//!
//! A session names its account and the account's generation, so it is over with the next request after
//! the account was disabled or got another password or role. A token of `seckill mint` stands in the
//! cookie as it is: it needs no account, so it opens the console also where no account can be read.

use super::cookie::CONSOLE;
use crate::http::auth::bearer::check_not_revoked;
use crate::http::auth::token::{Principal, Signer};
use crate::http::problem::{Code, Problem};
use crate::http::state::Edge;
use crate::sales::RecordsUnavailable;
use crate::sales::operators::{Found, OperatorAccount};
use domain::{OperatorRole, OperatorRoles, Timestamp};
use hyper::http::request::Parts;

/// How long a session lasts: a working day.
pub const SESSION_SECONDS: u64 = 8 * 3_600;
/// What the seal of a session is for.
const PURPOSE: &str = "console session";

/// An operator whose session is believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsoleUser {
    /// The operator's name, as the log has it.
    pub name: String,
    /// What the operator may do.
    pub roles: OperatorRoles,
}

impl ConsoleUser {
    /// Checks that the operator may do what `role` may.
    ///
    /// # Errors
    /// Returns a `forbidden` problem if not.
    pub fn require(&self, role: OperatorRole) -> Result<(), Problem> {
        if self.roles.allow(role) {
            return Ok(());
        }
        Err(Problem::new(Code::Forbidden, format!("this is for the role {role}")))
    }

    /// Checks that the operator may see what operators and admins both see.
    ///
    /// # Errors
    /// Returns a `forbidden` problem if not.
    pub fn require_reader(&self) -> Result<(), Problem> {
        if self.roles.allow_any(OperatorRole::READERS) {
            return Ok(());
        }
        self.require(OperatorRole::Operator)
    }
}

/// Returns a new session of the account, for the cookie.
pub fn begin(signer: &Signer, account: &OperatorAccount, now: Timestamp) -> String {
    let expires_at = now.plus_milliseconds(SESSION_SECONDS * 1000);
    let text = format!("{}|{}|{}", account.name, account.generation, expires_at.0);
    signer.seal(PURPOSE, &text)
}

/// Returns the operator whose session the request carries; none if it carries none that is believed.
///
/// # Errors
/// Returns a `records_unavailable` problem if the session's account cannot be read and is not known.
pub async fn identify(edge: &Edge, parts: &Parts) -> Result<Option<ConsoleUser>, Problem> {
    let place = edge.site_of(&parts.extensions).place(&parts.headers, &parts.uri);
    let Some(value) = CONSOLE.read(&parts.headers, place) else { return Ok(None) };
    let now = edge.clock.token_time();
    if let Ok(Principal::Operator { name, roles, issued_at }) = edge.signer.verify(value, now) {
        let is_good = check_not_revoked(edge, &name, issued_at).await.is_ok();
        return Ok(is_good.then_some(ConsoleUser { name, roles }));
    }
    let Some(session) = Session::read(&edge.signer, value, now) else { return Ok(None) };
    match edge.sales.operator(&session.name, edge.engine.now()).await {
        Found::Account(account) | Found::LastKnown(account) => {
            let is_good = !account.is_disabled && account.generation == session.generation;
            Ok(is_good.then_some(ConsoleUser { name: account.name, roles: account.roles }))
        }
        Found::Nobody => Ok(None),
        Found::Unknown => Err(RecordsUnavailable.into()),
    }
}

/// What a session says.
struct Session {
    name: String,
    generation: u64,
}

impl Session {
    fn read(signer: &Signer, sealed: &str, now: Timestamp) -> Option<Self> {
        let text = signer.open(PURPOSE, sealed)?;
        let mut fields = text.rsplitn(3, '|');
        let expires_at = Timestamp(fields.next()?.parse().ok()?);
        let generation = fields.next()?.parse().ok()?;
        let name = fields.next()?.to_owned();
        (now < expires_at).then_some(Self { name, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn a_session_ends_by_the_clock_and_is_nothing_else() {
        let signer = Signer::new(&[7; 32]).unwrap();
        let account = OperatorAccount {
            name: "王|伟".to_owned(),
            password_hash: None,
            roles: OperatorRole::Viewer.into(),
            generation: 12,
            changed_at: NOW,
            is_disabled: false,
            tokens_from: Timestamp(0),
        };
        let session = begin(&signer, &account, NOW);
        let last = NOW.plus_milliseconds(SESSION_SECONDS * 1000 - 1);
        let read = Session::read(&signer, &session, last).expect("it is good");
        assert_eq!((read.name.as_str(), read.generation), ("王|伟", 12));
        assert!(Session::read(&signer, &session, Timestamp(last.0 + 1)).is_none());
        let link = super::super::link::code(&signer, "eva", account.roles, NOW);
        assert!(Session::read(&signer, &link, NOW).is_none());
        assert!(signer.verify(&session, NOW).is_err());
    }
}
