//! The command line from outside: what it prints, what it refuses and its exit codes.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The program in an empty directory, with nothing in its environment.
fn seckill(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seckill"));
    command.current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Runs it with these words; its exit code and all of standard error must be as expected.
fn check_refused(words: &str, environment: &[(&str, &str)], code: i32, errors: &[&str]) {
    let directory = directory();
    let mut command = seckill(directory.path());
    command.args(words.split(' ')).envs(environment.iter().copied());
    let output = command.output().expect("it runs");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}: {stderr}");
    assert_eq!(text(&output.stdout), "", "{words}");
    for error in errors {
        assert!(stderr.contains(error), "{words}: {error:?} is not in\n{stderr}");
    }
    let left = std::fs::read_dir(directory.path()).expect("its directory").count();
    assert_eq!(left, 0, "{words} touched the disk");
}

fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_bad_configuration_is_refused_before_anything_is_touched() {
    check_refused(
        "mint --users 1",
        &[("SECKILL__ENGINE__SHARDS", "0"), ("SECKILL__HTTP__PORT", "80")],
        3,
        &[
            "engine.shards = \"0\" (environment SECKILL__ENGINE__SHARDS): allowed is a whole number from 1 to 1024",
            "http.port (environment SECKILL__HTTP__PORT) is no setting; http has listen, ",
            "\nmeans: nothing was started and no data was touched\nto do: correct the above;",
        ],
    );
    check_refused("config check --config nowhere.toml", &[], 3, &["nowhere.toml cannot be read: "]);
}

#[test]
fn dead_letters_that_cannot_be_reached_are_told_from_none() {
    let directory = directory();
    let command =
        |words: [&str; 2]| seckill(directory.path()).args(words).output().expect("it runs");
    assert_eq!(stdout(&command(["dead-letters", "list"])), "0 dead letters\n");
    assert_eq!(stdout(&command(["dead-letters", "replay"])), "0 messages were sent again\n");
    let nobody = ("SECKILL__BROKER__AMQP_URL", "amqp://shop:hunter2@127.0.0.1:1");
    check_refused("dead-letters replay", &[nobody], 6, &["the dead letters cannot be reached: "]);
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    check_refused("sell", &[], 2, &["unrecognized subcommand 'sell'"]);
    check_refused("mint", &[], 2, &["--users <N>|--operator <NAME>|--approver <NAME>"]);
    check_refused("mint --operator a\"b", &[], 2, &["neither quotes"]);
    check_refused("mint --users 0", &[], 2, &["0 is not in 1.."]);
    check_refused("mint --users 1 --ttl-seconds 0", &[], 2, &["0 is not in 1..=31536000"]);
    let beyond = "mint --users 2 --first 18446744073709551615";
    check_refused(beyond, &[], 2, &["go beyond the last id, 18446744073709551615"]);
}

#[test]
fn the_configuration_is_shown_with_its_sources_and_without_secrets() {
    let directory = directory();
    let path = directory.path().join("config.toml");
    std::fs::write(path, "[orders]\nmysql_url = \"mysql://shop:hunter2@db/shop\"\n")
        .expect("written");
    let mut command = seckill(directory.path());
    command.args(["config", "check"]).env("SECKILL__ENGINE__SHARDS", "8");
    let output = command.output().expect("it runs");
    let table = stdout(&output);
    let row = |key: &str| {
        let row = table.lines().find(|line| line.starts_with(key)).expect(key);
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("engine.shards"), "engine.shards 8 environment SECKILL__ENGINE__SHARDS");
    assert_eq!(row("engine.permits"), "engine.permits 16384 default");
    assert_eq!(row("broker.amqp_url"), "broker.amqp_url (unset) default");
    assert_eq!(
        row("orders.mysql_url"),
        "orders.mysql_url \"mysql://***@db/shop\" config.toml line 2"
    );

    let output = command.arg("--json").output().expect("it runs");
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!(json["engine.shards"]["value"], 8);
    assert_eq!(json["engine.shards"]["source"], "environment SECKILL__ENGINE__SHARDS");
    assert!(!table.contains("hunter2") && !json.to_string().contains("hunter2"));
}

#[test]
fn minted_tokens_are_signed_with_a_secret_that_is_made_once() {
    let directory = directory();
    let absent = seckill(directory.path()).args(["mint", "--users", "1"]).output();
    let absent = absent.expect("it runs");
    let looked_for = directory.path().join("data/secrets/token.key");
    assert_eq!((absent.status.code(), text(&absent.stdout)), (Some(4), ""));
    let said = text(&absent.stderr);
    assert!(said.contains(&format!("looked for {}", looked_for.display())), "{said}");
    assert!(!directory.path().join("data").exists(), "a token that nothing accepts");

    assert_eq!(Serving::start(directory.path()).stop(), Some(0));
    let claims = |arguments: &[&str]| {
        let output = seckill(directory.path()).arg("mint").args(arguments).output();
        let output = output.expect("it runs");
        stdout(&output).to_owned()
    };
    let lines = claims(&["--users", "2", "--first", "7"]);
    let users: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(users.len(), 2);
    assert_eq!(users[1]["user_id"], "8");
    let key = directory.path().join("data/secrets/token.key");
    let secret = std::fs::read(&key).expect("the secret");
    assert_eq!(claims(&["--operator", "eva"]).trim_end().split('.').count(), 3);
    assert_eq!(std::fs::read(&key).expect("the secret"), secret);

    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&key, open).expect("its mode");
    let output =
        seckill(directory.path()).args(["mint", "--users", "1"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("data/secrets/token.key has mode 0644"));
}

