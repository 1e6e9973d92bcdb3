//! Child processes in groups of their own, their logs, and clients run against them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::Instant;

use crate::Error;

/// How long anything is waited for before it counts as failed.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);
/// Between two looks at something that does not announce itself.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const LOG_TAIL_BYTES_MAX: u64 = 4_096;

/// The first of `names` found on the PATH, or where servers live that are not on a user's PATH.
pub(crate) fn find(names: &[&'static str]) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec"].map(PathBuf::from))
        .collect();
    names
        .iter()
        .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
        .find(|candidate| candidate.is_file())
        .ok_or(Error::Missing { program: names[0] })
}

/// A command with an environment of its own: what is set for another server does not reach it.
pub(crate) fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .env("TMPDIR", home)
        .current_dir(home);
    command
}

/// A running server and the process group it leads.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a command with its output appended to `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        Ok(Self { child })
    }

    /// The process's id, which is also its group's.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal to the whole group; does nothing once the process was reaped.
    pub(crate) fn signal_group(&mut self, signal: Signal) {
        if self.ended().is_none() {
            // Fails only if the last member of the group has just gone, which is as good.
            let _ = kill_process_group(self.pid(), signal);
        }
    }

    /// Stops the group, and returns once no thread of the process runs any more: one that runs on for a moment on
    /// another processor may still answer.
    pub(crate) fn freeze(&mut self) {
        self.signal_group(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.id());
        wait_until(|| {
            let Ok(mut tasks) = std::fs::read_dir(&tasks) else { return true };
            tasks.all(|task| task.is_ok_and(|task| stands_still(&task.path())))
        });
    }

    pub(crate) fn kill(&mut self) {
        self.signal_group(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Asks the process to end and waits; false if it did not within the limit.
    pub(crate) fn terminate(&mut self) -> bool {
        if self.ended().is_none() {
            let _ = kill_process(self.pid(), Signal::TERM);
        }
        wait_until(|| self.ended().is_some())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a thread, by its folder of `/proc`, is stopped or has ended.
fn stands_still(task: &Path) -> bool {
    let Ok(stat) = std::fs::read_to_string(task.join("stat")) else { return true };
    // The name before it may have any signs in it.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't' | 'Z' | 'X'))
}

/// Looks until `condition` holds (a real clock, since it waits for foreign processes); false if it did not within [`WAIT_MAX`].
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Runs a client to its end and returns what it printed.
///
/// Output goes through files, so that neither a talkative client nor one that leaves a child
/// behind can block the test.
pub(crate) fn run(server: &'static str, mut command: Command) -> Result<String, Error> {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = tempfile::tempfile().and_then(|stdout| Ok((stdout, tempfile::tempfile()?)));
    let (mut stdout, mut stderr) =
        output.map_err(|error| Error::io(server, "a file for a client's output", &error))?;
    let spawned = stdout.try_clone().and_then(|out| {
        command.stdin(Stdio::null()).stdout(out).stderr(stderr.try_clone()?);
        command.process_group(0).spawn()
    });
    let child = spawned.map_err(|error| Error::io(server, &name, &error))?;
    let mut client = Process { child };
    let mut status = None;
    wait_until(|| {
        status = client.ended();
        status.is_some()
    });
    client.kill();
    let printed = read_from_start(&mut stdout);
    let complaint = read_from_start(&mut stderr);
    match status {
        Some(status) if status.success() => Ok(printed),
        Some(status) => {
            Err(Error::failed(server, format!("{name}: {status}: {printed}{complaint}")))
        }
        None => Err(Error::failed(
            server,
            format!("{name} did not end within {WAIT_MAX:?}: {printed}{complaint}"),
        )),
    }
}

/// The bytes of a log from `offset` on; empty where there is no log.
pub(crate) fn log_from(path: &Path, offset: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path)
        && file.seek(SeekFrom::Start(offset)).is_ok()
    {
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn log_length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

pub(crate) fn log_tail(path: &Path) -> String {
    log_from(path, log_length(path).saturating_sub(LOG_TAIL_BYTES_MAX))
}

fn read_from_start(file: &mut File) -> String {
    let mut bytes = Vec::new();
    if file.rewind().is_ok() {
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
