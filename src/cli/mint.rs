//! `seckill mint`: tokens for tests, scripts and operators, signed with the data directory's secret.

use super::failure::{Exit, Failure};
use crate::app::{self, AppError};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{Role, Signer, operator_name};
use crate::secrets;
use domain::Timestamp;
use std::io::{self, Write};
use std::path::Path;

/// What `seckill mint` can be told. Exactly one of `--users`, `--operator`,
/// `--approver` and `--admin`.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("whose").required(true)))]
pub struct MintArguments {
    /// Print one JSON line {"user_id","token"} for each of so many buyers
    #[arg(long, value_name = "N", group = "whose", value_parser = clap::value_parser!(u64).range(1..))]
    users: Option<u64>,
    /// The first buyer's id; the others follow
    #[arg(long, value_name = "K", default_value_t = 1, conflicts_with_all = ["operator", "approver", "admin"])]
    first: u64,
    /// Print a token for an operator, who makes and runs sales
    #[arg(long, value_name = "NAME", group = "whose", value_parser = operator_name::of_person)]
    operator: Option<String>,
    /// Print a token for an approver, an operator who may also approve what another submitted
    #[arg(long, value_name = "NAME", group = "whose", value_parser = operator_name::of_person)]
    approver: Option<String>,
    /// Print a token for an admin, who gives and takes the accounts of operators, and changes rules and
    /// settings
    #[arg(long, value_name = "NAME", group = "whose", value_parser = operator_name::of_person)]
    admin: Option<String>,
    /// How long the tokens are good for [default: tokens.ttl_seconds]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=TTL_SECONDS_MAX))]
    ttl_seconds: Option<u64>,
}

/// The longest that a token may be good for: a year, as for those of a log-in.
const TTL_SECONDS_MAX: u64 = 31_536_000;

impl MintArguments {
    /// Refuses buyers whose ids would go beyond what an id can be.
    ///
    /// # Errors
    /// Returns [`Failure`] if the last buyer has no id.
    pub fn check(&self) -> Result<(), Failure> {
        let others = self.users.unwrap_or(1) - 1;
        if self.first.checked_add(others).is_some() {
            return Ok(());
        }
        Err(Failure {
            exit: Exit::CommandLine,
            what: format!(
                "{} buyers from id {} on go beyond the last id, {}",
                others + 1,
                self.first,
                u64::MAX
            ),
            meaning: "no token was printed".to_owned(),
            remedy: "ask for fewer (--users), or begin lower (--first)".to_owned(),
        })
    }
}

/// The signer of the configured data directory, and the time to sign at.
///
/// # Errors
/// Returns [`Failure`] if there is no usable secret.
pub fn signer(config: &Config) -> Result<(Signer, Timestamp), Failure> {
    let own = || secrets::existing_signing_secret(&config.data.dir);
    let signer = app::signer(&config.tokens, own).map_err(|error| match error {
        AppError::Secret(error) => no_secret(error, &config.data.dir),
        error => Failure {
            exit: Exit::Data,
            what: error.to_string(),
            meaning: "no token can be signed, so no client could buy".to_owned(),
            remedy: "delete the secret; a new one is made".to_owned(),
        },
    })?;
    Ok((signer, Clock::start(Timestamp(0)).now()))
}

/// Says where the key was looked for, if it is not there: a new one would sign tokens that no shop
/// accepts.
fn no_secret(error: secrets::Error, data_dir: &Path) -> Failure {
    match error {
        secrets::Error::Io { path, source } if source.kind() == io::ErrorKind::NotFound => {
            let path = std::path::absolute(&path).unwrap_or(path);
            Failure {
                exit: Exit::Data,
                what: format!("there is no key to sign tokens with: looked for {}", path.display()),
                meaning: "no token was printed; a shop makes its key when it first starts"
                    .to_owned(),
                remedy: format!(
                    "start `seckill serve` on this data directory first, or name the one that the shop \
                     serves from: data.dir (now {}), SECKILL__DATA__DIR",
                    data_dir.display()
                ),
            }
        }
        error => error.into(),
    }
}

