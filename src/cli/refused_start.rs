//! What a person is told of a start that was refused: what is wrong, what it means for the sale, what to do.
//!
//! Must not know how anything was found.

use super::failure::{Exit, Failure};
use crate::app::AppError;
use crate::config::Config;
use crate::opening::OpenError;
use crate::store::data_dir::DataDirError;
use crate::store::journal::JournalId;
use std::path::Path;

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        let shortage = match error {
            // A port that this user may not have is no matter of the data directory.
            AppError::Listen(_) => None,
            _ => shortage(&error.to_string()),
        };
        let meaning = match error {
            AppError::Listen(_) => NOT_STARTED,
            _ => NOTHING_SOLD,
        };
        let what = format!("the sale cannot be served: {error}");
        let (exit, remedy) = match error {
            AppError::Secret(error) => return error.into(),
            AppError::Open(error) => return not_opened("the sale cannot be served", &error),
            AppError::IdentityLost { ref path, journal, .. } => {
                return identity_lost(&error, path, journal);
            }
            AppError::JournalInUse(_) => return in_use(what),
            other => remedy_of_start(&other),
        };
        Self {
            exit,
            what,
            meaning: meaning.to_owned(),
            remedy: shortage.unwrap_or(remedy).to_owned(),
        }
    }
}

/// What a person is told of a start that was refused with this configuration: a cluster has other remedies.
pub(super) fn refused(error: AppError, config: &Config) -> Failure {
    let is_foreign = matches!(error, AppError::ForeignOrders(_));
    let mut failure = Failure::from(error);
    if is_foreign && config.cluster.is_set() {
        FOREIGN_ORDERS_OF_CLUSTER.clone_into(&mut failure.remedy);
    }
    failure
}

/// What the shell is told of a start that is refused, and what the person is to do.
fn remedy_of_start(error: &AppError) -> (Exit, &'static str) {
    match error {
        AppError::Listen(error) if error.is_of_passed_socket() => (
            Exit::Address,
            "give the socket units and the settings the same addresses (ListenStream=, http.listen, \
             operations.listen), one socket each, and the one for operations FileDescriptorName=operations",
        ),
        AppError::Listen(_) => (
            Exit::Address,
            "stop what listens there, or give the setting another address (port 0 picks a free \
             one)",
        ),
        AppError::JournalBehind(_) => (Exit::Data, JOURNAL_BEHIND),
        AppError::NewerJournal(_) => (
            Exit::Data,
            "start the version of seckill that wrote it, or a later one; nothing was changed",
        ),
        AppError::Clock(_) => (
            Exit::Data,
            "set this machine's clock right and start again; if it is right, it was ahead when that \
             record was made: wait until it gets there, or go on at the journal's time with \
             `seckill serve --accept-clock` (docs/operations.md, \"Clocks\")",
        ),
        AppError::FileSizeLimit { .. } => (
            Exit::Data,
            "raise the limit (`ulimit -f unlimited`, or LimitFSIZE= of its unit), or lower \
             journal.segment_bytes",
        ),
        AppError::ForeignCheckpoint(_) => (Exit::Data, FOREIGN_CHECKPOINT),
        AppError::ForeignOrders(_) => (Exit::Data, FOREIGN_ORDERS),
        AppError::MisplacedOrders(_) => (Exit::Data, MISPLACED_ORDERS),
        AppError::OrdersLost(_) => (
            Exit::Data,
            "bring the order store back, or a backup of it that reaches that record (orders.db \
             with its -wal in the data directory, or the database of orders.mysql_url)",
        ),
        AppError::JournalDamaged(_) => (
            Exit::Data,
            "leave the data directory as it is, make a copy of it, and bring a good copy of the segment \
             that is named back, which a start checks; without one go on with `seckill recover \
             --from-orders`, as docs/operations.md tells under \"A damaged journal\"",
        ),
        AppError::Challenge(_) => {
            (Exit::Configuration, "give the provider's keys, or set challenge.provider to \"none\"")
        }
        AppError::Traces(_) => (
            Exit::Configuration,
            "correct the URL, or leave traces.otlp_endpoint out: then nothing is traced",
        ),
        AppError::Issuer(_) => {
            (Exit::Configuration, "correct the URL, or the file with the authority's certificate")
        }
        AppError::Tls(_) => (
            Exit::Configuration,
            "correct http.tls_certificate_file and http.tls_key_file, and let this user read them",
        ),
        AppError::Cluster(error) if error.is_of_configuration() => {
            (Exit::Configuration, error.remedy())
        }
        AppError::Cluster(error) => (Exit::Data, error.remedy()),
        AppError::Signer(_) => (Exit::Data, "delete the secret; a new one is made"),
        AppError::Threads(_) => (Exit::Fault, "see what limits this user's threads and open files"),
        _ => (
            Exit::Data,
            "leave the data directory as it is and make a copy of it; `seckill audit` says \
             what is in it",
        ),
    }
}

