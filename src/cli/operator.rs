//! `seckill operator`: who may log in to the console. A link needs the secret that signs tokens and no
//! database; the rest opens the order store.

use super::banner::reachable;
use super::failure::{Exit, Failure};
use super::mint;
use crate::config::Config;
use crate::http::{operator_link, operator_name};
use crate::opening;
use crate::store::catalogue::{Catalogue, CatalogueError, OperatorAccount};
use crate::store::data_dir::DataDir;
use domain::operation::COMMAND_LINE_ACTOR;
use domain::{OperatorRole, OperatorRoles};
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;

/// The commands about operators.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum OperatorCommand {
    /// Print a link that is good once and for 15 minutes: the person who opens it chooses a password
    /// for this name, and has these roles from then on
    Link {
        /// The operator's name
        #[arg(value_parser = operator_name::of_person)]
        name: String,
        /// What the operator may do: viewer, operator, approver (an operator who may also approve) or
        /// admin; may be repeated
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<OperatorRole>,
    },
    /// List the accounts
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Disable an account: its sessions end with their next request, and tokens that were minted for this
    /// name are not accepted any more
    Disable {
        /// The operator's name
        #[arg(value_parser = operator_name::canonical)]
        name: String,
    },
    /// Let a disabled account be used again, with the password that it had
    Enable {
        /// The operator's name
        #[arg(value_parser = operator_name::canonical)]
        name: String,
    },
}

/// Runs the command.
///
/// # Errors
/// Returns [`Failure`] if the secret or the order store cannot be used.
pub fn run(
    config: &Config,
    command: &OperatorCommand,
    output: &mut impl Write,
) -> Result<(), Failure> {
    match command {
        OperatorCommand::Link { name, roles } => link(config, name, roles, output),
        OperatorCommand::List { json } => {
            let accounts =
                with_catalogue(config, async |catalogue, _| catalogue.operators().await)?;
            Ok(print(&accounts, *json, output)?)
        }
        OperatorCommand::Disable { name } => {
            let account = with_catalogue(config, async |catalogue, now| {
                catalogue.disable_operator(name, true, COMMAND_LINE_ACTOR, now).await
            })?;
            Ok(output.write_all(disabled(&account).as_bytes())?)
        }
        OperatorCommand::Enable { name } => {
            let account = with_catalogue(config, async |catalogue, now| {
                catalogue.disable_operator(name, false, COMMAND_LINE_ACTOR, now).await
            })?;
            until_minted_anew(&account);
            Ok(writeln!(output, "{} may log in again", account.name)?)
        }
    }
}

/// Waits until a token that is minted now is none of those that were revoked: its time is in whole seconds, and
/// all of the second in which the account was disabled are.
fn until_minted_anew(account: &OperatorAccount) {
    let good_from = account.tokens_from.0.div_ceil(1000) * 1000;
    let left = good_from.saturating_sub(crate::clock::wall_now().0).min(1000);
    std::thread::sleep(Duration::from_millis(left));
}

/// What came of disabling the account.
fn disabled(OperatorAccount { name, password_hash, .. }: &OperatorAccount) -> String {
    match password_hash {
        Some(_) => format!("{name} is disabled\n"),
        None => format!(
            "nobody of the name {name} has chosen a password; the name is disabled, and tokens that were \
             minted for it are not accepted any more\n"
        ),
    }
}

fn link(
    config: &Config,
    name: &str,
    roles: &[OperatorRole],
    output: &mut impl Write,
) -> Result<(), Failure> {
    let (signer, now) = mint::signer(config)?;
    let roles: OperatorRoles = roles.iter().copied().collect();
    let base = base(config);
    let code = operator_link::code(&signer, name, roles, now);
    Ok(writeln!(output, "{}", operator_link::url(&base, &code))?)
}

/// Where browsers find the shop.
fn base(config: &Config) -> String {
    let own = || format!("http://{}", reachable(config.http.listen));
    config.http.public_url.clone().unwrap_or_else(own)
}

/// Does `work` on the configured catalogue, also while a process serves.
fn with_catalogue<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Catalogue, domain::Timestamp) -> Result<T, CatalogueError>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let data_dir = DataDir::look(&config.data.dir);
        let orders = opening::existing_orders(config, &data_dir).await.map_err(failed)?;
        let Some(orders) = orders else { return Err(nothing_there(config)) };
        let catalogue = Catalogue::new(orders.database());
        let done = work(&catalogue, crate::clock::wall_now()).await.map_err(failed);
        orders.close().await;
        done
    })
}

fn nothing_there(config: &Config) -> Failure {
    Failure {
        exit: Exit::Data,
        what: format!("there is no order store in {}", config.data.dir.display()),
        meaning: "no account was looked at or changed".to_owned(),
        remedy: "start `seckill serve` first, or name the directory that the shop serves from: \
                 data.dir, SECKILL__DATA__DIR"
            .to_owned(),
    }
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure {
        exit: Exit::Fault,
        what: format!("the accounts of operators: {error}"),
        meaning: "no account was changed; who is logged in stays so".to_owned(),
        remedy:
            "make the order store reachable, see `seckill operator list` for the names, and repeat"
                .to_owned(),
    }
}

fn print(accounts: &[OperatorAccount], json: bool, output: &mut impl Write) -> io::Result<()> {
    for account in accounts {
        let OperatorAccount { name, roles, is_disabled, changed_at, .. } = account;
        let changed_at = crate::http::timestamp::to_string(*changed_at);
        if json {
            let roles: Vec<&str> = roles.iter().map(OperatorRole::name).collect();
            let line = json!({
                "name": name, "roles": roles, "disabled": is_disabled, "changed_at": changed_at,
            });
            writeln!(output, "{line}")?;
        } else {
            let state = if *is_disabled { "disabled" } else { "active" };
            writeln!(output, "{name}  {roles}  {state} since {changed_at}")?;
        }
    }
    if !json {
        writeln!(output, "{} accounts", accounts.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    #[test]
    fn accounts_are_a_line_each() {
        let account = OperatorAccount {
            name: "王伟".to_owned(),
            password_hash: Some("$argon2id$secret".into()),
            roles: "operator admin".parse().expect("roles"),
            generation: 3,
            changed_at: Timestamp(1_790_000_000_000),
            is_disabled: true,
            tokens_from: Timestamp(0),
        };
        let text = |json| {
            let mut output = Vec::new();
            print(std::slice::from_ref(&account), json, &mut output).expect("a vector takes all");
            String::from_utf8(output).expect("UTF-8")
        };
        assert_eq!(
            text(false),
            "王伟  operator admin  disabled since 2026-09-21T14:13:20.000Z\n1 accounts\n"
        );
        let line: serde_json::Value = serde_json::from_str(&text(true)).expect("JSON");
        assert_eq!(line["roles"], json!(["operator", "admin"]));
        assert!(!text(true).contains("argon2id"));
    }
}
