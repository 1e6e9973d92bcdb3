//! Cleans up after a test process that could not do so itself.
//!
//! A small shell in a process group of its own reads from a pipe whose other end only the test
//! process holds. Each line lists the process groups alive now. The end of the pipe means that the
//! test is over, by whatever death: the shell then kills those groups and removes the directory.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=
while read -r line; do groups=$line; done
for group in $groups; do kill -KILL -"$group"; done
for attempt in 1 2 3 4 5; do
    rm -rf "$1" && break
    sleep 0.2
done
"#;

#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    pub(crate) fn over(directory: &Path) -> io::Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(directory)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }

    /// Replaces the list of process groups to kill.
    pub(crate) fn guard(&mut self, groups: impl IntoIterator<Item = u32>) -> io::Result<()> {
        let mut line: String = groups.into_iter().map(|group| format!("{group} ")).collect();
        line.push('\n');
        match &mut self.shell.stdin {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Reaped, or each server would leave a zombie behind in a long test run.
        let _ = self.shell.wait();
    }
}
