//! Places where a test may kill the process, as a power cut would.
//!
//! They do nothing in a build without the `failpoints` feature of the `fail` crate, which only tests
//! enable.

/// Kills the process by SIGKILL if the failpoint `name` is set to `return`.
pub fn crash_point(name: &'static str) {
    let _ = name;
    fail::fail_point!(name, |_| {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
}
