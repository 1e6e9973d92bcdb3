//! The accounts of operators. Never sees a password, only its hash.
//!
//! Every change moves an account's generation on, in the transaction that logs it: a session that names
//! an older one is over. Must not know links, tokens or cookies.

use super::error::CatalogueError;
use super::handle::{Catalogue, reading, writing};
use super::limits::{NAME_LENGTH_MAX, check_text};
use super::log::{LogEntry, append};
use super::numbers::{number, signed};
use crate::store::database::StoreError;
use domain::{OperatorRoles, Timestamp};
use secrecy::SecretString;
use serde_json::json;

/// The most accounts that there can be.
pub const OPERATORS_MAX: usize = 1_000;

/// An operator's account.
#[derive(Clone, Debug)]
pub struct OperatorAccount {
    /// The operator's name, as it was first written.
    pub name: String,
    /// The hash of the password, in PHC string format; none if there never was a password.
    pub password_hash: Option<SecretString>,
    /// What the operator may do.
    pub roles: OperatorRoles,
    /// A number that no other state of an account of this name ever has.
    pub generation: u64,
    /// When the account was changed last: links that were made until then are used up.
    pub changed_at: Timestamp,
    /// Whether nobody may log in with it.
    pub is_disabled: bool,
    /// Tokens of this name that were minted before are not accepted.
    pub tokens_from: Timestamp,
}

/// What an operator says who accepts a link.
#[derive(Clone, Debug)]
pub struct Acceptance<'a> {
    /// The name in the link.
    pub name: &'a str,
    /// The roles in the link.
    pub roles: OperatorRoles,
    /// When the link was made.
    pub issued_at: Timestamp,
    /// The hash of the password that the operator chose.
    pub password_hash: &'a str,
    /// The time now.
    pub now: Timestamp,
}

/// A row of `operators`, in the order in which its columns are selected.
type AccountRow = (String, Option<String>, String, i64, i64, i64, i64);

/// Reads one account, if there is one.
macro_rules! account_of {
    ($connection:expr, $key:expr) => {{
        let text = "SELECT name, password_hash, roles, generation, changed_at, disabled, tokens_from \
                    FROM operators WHERE name_key = ?";
        let row: Option<AccountRow> =
            sqlx::query_as(text).bind($key).fetch_optional(&mut *$connection).await?;
        row.map(read).transpose()?
    }};
}

