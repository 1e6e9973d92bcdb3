//! The process's own figures, under the names that Prometheus' client libraries have for them: processor
//! time, memory, open files. Read from `/proc` when somebody asks; what it does not have is left out.

use rustix::process::{Resource, getrlimit};
use std::fmt::Write as _;
use std::fs;

/// Where `/proc/self/stat` has the processor's time in user mode and in the kernel, the number of threads,
/// when the process was started and its address space: behind the name, in words.
const USER_TICKS: usize = 11;
const KERNEL_TICKS: usize = 12;
const THREADS: usize = 17;
const START_TICKS: usize = 19;
const VIRTUAL_BYTES: usize = 20;
const RESIDENT_PAGES: usize = 21;

/// Appends the figures in Prometheus' text form.
pub fn render(out: &mut String) {
    let (kernel, files) = (kernel_figures().unwrap_or_default(), fs::read_dir("/proc/self/fd"));
    let limit = getrlimit(Resource::Nofile).current.map(|limit| limit as f64);
    let open = files.ok().map(|files| files.count() as f64);
    for (name, kind, help, value) in [
        ("cpu_seconds_total", "counter", "Processor time, in seconds.", kernel.cpu_seconds),
        ("resident_memory_bytes", "gauge", "Memory in use, in bytes.", kernel.resident_bytes),
        ("virtual_memory_bytes", "gauge", "Address space in use, in bytes.", kernel.virtual_bytes),
        ("threads", "gauge", "Threads.", kernel.threads),
        (
            "start_time_seconds",
            "gauge",
            "When it was started, in seconds since 1970.",
            kernel.started_at,
        ),
        ("open_fds", "gauge", "Files and sockets that are open.", open),
        ("max_fds", "gauge", "Files and sockets that may be open.", limit),
    ] {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}"
            );
        }
    }
}

/// What the kernel says of the process.
#[derive(Clone, Copy, Default, Debug)]
struct KernelFigures {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    threads: Option<f64>,
    started_at: Option<f64>,
}

fn kernel_figures() -> Option<KernelFigures> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name is in parentheses and may hold anything.
    let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let word = |place: usize| words.get(place)?.parse::<f64>().ok();
    let ticks_a_second = rustix::param::clock_ticks_per_second() as f64;
    let seconds = |place| Some(word(place)? / ticks_a_second);
    Some(KernelFigures {
        cpu_seconds: Some(seconds(USER_TICKS)? + seconds(KERNEL_TICKS)?),
        resident_bytes: Some(word(RESIDENT_PAGES)? * rustix::param::page_size() as f64),
        virtual_bytes: word(VIRTUAL_BYTES),
        threads: word(THREADS),
        started_at: boot_time().and_then(|booted| Some(booted + seconds(START_TICKS)?)),
    })
}

/// When the machine was started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_taken_from_their_places() {
        let figures = kernel_figures().expect("Linux says it");
        let page = rustix::param::page_size() as f64;
        let resident = figures.resident_bytes.expect("memory");
        assert!(resident >= 100.0 * page && Some(resident) < figures.virtual_bytes, "{figures:?}");
        assert!(figures.threads.is_some_and(|threads| (1.0..10_000.0).contains(&threads)));
        let booted = boot_time().expect("a time");
        assert!(figures.started_at.is_some_and(|started| started >= booted), "{figures:?}");
        let mut text = String::new();
        render(&mut text);
        for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds"] {
            assert_eq!(text.matches(&format!("\nprocess_{name} ")).count(), 1, "{text}");
        }
    }
}
