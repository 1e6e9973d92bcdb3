//! What must not grow with how much there is. In a process of its own, one test at a time, because the memory of the
//! process is looked at.

mod exports;
mod replays;

/// Held by the test that runs.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Memory of this process that is in use, in bytes.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize =
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a count");
    pages * 4_096
}
