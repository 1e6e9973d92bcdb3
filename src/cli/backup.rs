//! `seckill backup`: a copy of the shop's data, beside the shop that sells, audited before it counts as one.

use super::audit::{self, AuditArguments, Report};
use super::failure::{self, Exit, Failure};
use crate::app::backup::{Backup, BackupError};
use crate::config::{Config, Events, Orders};
use std::io::Write;
use std::path::PathBuf;

/// What `seckill backup` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct BackupArguments {
    /// The folder that the copy gets; it must not be there
    folder: PathBuf,

    /// The command that dumps an order store in MySQL, such as `mysqldump --single-transaction shop >
    /// "$SECKILL_BACKUP_DIR/orders.sql"`
    #[arg(long, value_name = "COMMAND")]
    dump: Option<String>,
}

/// Makes a backup, audits it and gives it its name.
///
/// # Errors
/// Returns [`Failure`] if something cannot be copied, or what was copied does not balance.
pub fn run(
    config: &Config,
    arguments: &BackupArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let remedy = "back a cluster up by a snapshot of etcd (`etcdctl snapshot save`) and by a dump of the database of \
                  orders.mysql_url, or of each one of orders.mysql_urls (docs/operations.md, \"Backups\")";
    failure::without_cluster(config, "nothing was copied", remedy)?;
    check_dump(config, arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let copying = Backup::copy(config, &arguments.folder, arguments.dump.as_deref());
    let backup = runtime.block_on(copying)?;
    let report = audit::run(&alone(config, &backup), &AuditArguments::default())?;
    if report.exit() == Some(Exit::Broken) {
        report.print(false, output)?;
        return Err(unbalanced(&backup));
    }
    backup.finish()?;
    say(&report, arguments, output)
}

/// The configuration of a shop that has nothing but the copy.
fn alone(config: &Config, backup: &Backup) -> Config {
    let mut config = config.clone();
    backup.path().clone_into(&mut config.data.dir);
    config.orders = Orders::default();
    config.checkpoint.redis_url = None;
    config.broker.amqp_url = None;
    config.events = Events::default();
    config
}

/// A store in MySQL has a dump, and one in a file has none.
fn check_dump(config: &Config, arguments: &BackupArguments) -> Result<(), Failure> {
    let (what, remedy) = match (config.orders.are_in_file(), &arguments.dump) {
        (false, None) => (
            "orders.mysql_url names a database that this command cannot copy",
            "add --dump with the command that dumps it into \"$SECKILL_BACKUP_DIR\"",
        ),
        (true, Some(_)) => (
            "--dump is for an order store in MySQL, and orders.mysql_url names none",
            "leave --dump out: the file of the order store is copied",
        ),
        _ => return Ok(()),
    };
    Err(Failure {
        exit: Exit::CommandLine,
        what: format!("nothing was copied: {what}"),
        meaning: "there is no backup; the shop was not touched".to_owned(),
        remedy: remedy.to_owned(),
    })
}

fn say(
    report: &Report,
    arguments: &BackupArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let BackupArguments { folder, dump } = arguments;
    let orders = report.orders.total();
    writeln!(
        output,
        "{}: {} records, {orders} orders; the audit of it found nothing broken",
        folder.display(),
        report.records,
    )?;
    if dump.is_some() {
        writeln!(output, "  the dump of the order store was not looked at")?;
    }
    writeln!(
        output,
        "Copy it to another machine: on the same disk its segments share their room with the shop's. To restore, \
         put a copy of it in the place of data.dir and start the shop."
    )?;
    Ok(())
}

fn unbalanced(backup: &Backup) -> Failure {
    Failure {
        exit: Exit::Broken,
        what: format!("the copy at {} does not balance", backup.path().display()),
        meaning: "there is no backup; the shop sells on, and may have the same fault".to_owned(),
        remedy: "run `seckill audit --live` beside the shop, then delete the copy and repeat"
            .to_owned(),
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let (exit, remedy) = match &error {
            BackupError::Exists(_) => {
                (Exit::CommandLine, "give a folder that is not there, or move that away")
            }
            BackupError::NoShop(_) => (Exit::Data, "use the configuration of the shop (data.dir)"),
            BackupError::Io { .. } | BackupError::Journal(_) | BackupError::Store { .. } => (
                Exit::Fault,
                "mend that, delete what is left with the ending .unfinished, and repeat",
            ),
            BackupError::Dump(_) => (
                Exit::Fault,
                "try the command by itself, delete what is left with the ending .unfinished, and repeat",
            ),
        };
        Self {
            exit,
            what: format!("there is no backup: {error}"),
            meaning: "the shop was not touched".to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}
