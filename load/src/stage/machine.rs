//! Where and of what a figure was taken: without these a figure means nothing.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The machine, the commit and the moment.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of them.
    pub processors: usize,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// The kernel's release.
    pub kernel: String,
    /// The checkout's commit, with `+` if files differ from it; empty outside a checkout.
    pub commit: String,
    /// When, RFC 3339 UTC.
    pub date: String,
    /// Load average of the last minute before the run: others on the machine disturb it.
    pub load_average: f64,
}

impl Machine {
    /// Looks at this machine.
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let meminfo = read("/proc/meminfo");
        let memory_kib = field(&meminfo, "MemTotal").and_then(|value| first(value)?.parse().ok());
        let load = read("/proc/loadavg");
        Self {
            processor: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_kib.unwrap_or(0.0_f64) / (1024.0 * 1024.0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            commit: commit(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            load_average: first(&load).and_then(|value| value.parse().ok()).unwrap_or(0.0),
        }
    }

    /// One line for a report's foot.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { processor, processors, memory_gib, kernel, commit, date, load_average } = self;
        format!(
            "{processors} × {processor}, {memory_gib:.0} GiB, Linux {kernel}, load average \
             {load_average:.2} before the run, commit {commit}, {date}"
        )
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn first(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

fn commit() -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(workspace).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return String::new() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_some_and(|changed| !changed.is_empty()) { commit + "+" } else { commit }
}