/// Prints the tokens.
///
/// # Errors
/// Returns the output's error if it cannot be written.
pub fn print(
    arguments: &MintArguments,
    signer: &Signer,
    now: Timestamp,
    default_ttl_seconds: u64,
    output: &mut impl Write,
) -> io::Result<()> {
    let ttl_seconds = arguments.ttl_seconds.unwrap_or(default_ttl_seconds);
    for (name, role) in [
        (&arguments.operator, Role::Operator),
        (&arguments.approver, Role::Approver),
        (&arguments.admin, Role::Admin),
    ] {
        if let Some(name) = name {
            return writeln!(output, "{}", signer.mint(name, role, now, ttl_seconds));
        }
    }
    let mut digits = itoa::Buffer::new();
    for index in 0..arguments.users.unwrap_or(0) {
        let Some(user_id) = arguments.first.checked_add(index) else { break };
        let user_id = digits.format(user_id);
        let token = signer.mint(user_id, Role::Buyer, now, ttl_seconds);
        // Digits and base64url need no escapes.
        output.write_all(b"{\"user_id\":\"")?;
        output.write_all(user_id.as_bytes())?;
        output.write_all(b"\",\"token\":\"")?;
        output.write_all(token.as_bytes())?;
        output.write_all(b"\"}\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Principal;
    use clap::Parser;
    use domain::{OperatorRole, UserId};

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    #[derive(Parser)]
    struct Shell {
        #[command(flatten)]
        mint: MintArguments,
    }

    fn mint(line: &str) -> Result<String, clap::Error> {
        let words = std::iter::once("mint").chain(line.split(' '));
        let arguments = Shell::try_parse_from(words)?.mint;
        let signer = Signer::new(&[7; 32]).expect("a signer");
        let mut output = Vec::new();
        print(&arguments, &signer, NOW, 60, &mut output).expect("a vector takes all");
        Ok(String::from_utf8(output).expect("UTF-8"))
    }

    #[test]
    fn buyers_are_one_json_line_each() {
        let signer = Signer::new(&[7; 32]).expect("a signer");
        let printed = mint("--users 3 --first 40").expect("minted");
        let lines: Vec<serde_json::Value> =
            printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3);
        for (index, line) in (40..).zip(&lines) {
            assert_eq!(line["user_id"], index.to_string());
            let token = line["token"].as_str().expect("text");
            assert_eq!(signer.verify(token, NOW), Ok(Principal::Buyer(UserId(index))));
            assert!(signer.verify(token, NOW.plus_milliseconds(60_000)).is_err());
        }
    }

    #[test]
    fn operators_approvers_and_admins_are_one_token() {
        let signer = Signer::new(&[7; 32]).expect("a signer");
        for (flag, role) in [
            ("--operator", OperatorRole::Operator),
            ("--approver", OperatorRole::Approver),
            ("--admin", OperatorRole::Admin),
        ] {
            let printed = mint(&format!("{flag} 王伟 --ttl-seconds 600")).expect("minted");
            let token = printed.strip_suffix('\n').expect("a line");
            let name = "王伟".to_owned();
            let expected = Principal::Operator { name, roles: role.into(), issued_at: NOW };
            assert_eq!(signer.verify(token, NOW.plus_milliseconds(599_999)), Ok(expected));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let words = "mint --users 3 --first 18446744073709551614".split(' ');
        let beyond = Shell::try_parse_from(words).expect("numbers").mint.check();
        assert_eq!(beyond.expect_err("no such id").exit, Exit::CommandLine);
        for line in [
            "--first 1",
            "--users -1",
            "--users 1 --operator a",
            "--operator a --admin b",
            "--operator a --first 3",
            "--operator a\"b",
            "--users 0",
            "--users 1 --ttl-seconds 0",
            "--users 1 --ttl-seconds 31536001",
        ] {
            assert!(mint(line).is_err(), "{line}");
        }
    }
}
