//! SQLite files on their disk: how to open one that can be read and not written, and whether the file at a
//! path is still the one that was opened there.

use parking_lot::Mutex;
use rustix::fs::Access;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, SqlitePool};
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How to open the SQLite file at `path` if it is there and its directory cannot be written to; none if
/// it can. A file without a log beside it is opened as one that nobody changes, because SQLite would
/// make a log even for reading.
pub(super) fn only_readable(path: &Path) -> Option<SqliteConnectOptions> {
    let directory = path.parent()?;
    if !path.exists() || rustix::fs::access(directory, Access::WRITE_OK).is_ok() {
        return None;
    }
    let has_log = std::fs::metadata(beside(path, LOG)).is_ok_and(|log| log.len() > 0);
    Some(SqliteConnectOptions::new().filename(path).read_only(true).immutable(!has_log))
}

/// Copies the SQLite file at `from`, which may be in use, into a new file at `to`: as of one instant.
///
/// # Errors
/// Returns SQLite's error in words if the file cannot be read, or there is one at `to`.
pub async fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let options = SqliteConnectOptions::new()
        .filename(from)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(30));
    let copied = async {
        let mut connection = options.connect().await?;
        let to = to.to_string_lossy().into_owned();
        sqlx::query("VACUUM INTO ?").bind(to).execute(&mut connection).await?;
        connection.close().await
    };
    copied.await.map_err(|error: sqlx::Error| error.to_string())
}

/// Moves the file's log into it. The last connection's end would do that too, but one that was thrown away
/// because of a fault may end after it, or never.
pub(super) async fn empty_log(connection: &mut SqliteConnection) {
    let moved: Result<(i64, i64, i64), _> =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await;
    match moved {
        Ok((0, _, _)) => {}
        Ok(_) => tracing::warn!("a SQLite file is in use, and what it holds stays in its log"),
        Err(error) => tracing::warn!(%error, "a SQLite file's log stays beside it"),
    }
}

/// Closes all connections of a pool, once those in use have been returned.
pub(super) async fn close_all(pool: &SqlitePool) {
    pool.close().await;
    // One that comes back while the pool closes may come to rest behind its last look, and would stay open.
    pool.close().await;
}

/// A file that was opened at a path. Connections go on with it when another one is put in its place, or none,
/// and what they write then is lost with them.
#[derive(Debug)]
pub(super) struct FileInPlace {
    path: PathBuf,
    opened: io::Result<Identity>,
    /// Its log and the index of that, as they were seen last.
    beside: Mutex<[Option<Seen>; BESIDE.len()]>,
}

/// What tells a file from any other: its device, and its number there.
type Identity = (u64, u64);

/// What was seen of a file that SQLite only lets grow.
#[derive(Clone, Copy, Debug)]
struct Seen {
    identity: Identity,
    length: u64,
}

/// How the name of a file's log ends.
const LOG: &str = "-wal";
/// How the names of its log and of the index of that end.
const BESIDE: [&str; 2] = [LOG, "-shm"];

/// A log, or its index, that is not in its place any more or lacks its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LogLost {
    path: PathBuf,
    became: Became,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Became {
    Away,
    Replaced,
    Short,
    Lost(String),
}

impl LogLost {
    /// Where it was.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the same file, and shorter.
    pub(super) fn is_short(&self) -> bool {
        self.became == Became::Short
    }
}

impl fmt::Display for LogLost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let became = match &self.became {
            Became::Away => "deleted or moved",
            Became::Replaced => "replaced",
            Became::Short => "cut short",
            Became::Lost(error) => error,
        };
        write!(
            out,
            "{} was {became} beneath this process, and what it held cannot be brought into its file: \
             accounts, sales and settings of the last seconds may be lost, orders are in the journal. Nothing \
             is stored there any more: start the shop again, which fills the orders again, and look at what \
             operators changed last",
            self.path.display()
        )
    }
}

impl FileInPlace {
    /// The file that was just opened at `path`.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), opened: identity(path), beside: Mutex::default() }
    }

    /// Checks that the file's log and its index are still those that were seen last, and lack nothing. Those
    /// that were not there before are not missed.
    ///
    /// # Errors
    /// Returns what became of the first that is not.
    pub(super) fn check_log(&self) -> Result<(), LogLost> {
        let mut seen = self.beside.lock();
        for (end, seen) in BESIDE.into_iter().zip(seen.iter_mut()) {
            let path = beside(&self.path, end);
            let found = std::fs::metadata(&path)
                .map(|file| Seen { identity: (file.dev(), file.ino()), length: file.len() });
            let became = match (*seen, found) {
                (None, found) => {
                    *seen = found.ok();
                    continue;
                }
                (Some(before), Ok(found)) if found.identity != before.identity => Became::Replaced,
                (Some(before), Ok(found)) if found.length < before.length => Became::Short,
                (Some(_), Ok(found)) => {
                    *seen = Some(found);
                    continue;
                }
                (Some(_), Err(error)) if error.kind() == io::ErrorKind::NotFound => Became::Away,
                (Some(_), Err(error)) => Became::Lost(format!("lost ({error})")),
            };
            return Err(LogLost { path, became });
        }
        Ok(())
    }

    /// Sees the log that is there as the file's own from now on.
    pub(super) fn forget_log(&self) {
        *self.beside.lock() = Default::default();
        let _ = self.check_log();
    }

    /// When the log was written last; none if there is nothing in it.
    pub(super) fn log_written_at(&self) -> Option<SystemTime> {
        let log = std::fs::metadata(beside(&self.path, LOG)).ok()?;
        (log.len() > 0).then(|| log.modified().ok()).flatten()
    }

    /// Checks that it is still the one at its path.
    ///
    /// # Errors
    /// Returns what became of it, and what to do, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let Ok(opened) = self.opened else { return Ok(()) };
        let became = match identity(&self.path) {
            Ok(found) if found == opened => return Ok(()),
            Ok(_) => "replaced".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "deleted or moved".to_owned(),
            Err(error) => format!("lost ({error})"),
        };
        Err(format!(
            "{} was {became} beneath this process, which stores nothing there until it is back: put the \
             file back, or start again to make one from the journal",
            self.path.display()
        ))
    }
}

/// The path of a file that SQLite keeps beside the one at `path`.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn identity(path: &Path) -> io::Result<Identity> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_in_its_place_any_more_is_told_until_it_is_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, away) = (directory.path().join("orders.db"), directory.path().join("away"));
        std::fs::write(&path, "orders").expect("written");
        let file = FileInPlace::of(&path);
        assert_eq!(file.check(), Ok(()));
        std::fs::rename(&path, &away).expect("moved");
        assert!(file.check().is_err_and(|said| said.contains("orders.db was deleted or moved")));
        std::fs::write(&path, "orders").expect("written");
        assert!(file.check().is_err_and(|said| said.contains("orders.db was replaced")));
        std::fs::rename(&away, &path).expect("moved back");
        assert_eq!(file.check(), Ok(()));
    }
}
