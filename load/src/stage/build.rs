//! Finding the engine's program, and building it first if it is the workspace's own.
//!
//! The build runs in a process group of its own, which ends with this value: an interrupted run leaves
//! neither cargo nor its compilers behind.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::{Error, Result};

/// Finds the engine's program: the one given, else the workspace's own build, which is
/// brought up to date first, in the profile `dist` if this program was built so and else in
/// `release`. Says on standard error what is built.
///
/// # Errors
/// Returns [`Error::Missing`] if there is none and it cannot be built.
pub async fn find_binary(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return given.canonicalize().map_err(|error| Error::Missing {
            what: format!("the engine ({})", given.display()),
            remedy: format!("{error}; --server-bin names the seckill program"),
        });
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let own = std::env::current_exe().unwrap_or_default();
    let of_dist = own.parent().is_some_and(|directory| directory.ends_with("dist"));
    let profile = if of_dist { "dist" } else { "release" };
    let directory = target.unwrap_or_else(|| workspace.join("target")).join(profile);
    let binary = directory.join("seckill");
    let reason = match build(workspace, profile, &binary).await {
        Ok(status) if status.success() => "the build left no program".to_owned(),
        Ok(status) => format!("cargo build --profile {profile} --bin seckill ended with {status}"),
        // Installed beside a program, without sources: then what is there is what is meant.
        Err(_) if binary.exists() => return Ok(binary),
        Err(error) => format!("cargo could not be run: {error}"),
    };
    if reason.starts_with("the build") && binary.exists() {
        return Ok(binary);
    }
    Err(Error::Missing {
        what: "the engine".to_owned(),
        remedy: format!("{reason}; --server-bin names a seckill program"),
    })
}

async fn build(workspace: &Path, profile: &str, binary: &Path) -> std::io::Result<ExitStatus> {
    let state = if binary.exists() {
        "brought up to date"
    } else {
        "built, which takes minutes the first time"
    };
    eprintln!(
        "the engine under load is {} in the profile {profile}; it is {state} (--server-bin names \
         another program)",
        binary.display()
    );
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Without -p, so that the features are those with which this program was built.
    let mut command = Command::new(cargo);
    command
        .args(["build", "--bin", "seckill", "--profile", profile])
        .current_dir(workspace)
        .stdin(Stdio::null());
    Group::spawn(&mut command)?.wait().await
}

/// A process with all that it starts, which end when this is dropped.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> std::io::Result<Self> {
        command.process_group(0).spawn().map(Self)
    }

    async fn wait(mut self) -> std::io::Result<ExitStatus> {
        self.0.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // None once it has been waited for: then its number may be another's.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;

    #[tokio::test]
    async fn what_a_process_has_started_ends_with_it() {
        let mut command = Command::new("sh");
        // The grandchild holds the pipe open for as long as it lives.
        command.args(["-c", "sleep 1000 & echo started; wait"]).stdout(Stdio::piped());
        let mut group = Group::spawn(&mut command).expect("a shell");
        let mut lines = BufReader::new(group.0.stdout.take().expect("a pipe")).lines();
        assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("started"));
        drop(group);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), lines.next_line());
        assert_eq!(ended.await.expect("the pipe is closed").expect("its end"), None);
    }
}
