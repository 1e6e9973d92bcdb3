//! Memory and processor time of a process, from /proc.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use serde::Serialize;

/// One look at a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the load began.
    pub at_seconds: f64,
    /// Resident memory in MiB; 0 while there is no process.
    pub resident_mib: f64,
    /// Processor time used since the sample before, in processors (1.0 = one of them).
    pub processors: f64,
}

/// Looks at a process again and again, across its restarts.
#[derive(Debug)]
pub struct Sampler {
    process: Arc<AtomicU32>,
    last: Option<(u32, f64, Instant)>,
    ticks_per_second: f64,
}

impl Sampler {
    /// A sampler of the process whose id is in `process`; 0 means none.
    #[must_use]
    pub fn new(process: Arc<AtomicU32>) -> Self {
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        Self { process, last: None, ticks_per_second }
    }

    /// A sampler of this very process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::new(Arc::new(AtomicU32::new(std::process::id())))
    }

    /// What the process has used up to now.
    pub fn sample(&mut self, at_seconds: f64) -> Sample {
        let id = self.process.load(Ordering::Relaxed);
        let now = Instant::now();
        let Some(used) = self.processor_seconds(id) else {
            self.last = None;
            return Sample { at_seconds, ..Sample::default() };
        };
        let processors = match self.last {
            Some((same, before, at)) if same == id => {
                (used - before) / now.duration_since(at).as_secs_f64().max(1e-3)
            }
            _ => 0.0,
        };
        self.last = Some((id, used, now));
        Sample { at_seconds, resident_mib: resident_mib(id), processors }
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

fn resident_mib(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
