//! A private Redis through every state it can be put into.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{AppendOnly, Redis, RedisOptions, Start};

/// Set for the copy of this program that is to be killed.
const VICTIM: &str = "HARNESS_TEST_VICTIM";

#[test]
fn it_answers_and_keeps_its_port_and_url() {
    let Some(redis) = harness::redis() else { return };
    let url = redis.url();
    assert!(url.contains(&redis.port().to_string()));
    assert!(redis.is_running());
    redis.cli(&["set", "stock", "100"]).unwrap();
    assert_eq!(redis.cli(&["get", "stock"]).unwrap(), "100");
    redis.restart().unwrap();
    assert_eq!(redis.url(), url);
    assert_eq!(redis.cli(&["get", "stock"]).unwrap(), "", "it does not persist by default");
}

#[test]
fn an_error_in_an_answer_is_an_error() {
    let Some(redis) = harness::redis() else { return };
    let error = redis.cli(&["incr"]).unwrap_err();
    assert!(error.to_string().contains("wrong number of arguments"), "{error}");
}

#[test]
fn with_an_append_only_file_it_remembers_through_a_kill_until_emptied() {
    let options = RedisOptions { append_only: AppendOnly::Always, ..RedisOptions::default() };
    let Some(redis) = harness::required(Redis::start_with(options)) else { return };
    redis.cli(&["set", "stock", "100"]).unwrap();
    redis.kill();
    assert!(!redis.is_running());
    TcpStream::connect(redis.address()).expect_err("nothing listens");
    redis.restart().unwrap();
    assert_eq!(redis.cli(&["get", "stock"]).unwrap(), "100");

    redis.stop();
    redis.empty().unwrap();
    assert!(!redis.is_running(), "emptying one at rest leaves it at rest");
    redis.restart().unwrap();
    assert_eq!(redis.cli(&["dbsize"]).unwrap(), "0");
}

#[test]
fn emptied_while_it_runs_it_forgets_keys_and_scripts() {
    let Some(redis) = harness::redis() else { return };
    redis.cli(&["set", "stock", "100"]).unwrap();
    let script = redis.cli(&["script", "load", "return 1"]).unwrap();
    redis.empty().unwrap();
    assert_eq!(redis.cli(&["dbsize"]).unwrap(), "0");
    assert_eq!(redis.cli(&["script", "exists", &script]).unwrap(), "0");
}

#[test]
fn a_password_is_asked_for() {
    let options = RedisOptions { password: Some("secret".to_owned()), ..RedisOptions::default() };
    let Some(redis) = harness::required(Redis::start_with(options)) else { return };
    assert!(redis.url().starts_with("redis://:secret@127.0.0.1:"));
    assert_eq!(redis.cli(&["ping"]).unwrap(), "PONG");
    let mut stream = TcpStream::connect(redis.address()).unwrap();
    stream.write_all(b"PING\r\nQUIT\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("-NOAUTH"), "{answer}");
}

#[test]
fn frozen_it_keeps_connections_and_answers_once_thawed() {
    let Some(redis) = harness::redis() else { return };
    let mut stream = TcpStream::connect(redis.address()).unwrap();
    redis.freeze();
    assert!(redis.is_running());
    stream.write_all(b"PING\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = stream.read(&mut [0; 16]).expect_err("no answer");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    redis.thaw();
    stream.set_read_timeout(None).unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    redis.freeze();
    redis.stop();
    assert!(!redis.is_running());
}

#[test]
fn one_that_cannot_start_says_why() {
    let arguments = vec!["--maxmemory-policy".to_owned(), "nonsense".to_owned()];
    let options = RedisOptions { arguments, ..RedisOptions::default() };
    match Redis::start_with(options) {
        Err(harness::Error::Missing { .. }) => {}
        Err(error @ harness::Error::Failed { .. }) => {
            assert!(error.to_string().contains("maxmemory-policy"), "{error}");
        }
        Ok(_) => panic!("started in spite of a setting that does not exist"),
    }
}

#[test]
fn a_panic_in_a_test_leaves_nothing_behind() {
    let Some(redis) = harness::redis() else { return };
    let directory = redis.directory().to_owned();
    let address = redis.address();
    let panicked = std::thread::spawn(move || {
        let _redis = redis;
        std::panic::resume_unwind(Box::new("as a failed assertion does"));
    });
    panicked.join().expect_err("a panic");
    assert!(!directory.exists());
    TcpStream::connect(address).expect_err("nothing listens");
}

#[test]
fn a_killed_test_leaves_nothing_behind() {
    if std::env::var_os(VICTIM).is_some() {
        return be_killed();
    }
    let Some(redis) = harness::redis() else { return };
    drop(redis);
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_leaves_nothing_behind", "--nocapture"])
        .env(VICTIM, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(victim.stdout.take().unwrap());
    let server = said.lines().map(Result::unwrap).find_map(|line| {
        let (_, words) = line.split_once("victim: ")?;
        let (port, directory) = words.split_once(' ')?;
        Some((port.parse::<u16>().unwrap(), std::path::PathBuf::from(directory)))
    });
    let (port, directory) = server.expect("the victim told where its server is");
    let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(directory.exists());
    victim.kill().unwrap();
    victim.wait().unwrap();
    // The server's end is the end of this stream.
    assert!(matches!(server.read(&mut [0; 16]), Ok(0) | Err(_)));
    while directory.exists() {
        std::thread::yield_now();
    }
}

fn be_killed() {
    let redis = Redis::start().unwrap();
    println!("victim: {} {}", redis.port(), redis.directory().display());
    // Blocks until the kill comes.
    let _ = io::stdin().read(&mut [0; 1]);
    drop(redis);
}