/// Writes an account as it is from now on, over the one of `former`'s generation if there was one.
macro_rules! write_account {
    ($connection:expr, $account:expr, $former:expr) => {{
        let text = match $former {
            None => {
                "INSERT INTO operators (name, password_hash, roles, generation, changed_at, disabled, \
                 tokens_from, name_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            }
            Some(_) => {
                "UPDATE operators SET name = ?, password_hash = ?, roles = ?, generation = ?, \
                 changed_at = ?, disabled = ?, tokens_from = ? WHERE name_key = ? AND generation = ?"
            }
        };
        let query = sqlx::query(text)
            .bind($account.name.as_str())
            .bind($account.password_hash.as_ref().map(secrecy::ExposeSecret::expose_secret))
            .bind($account.roles.to_string())
            .bind(signed($account.generation))
            .bind(signed($account.changed_at.0))
            .bind(i64::from($account.is_disabled))
            .bind(signed($account.tokens_from.0))
            .bind(name_key(&$account.name));
        let query = match $former {
            None => query,
            Some(generation) => query.bind(signed(generation)),
        };
        match query.execute(&mut *$connection).await {
            Ok(written) if written.rows_affected() == 1 => {}
            Ok(_) => return Err(CatalogueError::ChangedMeanwhile),
            Err(sqlx::Error::Database(refusal)) if refusal.is_unique_violation() => {
                return Err(CatalogueError::ChangedMeanwhile);
            }
            Err(error) => return Err(error.into()),
        }
    }};
}

impl Catalogue {
    /// Returns the account of this name, without regard to case, if there is one.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn operator(&self, name: &str) -> Result<Option<OperatorAccount>, CatalogueError> {
        reading!(&self.database, |connection| Ok(account_of!(connection, name_key(name))))
    }

    /// Returns all accounts by name, at most [`OPERATORS_MAX`].
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn operators(&self) -> Result<Vec<OperatorAccount>, CatalogueError> {
        let rows: Result<Vec<AccountRow>, CatalogueError> =
            reading!(&self.database, |connection| {
                let text = "SELECT name, password_hash, roles, generation, changed_at, disabled, \
                            tokens_from FROM operators ORDER BY name_key LIMIT 1000";
                Ok(sqlx::query_as(text).fetch_all(connection).await?)
            });
        Ok(rows?.into_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Gives the account of a link its password and roles, and makes it if there is none. The link is
    /// used up by it, as is every link for this name that was made before.
    ///
    /// # Errors
    /// Returns [`CatalogueError::LinkUsed`] if the account was changed since the link was made,
    /// [`CatalogueError::OperatorDisabled`] if it is disabled, [`CatalogueError::TooManyOperators`] if
    /// there is no room for another.
    pub async fn accept_operator(
        &self,
        acceptance: Acceptance<'_>,
    ) -> Result<OperatorAccount, CatalogueError> {
        let Acceptance { name, roles, issued_at, password_hash, now } = acceptance;
        check_text("name", name, NAME_LENGTH_MAX)?;
        writing!(&self.database, |connection| {
            let former = account_of!(connection, name_key(name));
            match &former {
                Some(account) if account.changed_at >= issued_at => {
                    return Err(CatalogueError::LinkUsed);
                }
                Some(account) if account.is_disabled => {
                    return Err(CatalogueError::OperatorDisabled);
                }
                Some(_) => {}
                None => {
                    let counted = sqlx::query_as("SELECT COUNT(*) FROM operators");
                    let (count,): (i64,) = counted.fetch_one(&mut *connection).await?;
                    if count >= OPERATORS_MAX as i64 {
                        return Err(CatalogueError::TooManyOperators);
                    }
                }
            }
            let generation = former.as_ref().map(|account| account.generation);
            let account = changed(
                OperatorAccount {
                    name: former.as_ref().map_or_else(|| name.to_owned(), |a| a.name.clone()),
                    password_hash: Some(password_hash.into()),
                    roles,
                    generation: generation.unwrap_or_default(),
                    changed_at: issued_at,
                    is_disabled: false,
                    tokens_from: former.map_or(Timestamp(0), |account| account.tokens_from),
                },
                now,
            );
            write_account!(connection, account, generation);
            let detail = json!({ "roles": account.roles.to_string() });
            let entry = entry("accept", &account.name, &account.name, now, detail);
            append!(connection, entry)?;
            Ok(account)
        })
    }

    /// Disables an account or lets it be used again. Disabling ends its sessions and makes tokens of this
    /// name that were minted before worthless, for good; that works for a name without an account, too.
    ///
    /// # Errors
    /// Returns [`CatalogueError::OperatorNotFound`] if an account is to be used again that is not there.
    pub async fn disable_operator(
        &self,
        name: &str,
        is_disabled: bool,
        actor: &str,
        now: Timestamp,
    ) -> Result<OperatorAccount, CatalogueError> {
        check_text("name", name, NAME_LENGTH_MAX)?;
        check_text("actor", actor, NAME_LENGTH_MAX)?;
        writing!(&self.database, |connection| {
            let former = account_of!(connection, name_key(name));
            let generation = former.as_ref().map(|account| account.generation);
            let account = match former {
                Some(account) if account.is_disabled == is_disabled => return Ok(account),
                None if !is_disabled => return Err(CatalogueError::OperatorNotFound),
                Some(account) => account,
                None => OperatorAccount {
                    name: name.to_owned(),
                    password_hash: None,
                    roles: domain::OperatorRole::Viewer.into(),
                    generation: 0,
                    changed_at: Timestamp(0),
                    is_disabled,
                    tokens_from: now,
                },
            };
            let tokens_from = if is_disabled { now } else { account.tokens_from };
            let account = changed(OperatorAccount { is_disabled, tokens_from, ..account }, now);
            write_account!(connection, account, generation);
            let action = if is_disabled { "disable" } else { "enable" };
            let entry = entry(action, &account.name, actor, now, json!({}));
            append!(connection, entry)?;
            Ok(account)
        })
    }

    /// Notes in the operators' log that `actor` made a link.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn note_operator_link(
        &self,
        name: &str,
        roles: OperatorRoles,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        let entry = entry("link", name, actor, now, json!({ "roles": roles.to_string() }));
        writing!(&self.database, |connection| {
            append!(connection, entry)?;
            Ok(())
        })
    }
}

/// The account as it is after a change: its generation comes from the time, so that it is another one
/// also where the table was lost and made anew.
fn changed(account: OperatorAccount, now: Timestamp) -> OperatorAccount {
    let changed_at = now.max(account.changed_at);
    OperatorAccount { generation: changed_at.0.max(account.generation + 1), changed_at, ..account }
}

fn entry(
    action: &str,
    name: &str,
    actor: &str,
    at: Timestamp,
    detail: serde_json::Value,
) -> LogEntry {
    LogEntry {
        at,
        actor: actor.to_owned(),
        action: format!("operator.{action}"),
        subject: format!("operator:{name}"),
        detail,
    }
}

fn read(row: AccountRow) -> Result<OperatorAccount, StoreError> {
    let (name, password_hash, roles, generation, changed_at, disabled, tokens_from) = row;
    let place = |column: &'static str| format!("operator {name:?}, {column}");
    let roles = roles
        .parse()
        .map_err(|_| StoreError::corrupt(format!("{}: {roles:?} are none", place("roles"))))?;
    Ok(OperatorAccount {
        password_hash: password_hash.map(SecretString::from),
        roles,
        generation: number(place("generation"), generation)?,
        changed_at: Timestamp(number(place("changed_at"), changed_at)?),
        is_disabled: disabled != 0,
        tokens_from: Timestamp(number(place("tokens_from"), tokens_from)?),
        name,
    })
}

/// The key by which names are unique. As bytes, so that no collation changes how it is compared.
fn name_key(name: &str) -> Vec<u8> {
    name.to_lowercase().into_bytes()
}
