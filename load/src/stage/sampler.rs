//! Memory and processor time of processes, from /proc.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The time between two looks whether something is quiet.
pub const QUIET_LOOK: Duration = Duration::from_millis(300);
const QUIET_WAIT_MAX: Duration = Duration::from_secs(60);

/// One look at a server: a process, or several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the load began.
    pub at_seconds: f64,
    /// Resident memory in MiB; 0 while there is no process.
    pub resident_mib: f64,
    /// Processor time used since the sample before, in processors (1.0 = one of them).
    pub processors: f64,
}

/// Looks at processes again and again, across their restarts.
#[derive(Debug)]
pub struct Sampler {
    processes: Vec<Watched>,
    ticks_per_second: f64,
}

#[derive(Debug)]
struct Watched {
    process: Arc<AtomicU32>,
    last: Option<(u32, f64, Instant)>,
}

impl Sampler {
    /// A sampler of the processes whose ids are in `processes`; 0 means none.
    #[must_use]
    pub fn new(processes: Vec<Arc<AtomicU32>>) -> Self {
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let watched = |process| Watched { process, last: None };
        Self { processes: processes.into_iter().map(watched).collect(), ticks_per_second }
    }

    /// A sampler of this very process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::new(vec![Arc::new(AtomicU32::new(std::process::id()))])
    }

    /// What the processes have used up to now, together.
    pub fn sample(&mut self, at_seconds: f64) -> Sample {
        let mut whole = Sample { at_seconds, ..Sample::default() };
        for place in 0..self.processes.len() {
            let id = self.processes[place].process.load(Ordering::Relaxed);
            let now = Instant::now();
            let used = self.processor_seconds(id);
            let last = std::mem::replace(
                &mut self.processes[place].last,
                used.map(|used| (id, used, now)),
            );
            let Some(used) = used else { continue };
            if let Some((same, before, at)) = last
                && same == id
            {
                whole.processors +=
                    (used - before) / now.duration_since(at).as_secs_f64().max(1e-3);
            }
            whole.resident_mib += resident_mib(id);
        }
        whole
    }

    /// Processor seconds the process has used in its life.
    #[must_use]
    pub fn processor_seconds(&self, id: u32) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The command's name may hold anything, but its closing parenthesis is the last.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / self.ticks_per_second)
    }
}

/// Processor seconds used so far by this process.
#[must_use]
pub fn own_processor_seconds() -> f64 {
    Sampler::of_this_process().processor_seconds(std::process::id()).unwrap_or(0.0)
}

/// Waits until less than this share of a processor is used, by what `used` counts in processor seconds; a minute at most.
pub async fn until_quiet(used: impl Fn() -> f64, processors: f64) {
    let (begun, mut before) = (Instant::now(), used());
    while begun.elapsed() < QUIET_WAIT_MAX {
        tokio::time::sleep(QUIET_LOOK).await;
        let now = used();
        if (now - before) / QUIET_LOOK.as_secs_f64() < processors {
            return;
        }
        before = now;
    }
}

fn resident_mib(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
