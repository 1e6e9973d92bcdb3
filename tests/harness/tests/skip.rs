//! What a test does where a server is not installed.

use std::process::{Command, Output};

use harness::{Error, Start};

/// Set for the copy of this program whose output is looked at.
const CHILD: &str = "HARNESS_TEST_CHILD";
const SWITCH: &str = "SECKILL_REQUIRE_SERVICES";

/// A server that is installed nowhere.
#[derive(Debug)]
struct Absent;

impl Start for Absent {
    fn start() -> Result<Self, Error> {
        Err(Error::Missing { program: "absent-server" })
    }
}

#[test]
fn a_missing_server_is_skipped_with_a_line_unless_services_are_required() {
    if std::env::var_os(CHILD).is_some() {
        assert!(harness::require::<Absent>().is_none());
        return;
    }
    let skipped = child("0");
    assert!(skipped.status.success());
    let said = String::from_utf8(skipped.stdout).unwrap();
    assert!(said.contains("skipped: absent-server is not installed\n"), "{said}");

    let required = child("1");
    assert!(!required.status.success());
    let said = String::from_utf8(required.stderr).unwrap();
    assert!(said.contains("absent-server is not installed, and SECKILL_REQUIRE_SERVICES=1"));
}

/// This test in a process of its own, whose environment can be set.
fn child(switch: &str) -> Output {
    let test = "a_missing_server_is_skipped_with_a_line_unless_services_are_required";
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env(SWITCH, switch)
        .output()
        .unwrap()
}
