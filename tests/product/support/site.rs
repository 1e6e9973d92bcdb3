//! A directory with its settings: what outlives a process.

use super::sale::{Offer, OpenSale};
use super::server::Server;
use super::verdict::Verdict;
use harness::until;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

/// A directory of its own. Removed when dropped.
pub struct Site {
    directory: tempfile::TempDir,
    data: PathBuf,
    settings: Vec<(String, String)>,
    stderr: Option<fn() -> Stdio>,
    prelude: Option<String>,
}

impl Site {
    /// A new one, with small segments, few shards and quick checkpoints.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("seckill-drill-").tempdir();
        let directory = directory.expect("a directory");
        let data = directory.path().join("data");
        Self { directory, data, settings: Vec::new(), stderr: None, prelude: None }
            .with("HTTP__LISTEN", "127.0.0.1:0")
            .with("OPERATIONS__LISTEN", "127.0.0.1:0")
            .with("DEMO__ENABLED", "false")
            .with("ENGINE__SHARDS", "4")
            .with("JOURNAL__SEGMENT_BYTES", "16777216")
            .with("JOURNAL__SEGMENTS_AHEAD", "1")
            .with("CHECKPOINT__INTERVAL_MS", "50")
            .with("TOKENS__TTL_SECONDS", "86400")
            // What is tried here are the engine and its stores, by buyers who do not wait.
            .with("LIMITS__USER_PER_S", "0")
    }

    /// With `SECKILL__{key}` set to `value` in every process from now on.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.set(key, value);
        self
    }

    /// Sets `SECKILL__{key}` to `value` in every process from now on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.unset(key);
        self.settings.push((format!("SECKILL__{key}"), value.to_owned()));
    }

    /// Leaves `SECKILL__{key}` out of every process's environment from now on.
    pub fn unset(&mut self, key: &str) {
        let variable = format!("SECKILL__{key}");
        self.settings.retain(|(known, _)| *known != variable);
    }

    /// With its data in this directory.
    pub fn with_data(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    /// With this standard error in every process that serves, instead of the file that is the log.
    pub fn with_stderr(mut self, stderr: fn() -> Stdio) -> Self {
        self.stderr = Some(stderr);
        self
    }

    /// With this limit of open files in every process that serves.
    pub fn with_open_files(self, max: u32) -> Self {
        self.within(&format!("ulimit -n {max}"))
    }

    /// With every process that serves started by a shell that has run this before.
    pub fn within(mut self, prelude: &str) -> Self {
        self.prelude = Some(prelude.to_owned());
        self
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the drill may put a file of its own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program with these words.
    pub fn command(&self, words: &[&str]) -> Command {
        self.command_of(Command::new(env!("CARGO_BIN_EXE_seckill")), words)
    }

    /// The program that serves, within its limits.
    fn serve(&self) -> Command {
        let Some(prelude) = &self.prelude else { return self.command(&["serve"]) };
        let mut limited = Command::new("/bin/bash");
        limited.args(["-c", &format!("{prelude} && exec \"$@\""), "bash"]);
        self.command_of(limited, &[env!("CARGO_BIN_EXE_seckill"), "serve"])
    }

    fn command_of(&self, mut command: Command, words: &[&str]) -> Command {
        command
            .args(words)
            .current_dir(self.directory.path())
            .env_clear()
            .env("SECKILL__DATA__DIR", &self.data)
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }

    /// A process that serves from here and listens.
    pub async fn start(&self) -> Server {
        self.start_with("").await
    }

    /// The same, with failpoints as the `fail` crate writes them.
    pub async fn start_with(&self, failpoints: &str) -> Server {
        self.listening(self.launch(failpoints)).await
    }

    /// The same, started with these words.
    pub async fn start_as(&self, words: &[&str]) -> Server {
        self.listening(self.launch_command(self.command(words))).await
    }

    async fn listening(&self, server: Server) -> Server {
        match server.listens().await {
            Ok(()) => server,
            Err(status) => panic!("it ended at once: {status}\n{}", self.log()),
        }
    }

    /// A process that does not get as far as to serve, though it may listen before it learns why not: how it
    /// ended.
    pub async fn fail_to_start(&self) -> ExitStatus {
        self.launch("").ended().await
    }

    /// A process that may or may not listen one day.
    pub fn launch(&self, failpoints: &str) -> Server {
        let mut command = self.serve();
        if !failpoints.is_empty() {
            command.env("FAILPOINTS", failpoints);
        }
        self.launch_command(command)
    }

    /// A process that serves, with these variables of a service manager. The socket listens already.
    pub fn launch_managed(
        &self,
        socket: Option<&TcpListener>,
        variables: &[(&str, &str)],
    ) -> Server {
        // Without the shell the descriptor would have to be open in every process that the tests start.
        const GIVEN: &str = "exec 3<&0 </dev/null && LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
        let mut command = match socket {
            None => self.command(&["serve"]),
            Some(socket) => {
                let mut shell = Command::new("/bin/bash");
                shell.args(["-c", GIVEN, "bash"]);
                let mut given = self.command_of(shell, &[env!("CARGO_BIN_EXE_seckill"), "serve"]);
                let socket = socket.try_clone().expect("another descriptor");
                given.stdin(Stdio::from(OwnedFd::from(socket)));
                given
            }
        };
        command.envs(variables.iter().copied());
        self.launch_command(command)
    }

    fn launch_command(&self, command: Command) -> Server {
        match self.stderr {
            Some(stderr) => Server::launch_logging_to(command, stderr()),
            None => Server::launch(command, &self.path("log")),
        }
    }

    /// All that the processes have logged.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the log has these words: a process writes its log behind what it does.
    pub async fn logged(&self, words: &str) {
        let line = format!("a line of the log with {words:?}");
        until(&line, async || self.log().contains(words).then_some(())).await;
    }

    /// A first process, and a shop with these offers open for this many buyers.
    pub async fn open_shop(&self, buyers: usize, offers: &[Offer]) -> (Server, OpenSale) {
        // The first start makes the key that tokens are signed with.
        let server = self.start().await;
        let shop = self.open_sale(&server, buyers, offers).await;
        (server, shop)
    }

    /// A shop with these offers open for this many buyers, in a process that serves.
    pub async fn open_sale(&self, server: &Server, buyers: usize, offers: &[Offer]) -> OpenSale {
        self.open_sale_of_buckets(server, buyers, offers, 1).await
    }

    /// Such a shop, of which each item has so many buckets.
    pub async fn open_sale_of_buckets(
        &self,
        server: &Server,
        buyers: usize,
        offers: &[Offer],
        buckets: u8,
    ) -> OpenSale {
        let tokens = self.mint_buyers(1, buyers);
        let operator = self.mint("--operator", "otto");
        let approver = self.mint("--approver", "anna");
        OpenSale::open(server, tokens, operator, approver, offers, buckets).await
    }

    /// `seckill audit` on what is here.
    pub fn audit(&self, confirmed: impl IntoIterator<Item = u64>) -> Verdict {
        Verdict::of(self, confirmed)
    }

    /// Tokens of so many buyers, whose numbers begin at `first`.
    pub fn mint_buyers(&self, first: u64, count: usize) -> Vec<String> {
        let (count, first) = (count.to_string(), first.to_string());
        let output = self.run(&["mint", "--users", &count, "--first", &first]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let token = |line: &[u8]| -> String {
            let line: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            line["token"].as_str().expect("a token").to_owned()
        };
        output
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(token)
            .collect()
    }

    /// A token of `seckill mint` with this flag for this name.
    pub fn mint(&self, flag: &str, name: &str) -> String {
        let output = self.run(&["mint", flag, name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}
