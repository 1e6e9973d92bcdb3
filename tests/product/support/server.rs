//! A process of the product, as its operating system sees it.

use harness::http::{Answer, Client};
use harness::{patiently, until};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use seckill::clock::Stopwatch;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use tokio::sync::watch;

/// A running process of the product. Killed when dropped.
pub struct Server {
    pid: Pid,
    handle: OwnedFd,
    said: watch::Receiver<Said>,
}

/// What is known of it.
#[derive(Clone, Copy, Default)]
struct Said {
    address: Option<SocketAddr>,
    operations: Option<SocketAddr>,
    ended: Option<ExitStatus>,
}

impl Server {
    /// Starts it, with its log appended to the file.
    pub fn launch(command: Command, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        Self::launch_logging_to(command, log.into())
    }

    /// Starts it with this standard error.
    pub fn launch_logging_to(mut command: Command, stderr: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("it runs");
        let pid = Pid::from_child(&child);
        let handle = pidfd_open(pid, PidfdFlags::empty()).expect("a handle of its own child");
        let (tell, said) = watch::channel(Said::default());
        std::thread::spawn(move || follow(&mut child, &tell));
        Self { pid, handle, said }
    }

    /// Waits until it listens, or for how it ended.
    pub async fn listens(&self) -> Result<(), ExitStatus> {
        let mut said = self.said.clone();
        let known = said.wait_for(|said| said.operations.is_some() || said.ended.is_some());
        let known = *patiently("the server to listen", known).await.expect("a follower");
        match known.ended {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.said.borrow().address.expect("it listens")
    }

    /// Where it listens for those who run it.
    pub fn operations(&self) -> SocketAddr {
        self.said.borrow().operations.expect("it listens")
    }

    /// Waits for its end.
    pub async fn ended(&self) -> ExitStatus {
        let mut said = self.said.clone();
        let known = patiently("the server to end", said.wait_for(|said| said.ended.is_some()));
        known.await.expect("a follower").ended.expect("it has ended")
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal; one to a process that has ended goes nowhere.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.handle, signal);
    }

    /// SIGKILL, and its end.
    pub async fn kill(&self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// SIGTERM, and its end, which must be a good one.
    pub async fn stop(&self) {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{status}");
    }

    /// A connection to it.
    pub async fn client(&self) -> Client {
        Client::open(self.address()).await.expect("it listens")
    }

    /// Asks without a token.
    pub async fn get(&self, path: &str) -> Answer {
        self.client().await.send("GET", path, "", &[], "").await.expect("it answers")
    }

    /// Looks as those who run it do.
    pub async fn look(&self, path: &str) -> Answer {
        let mut client = Client::open(self.operations()).await.expect("it listens");
        client.send("GET", path, "", &[], "").await.expect("it answers")
    }

    /// Whether all works and nothing waits for the order store. The catalogue does not count: a drill
    /// that drops the database loses it for good.
    pub async fn is_whole(&self) -> bool {
        let now = self.look("/readyz?verbose").await.json();
        let rows = now["dependencies"].as_array().expect("a list");
        let amiss = rows.iter().filter(|row| row["healthy"] == false);
        let amiss: Vec<_> = amiss.filter(|row| row["name"] != "catalogue").collect();
        amiss.is_empty() && now["accepting"] != false && now["backlog_records"] == 0
    }

    /// Waits for a round of checkpoints that began after now.
    pub async fn checkpointed(&self) {
        let asked = Stopwatch::start();
        until("a round of checkpoints", async || {
            let ready = self.look("/readyz?verbose").await.json();
            let age = ready["checkpoint_age_seconds"].as_f64()?;
            (age * 1e9 < asked.nanoseconds() as f64).then_some(())
        })
        .await;
    }

    /// A figure of its metrics; 0 where it was never counted.
    pub async fn figure(&self, name: &str) -> u64 {
        let answer = self.look("/metrics").await;
        let line =
            answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }

    /// Its resident memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero()))
            .expect("its status");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kilobytes * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Reads what it prints, to its end.
fn follow(child: &mut Child, tell: &watch::Sender<Said>) {
    let output = BufReader::new(child.stdout.take().expect("its output"));
    for line in output.lines().map_while(Result::ok) {
        let listening = ["listening on http://", "listening on https://"];
        if let Some(address) = listening.iter().find_map(|begin| line.strip_prefix(begin)) {
            tell.send_modify(|said| said.address = address.trim().parse().ok());
        }
        if let Some(address) = line.strip_prefix("operations on http://") {
            tell.send_modify(|said| said.operations = address.trim().parse().ok());
        }
    }
    let status = child.wait().expect("it ends");
    tell.send_modify(|said| said.ended = Some(status));
}
