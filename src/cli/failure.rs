//! How a command fails: what happened, what it means for the sale, what to do; and the exit codes.

use crate::config::Config;
use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit codes, which scripts may rely on. Beside them 0 is success and 74 a journal that failed while the sale was on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// An audit ran to its end and found an invariant broken, a shop was asked for its health and does not
    /// sell, or a cluster was looked at and something is wrong with it.
    Broken = 1,
    /// The command line was not understood, or makes no sense.
    CommandLine = 2,
    /// The configuration was refused, before anything was touched.
    Configuration = 3,
    /// The data directory or what is in it cannot be used: permissions, another process, damage, or
    /// checkpoints and orders that another one's journal made. Also an audit that found nothing broken, and
    /// could not ask a store that the configuration names.
    Data = 4,
    /// The address cannot be listened on.
    Address = 5,
    /// Something failed while the command ran.
    Fault = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early, for the person who typed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What to tell the shell.
    pub exit: Exit,
    /// What happened; may have several lines.
    pub what: String,
    /// What it means for the sale.
    pub meaning: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what.replace('\n', "\n       ");
        writeln!(formatter, "error: {what}")?;
        writeln!(formatter, "means: {}", self.meaning)?;
        write!(formatter, "to do: {}", self.remedy)
    }
}

/// Refuses a command that works on the journal of a data directory, where the log is etcd's. `what` says what
/// was not done, `remedy` what does it there.
///
/// # Errors
/// Returns [`Failure`] if the configuration names a cluster.
pub fn without_cluster(config: &Config, what: &str, remedy: &str) -> Result<(), Failure> {
    if !config.cluster.is_set() {
        return Ok(());
    }
    Err(Failure {
        exit: Exit::Configuration,
        what: format!(
            "{what}: the log of a cluster is in etcd, and this command reads a data directory's"
        ),
        meaning: "nothing was read and nothing was changed".to_owned(),
        remedy: remedy.to_owned(),
    })
}

impl From<io::Error> for Failure {
    /// Output that cannot be written, which is all that commands do without naming it.
    fn from(error: io::Error) -> Self {
        Self {
            exit: Exit::Fault,
            what: format!("the output cannot be written: {error}"),
            meaning: "what was printed is incomplete; no sale was touched".to_owned(),
            remedy: "give the output a place that can take it, then repeat the command".to_owned(),
        }
    }
}

impl From<crate::config::Invalid> for Failure {
    fn from(invalid: crate::config::Invalid) -> Self {
        Self {
            exit: Exit::Configuration,
            what: format!("the configuration is refused\n{invalid}"),
            meaning: "nothing was started and no data was touched".to_owned(),
            remedy: "correct the above; `seckill config check` shows what is in effect".to_owned(),
        }
    }
}

impl From<crate::secrets::Error> for Failure {
    fn from(error: crate::secrets::Error) -> Self {
        use crate::secrets::Error;
        let remedy = match &error {
            Error::Permissions { path, .. } => format!(
                "if no one else has read it, `chmod 600 {path}`; otherwise delete it, and a new \
                 one is made, which ends every session",
                path = path.display()
            ),
            Error::Malformed { path } => format!(
                "restore {path} from a backup, or delete it, and a new one is made, which ends \
                 every session",
                path = path.display()
            ),
            Error::Io { .. } | Error::Random(_) => {
                "make the data directory readable and writable for this user (`data.dir`)"
                    .to_owned()
            }
        };
        Self {
            exit: Exit::Data,
            what: format!("the signing secret cannot be used: {error}"),
            meaning: "no token can be signed or checked, so no client could buy".to_owned(),
            remedy,
        }
    }
}