#[test]
fn a_reader_who_has_seen_enough_ends_it_quietly() {
    let directory = directory();
    assert_eq!(Serving::start(directory.path()).stop(), Some(0));
    let mut mint = seckill(directory.path())
        .args(["mint", "--users", "1000000000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut first = String::new();
    let mut printed = BufReader::new(mint.stdout.take().expect("its output"));
    printed.read_line(&mut first).expect("a line");
    drop(printed);
    let output = mint.wait_with_output().expect("it ends");
    assert!(first.starts_with(r#"{"user_id":"1","token":""#));
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = seckill(directory().path()).args(["completions", shell]).output();
        assert!(stdout(&output.expect("it runs")).contains("approver"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = directory();
    let output = seckill(directory.path()).args(["man", "pages/man1"]).output().expect("it runs");
    assert!(stdout(&output).contains("pages/man1/seckill.1"));
    let page = |name: &str| {
        let path = directory.path().join("pages/man1").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(page("seckill.1").contains("the address cannot be listened on"), "the exit codes");
    assert!(page("seckill-serve.1").contains("accept\\-clock"));
    for command in ["audit", "config-check", "dead-letters-replay", "health", "man"] {
        page(&format!("seckill-{command}.1"));
    }
    for (path, expected) in
        [("pages", 0o755), ("pages/man1", 0o755), ("pages/man1/seckill-serve.1", 0o644)]
    {
        let found = std::fs::metadata(directory.path().join(path)).expect("it was made");
        assert_eq!(found.permissions().mode() & 0o777, expected, "everybody reads {path}");
    }
    check_refused("man /dev/null/pages", &[], 6, &["cannot be written to /dev/null/pages"]);
}

/// A serving process, killed when the test is over.
struct Serving {
    process: Child,
    address: String,
}

impl Serving {
    /// Starts it in the directory and waits for its first line.
    fn start(directory: &Path) -> Self {
        let mut process = seckill(directory)
            .env("SECKILL__HTTP__LISTEN", "127.0.0.1:0")
            .env("SECKILL__OPERATIONS__LISTEN", "127.0.0.1:0")
            .env("SECKILL__JOURNAL__SEGMENT_BYTES", "16777216")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut first = String::new();
        let mut output = BufReader::new(process.stdout.take().expect("its output"));
        output.read_line(&mut first).expect("a line");
        let address = first.trim_end().strip_prefix("listening on http://").expect(&first);
        Self { address: address.to_owned(), process }
    }

    fn stop(mut self) -> Option<i32> {
        let process = Pid::from_child(&self.process);
        kill_process(process, Signal::TERM).expect("it is there");
        self.process.wait().expect("it ends").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts it, which must fail with this exit code and words on standard error.
fn check_not_started(directory: &Path, variable: (&str, &str), code: i32, error: &str) {
    let output = seckill(directory)
        .env("SECKILL__HTTP__LISTEN", "127.0.0.1:0")
        .env("SECKILL__OPERATIONS__LISTEN", "127.0.0.1:0")
        .env(variable.0, variable.1)
        .output()
        .expect("it runs");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(text(&output.stdout), "");
    assert!(stderr.contains(error), "{error:?} is not in\n{stderr}");
    assert!(stderr.contains("\nmeans: ") && stderr.contains("\nto do: "), "{stderr}");
}

#[test]
fn one_process_serves_a_directory_and_drains_when_told_to() {
    let directory = directory();
    let listen = ("SECKILL__HTTP__LISTEN", "127.0.0.1:0");
    let serving = Serving::start(directory.path());
    assert!(std::net::TcpStream::connect(&serving.address).is_ok(), "{}", serving.address);
    check_not_started(directory.path(), listen, 4, "data is in use by another process");
    let output = seckill(directory.path()).arg("migrate").output().expect("it runs");
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert_eq!(serving.stop(), Some(0));
    let fewer = ("SECKILL__ENGINE__SHARDS", "63");
    check_not_started(
        directory.path(),
        fewer,
        4,
        "holds the logs of 64 shards, but engine.shards is 63",
    );
    let output = seckill(directory.path()).arg("migrate").output().expect("it runs");
    assert_eq!(stdout(&output), "the order store is up to date: data/orders.db\n");
    assert_eq!(Serving::start(directory.path()).stop(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    for setting in ["http.listen", "operations.listen"] {
        let variable = format!("SECKILL__{}", setting.replace('.', "__").to_uppercase());
        let error = format!("cannot listen on {address} ({setting}): ");
        check_not_started(directory().path(), (&variable, &address), 5, &error);
    }
}

#[test]
fn an_audit_judges_what_clients_were_told() {
    let directory = directory();
    let audit = |arguments: &[&str]| {
        seckill(directory.path()).arg("audit").args(arguments).output().expect("it runs")
    };
    let output = audit(&[]);
    assert_eq!(output.status.code(), Some(4), "there is nothing yet");
    assert!(text(&output.stderr).contains("data holds no journal"));
    assert!(!directory.path().join("data").exists(), "an audit makes no files");

    assert_eq!(Serving::start(directory.path()).stop(), Some(0));
    let output = audit(&["--json"]);
    let report: serde_json::Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!((&report["passed"], &report["shards"]), (&true.into(), &64.into()), "{report}");

    let told = directory.path().join("told.txt");
    std::fs::write(&told, "77\n").expect("written");
    let output = audit(&["--confirmations", "told.txt"]);
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("order 77 was confirmed and is not on record"), "{table}");
    assert!(table.contains("\nTHE AUDIT FAILS: "), "{table}");
}
