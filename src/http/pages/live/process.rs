//! What the process uses of the machine, as Linux tells it. Elsewhere nothing is known.

use std::fs;

/// What the process has used.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// Memory that it holds, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time since it began, in seconds.
    pub processor_seconds: Option<f64>,
}

/// Ticks of a second in which Linux tells processor time to programs, whatever it counts in.
const TICKS: f64 = 100.0;

impl Usage {
    /// Looks at what the process has used so far. The files are not on any disk.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self { memory_bytes: memory(&status), processor_seconds: processor(&stat) }
    }
}

fn memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn processor(stat: &str) -> Option<f64> {
    // The name of the program stands in brackets and may have anything in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        assert_eq!(memory("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t1\n"), Some(2_097_152));
        assert_eq!(memory("Name:\tx\n"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1 1 1 1";
        assert_eq!(processor(stat), Some(2.0));
        assert_eq!(processor("nonsense"), None);
    }
}
