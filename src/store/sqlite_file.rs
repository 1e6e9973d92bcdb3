//! Opening a SQLite file that can be read and not written, for those who only look.

use rustix::fs::Access;
use sqlx::sqlite::SqliteConnectOptions;
use std::path::Path;

/// How to open the SQLite file at `path` if it is there and its directory cannot be written to; none if
/// it can. A file without a log beside it is opened as one that nobody changes, because SQLite would
/// make a log even for reading.
pub(super) fn only_readable(path: &Path) -> Option<SqliteConnectOptions> {
    let directory = path.parent()?;
    if !path.exists() || rustix::fs::access(directory, Access::WRITE_OK).is_ok() {
        return None;
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
    Some(SqliteConnectOptions::new().filename(path).read_only(true).immutable(!has_log))
}
