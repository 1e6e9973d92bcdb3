//! The command line from outside: what it refuses, and what it leaves behind.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const SMOKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/smoke.toml");

fn load(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(words).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_directory_with_an_older_run_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("orders.db"), "an older shop's").expect("written");
    let keep = directory.path().to_str().expect("UTF-8");
    let run = load(&["run", SMOKE, "--server-bin", "/bin/true", "--keep", keep]);
    let output = { run }.output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is not empty"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);
}

#[test]
fn a_reader_who_has_seen_enough_ends_it_quietly() {
    let mut words = vec!["check"];
    words.resize(5_000, SMOKE);
    let mut check =
        load(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut printed = BufReader::new(check.stdout.take().expect("its output"));
    let mut first = String::new();
    printed.read_line(&mut first).expect("a line");
    assert!(first.starts_with("smoke: "), "{first}");
    drop(printed);
    let output = check.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[tokio::test]
async fn an_interrupted_run_ends_what_it_has_started() {
    for signal in [Signal::INT, Signal::TERM] {
        let directory = tempfile::tempdir().expect("a directory");
        let (engine, number) = (directory.path().join("engine"), directory.path().join("number"));
        let script = format!(
            "#!/bin/sh\nenv > {0}.settings\necho $$ > {0}\nexec sleep 1000\n",
            number.display()
        );
        std::fs::write(&engine, script).expect("written");
        std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755))
            .expect("its mode");
        let run = load(&["run", SMOKE, "--server-bin", engine.to_str().expect("UTF-8")])
            .env("SECKILL__ORDERS__MYSQL_URL", "mysql://a-shop-of-this-shell/orders")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let engine = harness::until("the engine to start", async || process(&number)).await;
        let settings =
            std::fs::read_to_string(number.with_extension("settings")).expect("settings");
        assert!(settings.contains("SECKILL__DATA__DIR="), "{settings}");
        assert!(!settings.contains("a-shop-of-this-shell"), "it would sell into another's store");
        kill_process(Pid::from_child(&run), signal).expect("signalled");
        let output = run.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("interrupted"), "{}", text(&output.stderr));
        harness::until("the engine's end", async || {
            test_kill_process(engine).is_err().then_some(())
        })
        .await;
    }
}

/// The process whose number the file holds, once it does.
fn process(file: &Path) -> Option<Pid> {
    let number = std::fs::read_to_string(file).ok()?;
    Pid::from_raw(number.strip_suffix('\n')?.parse().ok()?)
}

#[test]
fn seeds_are_run_and_planted_bugs_are_found_by_them() {
    let output = load(&["simulate", "--seeds", "20", "--from", "7"]).output().expect("it runs");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    for part in ["journal", "cluster"] {
        let line = format!("{part}: seeds 7 to 26, 0 with a finding; 20 runs in ");
        assert!(said.contains(&line), "{said}");
    }
    let output = load(&["simulate", "--planted", "--only", "journal"]).output().expect("it runs");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("the journal's data is not synced"), "{said}");
    assert!(said.lines().skip(1).all(|line| line.starts_with('I')), "{said}");
}