const NOTHING_SOLD: &str =
    "nothing listens and nothing is sold; confirmed orders are where they were";

const NOT_STARTED: &str = "this process has started nothing and touched no data; what listens there goes on, \
                           and sells on if it is this shop";

/// What the person is told of a store that cannot be opened, and so of `what` that could not be done.
pub(super) fn not_opened(what: &str, error: &OpenError) -> Failure {
    let what = format!("{what}: {error}");
    if matches!(error, OpenError::DataDir(DataDirError::InUse { .. })) {
        return in_use(what);
    }
    let (exit, remedy) = remedy_of_opening(error);
    let meaning = match error {
        OpenError::OrdersDamaged { .. } => {
            "nothing listens and nothing is sold; confirmed orders are in the journal, but for those that \
             it has deleted since, which only this file or a backup of it has, as it has the accounts and \
             the drafts of sales"
        }
        _ => NOTHING_SOLD,
    };
    Failure {
        exit,
        meaning: meaning.to_owned(),
        remedy: shortage(&what).unwrap_or(remedy).to_owned(),
        what,
    }
}

/// What the second process on a data directory says.
pub(super) fn in_use(what: String) -> Failure {
    Failure {
        exit: Exit::Data,
        what,
        meaning: "the process that has it sells on; this one has started nothing and changed nothing"
            .to_owned(),
        remedy: "one process at a time has a data directory: leave the other one to it, or stop that one \
                 first, or set data.dir to another directory"
            .to_owned(),
    }
}

/// What to do where the machine lacks something, whichever part was the first to notice; none if that
/// is not what the error says.
fn shortage(error: &str) -> Option<&'static str> {
    const SHORTAGES: [(&[&str], &str); 4] = [
        (
            // The second is what SQLite says of it.
            &["Permission denied", "readonly database"],
            "give the user who runs this process the file or directory that is named, and all that is in the \
             data directory (`chown -R`, and `chmod -R u+rwX`), and start again; nothing was changed",
        ),
        (
            &["disk is full", "No space left on device", "Disk quota exceeded"],
            "make room on the disk of the data directory and start again; leave its files as they are",
        ),
        (
            // What SQLite says of a full disk as well.
            &["disk I/O error"],
            "make room on the disk of the data directory if it is full; otherwise the disk fails, and \
             the kernel's log says how; leave the files as they are and start again",
        ),
        (
            // The last is what a thread that cannot be started is told, too.
            &["out of memory", "Cannot allocate memory", "Resource temporarily unavailable"],
            "give the process more memory and threads (`ulimit -v`, `ulimit -u`, or the limits of its \
             container) and start again; leave its files as they are",
        ),
    ];
    let said = |words: &[&str]| words.iter().any(|word| error.contains(word));
    SHORTAGES.iter().find(|(words, _)| said(words)).map(|(_, remedy)| *remedy)
}

const JOURNAL_BEHIND: &str = "if this is an older copy of the data directory, or a new one because its volume was not \
                 mounted, bring the newest one back; if the journal is lost for good, move what is left of \
                 its directory away and begin a new one from the order store with `seckill recover \
                 --from-orders` (docs/operations.md, \"A lost journal\")";

const FOREIGN_CHECKPOINT: &str = "give this shop a Redis database of its own (checkpoint.redis_url); or, if the data directory is new \
     because its volume was not mounted, bring the old one back; or, if the other shop is gone for good, \
     delete its keys `seckill::checkpoint::*`";

