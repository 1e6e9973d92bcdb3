//! Places where a test may kill the process, as the kernel or the power company would.
//!
//! In a build without the `failpoints` feature of the `fail` crate (every build but the tests') these
//! are empty.

/// Dies here by SIGKILL, if the failpoint `name` says `return`.
pub fn crash_point(name: &'static str) {
    let _ = name;
    fail::fail_point!(name, |_| {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
}
