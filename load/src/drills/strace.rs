//! Faults in the engine's syncs, injected by strace: they fail, or take their time.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{Error, Result};

const ATTACH_WAIT_MAX: Duration = Duration::from_secs(20);

/// strace at a process. Dropping it lets the process go on unharmed.
#[derive(Debug)]
pub struct Strace {
    _child: Child,
}

impl Strace {
    /// Injects this into each `fdatasync` of the journal in `data`, such as `error=EIO:when=1` or
    /// `delay_exit=50000`; returns when it has begun.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if strace is not installed, or may not trace the process.
    pub async fn at_journal(process: u32, data: &Path, injected: &str) -> Result<Self> {
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-p",
            &process.to_string(),
            "-e",
            "trace=fdatasync",
            "-o",
            "/dev/null",
        ]);
        command.args(["-e", &format!("inject=fdatasync:{injected}")]);
        for segment in segments(data)? {
            command.arg("-P").arg(segment);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.map_err(|error| missing("strace", error.to_string()))?;
        let mut lines = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
        let attached = async {
            let mut said = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("attached") {
                    return Ok(());
                }
                said.push_str(&line);
            }
            Err(missing("leave to trace another process", said))
        };
        let attached = tokio::time::timeout(ATTACH_WAIT_MAX, attached).await;
        attached.map_err(|_| missing("strace", "it does not begin".to_owned()))??;
        // What it says later must be read, lest it block.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { _child: child })
    }
}

/// The segments of the journal in a data directory, the oldest first.
///
/// # Errors
/// Returns [`Error::Io`] if they cannot be listed.
pub fn segments(data: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(data.join("journal")).map_err(Error::io("listing segments"))?;
    let mut segments: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "segment"))
        .collect();
    segments.sort();
    Ok(segments)
}

fn missing(what: &str, reason: String) -> Error {
    Error::Missing { what: what.to_owned(), remedy: reason }
}