const FOREIGN_ORDERS: &str = "give this shop a database of its own (orders.mysql_url); or, if the data directory is an older copy, \
     or new because its volume was not mounted, bring the right one back; or, if the journal's disk is lost \
     for good, begin a new one with `seckill recover --from-orders` (docs/operations.md, \"A lost journal\")";

const FOREIGN_ORDERS_OF_CLUSTER: &str = "correct orders.mysql_url (or orders.mysql_urls), which names the same databases at all nodes of a \
     cluster and is another shop's here; or correct cluster.endpoints or cluster.prefix, if the orders are this \
     shop's and the cluster is another one's (docs/cluster.md)";

const MISPLACED_ORDERS: &str = "name the databases in orders.mysql_urls as they were named when the first order was stored: all of \
     them, and in the same order. Another number of them is a change of its own, with the shop stopped \
     (docs/backends.md, \"From one order store to several\")";

/// What is told where the file with the journal's identity is gone, and something else names it.
fn identity_lost(error: &AppError, path: &Path, journal: JournalId) -> Failure {
    Failure {
        exit: Exit::Data,
        what: format!("the sale cannot be served: {error}"),
        meaning: "nothing listens and nothing is sold; nothing in the data directory was changed"
            .to_owned(),
        remedy: format!(
            "bring the file back from a copy of the data directory, or write it anew, and start again: \
             `echo {journal} > {path}`; if the journal here is another one than that, give the shop stores \
             of its own",
            path = path.display()
        ),
    }
}

/// What the shell is told, and the person, of a store that cannot be opened.
fn remedy_of_opening(error: &OpenError) -> (Exit, &'static str) {
    match error {
        OpenError::DataDir(DataDirError::InUse { .. }) => {
            (Exit::Data, "stop the process that has it")
        }
        OpenError::DataDir(DataDirError::FewerShards { .. }) => {
            (Exit::Data, "set engine.shards to at least as many as the directory has")
        }
        OpenError::DataDir(DataDirError::Io { .. }) => {
            (Exit::Data, "make the data directory readable and writable for this user (data.dir)")
        }
        OpenError::DataDir(DataDirError::Malformed { .. }) => (
            Exit::Data,
            "bring the file back from a copy of the data directory; the journal's identity is also in \
             the order store (table `journal`) and in the checkpoints in Redis (field `journal`)",
        ),
        OpenError::Certificate { .. } => (
            Exit::Configuration,
            "make checkpoint.redis_ca_file, broker.amqp_ca_file and events.amqp_ca_file name readable files",
        ),
        OpenError::ReadCache(_) => {
            (Exit::Configuration, "make checkpoint.redis_url the URL of a Redis")
        }
        OpenError::Checkpoints(_) => (
            Exit::Data,
            "checkpoints only make a start shorter: with their file moved away they are made \
             anew from the journal",
        ),
        OpenError::OrdersDamaged { .. } => (
            Exit::Data,
            "make a copy of the data directory; then move that file, with those that end in -wal and -shm, \
             away, and bring a backup of it back, which is filled up from the journal. Without a backup \
             start without it: if the journal has all orders it is made anew from them, without accounts \
             and drafts; if not, the start says what is missing",
        ),
        OpenError::Orders(_) => (
            Exit::Data,
            "make the order store reachable and writable (orders.mysql_url, or the data \
             directory)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::checkpoint::CheckpointError;

    #[test]
    fn what_the_machine_lacks_is_never_mended_by_moving_files() {
        for (said, words) in [
            ("database or disk is full", "make room on the disk"),
            ("disk I/O error", "make room on the disk"),
            ("out of memory", "more memory"),
            ("attempt to write a readonly database", "chown"),
            ("/data/journal: Permission denied (os error 13)", "chown"),
            ("Resource temporarily unavailable (os error 11)", "more memory and threads"),
            ("file is not a database", "with their file moved away"),
        ] {
            let error = CheckpointError::Configuration(said.to_owned());
            let failure = Failure::from(AppError::Open(OpenError::Checkpoints(error)));
            assert!(failure.remedy.contains(words), "{said}: {}", failure.remedy);
        }
    }
}
