//! The engine as a child process: started on a data directory, killed, started again on
//! the same port, and stopped in good order.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::{Error, Result};

/// Recovery of a large journal may take a while; longer than this is a failure.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
/// A drain in good order may take this long.
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);
/// What is refused is refused at once; a process that serves all the same is ended after this.
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(30);
/// How much of the engine's log an error message carries.
const LOG_TAIL_BYTES: usize = 2_000;

/// How an engine is started.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The engine's program.
    pub binary: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Settings beside address, data directory and the demo's absence.
    pub environment: BTreeMap<String, String>,
    /// The file that its standard error goes to.
    pub log: PathBuf,
}

impl EngineOptions {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        // Neither must the settings of a shop that this shell serves: it would be sold empty.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SECKILL__") {
                command.env_remove(name);
            }
        }
        command
            // A config.toml in the current directory must not reach the engine under test.
            .current_dir(&self.data)
            .env("SECKILL__DATA__DIR", &self.data)
            .env("SECKILL__DEMO__ENABLED", "false")
            .envs(&self.environment)
            .stdin(Stdio::null())
            // Ctrl-C at the terminal is for this program, which ends what it has started.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Runs a subcommand to its end and returns what it printed and how it ended.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if it cannot be started.
    pub async fn call(&self, arguments: &[&str]) -> Result<(String, ExitStatus)> {
        let output = self
            .command()
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()
            .await
            .map_err(Error::io(format!("running seckill {}", arguments.join(" "))))?;
        Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status))
    }

    /// Serves where it is expected that this is refused; returns the exit code, none if it served, and what
    /// it said on standard error.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if it cannot be started.
    pub async fn serve_in_vain(&self) -> Result<(Option<i32>, String)> {
        let what = || Error::io("serving in vain");
        let said = tempfile::tempfile().map_err(what())?;
        let mut child = self
            .command()
            .arg("serve")
            .env("SECKILL__HTTP__LISTEN", "127.0.0.1:0")
            .env("SECKILL__OPERATIONS__LISTEN", "127.0.0.1:0")
            .envs(&self.environment)
            .stdout(Stdio::null())
            .stderr(said.try_clone().map_err(what())?)
            .spawn()
            .map_err(what())?;
        let ended = tokio::time::timeout(REFUSAL_WAIT_MAX, child.wait()).await;
        let code = ended.ok().and_then(std::result::Result::ok).and_then(|status| status.code());
        child.kill().await.or_else(|_| child.try_wait().map(drop)).map_err(what())?;
        let mut text = Vec::new();
        let mut reader = said;
        reader.rewind().and_then(|()| reader.read_to_end(&mut text)).map_err(what())?;
        Ok((code, String::from_utf8_lossy(&text).into_owned()))
    }

    /// As [`EngineOptions::call`], and the subcommand must succeed.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if it does not.
    pub async fn call_well(&self, arguments: &[&str]) -> Result<String> {
        let (printed, status) = self.call(arguments).await?;
        if !status.success() {
            let line = arguments.join(" ");
            return Err(Error::Server(format!("seckill {line} ended with {status}")));
        }
        Ok(printed)
    }

    /// A token that `mint` prints for `--operator NAME` or `--approver NAME`.
    ///
    /// # Errors
    /// Returns an error if [`EngineOptions::call_well`] does.
    pub async fn token(&self, role: &str, name: &str) -> Result<String> {
        let printed = self.call_well(&["mint", role, name]).await?;
        let token = printed.lines().map(str::trim).find(|line| !line.is_empty());
        token.map(str::to_owned).ok_or_else(|| Error::Server("mint printed no token".to_owned()))
    }
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    address: SocketAddr,
    /// Where its figures are; that of a version which does not know such a listener is `address`.
    operations: Option<SocketAddr>,
    child: Option<Child>,
    process: Arc<AtomicU32>,
}

impl Engine {
    /// Starts an engine on a free loopback port and waits until it listens.
    ///
    /// # Errors
    /// Returns [`Error::Server`] with the end of its log if it does not come up.
    pub async fn start(options: EngineOptions) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut engine = Self::idle(options, [address, address]).await?;
        engine.start_again().await?;
        Ok(engine)
    }

    /// An engine that [`Engine::start_again`] is to start, on loopback ports that are free now.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if no port is free.
    pub async fn later(options: EngineOptions) -> Result<Self> {
        let draw =
            || std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io("drawing a port"));
        // Both at once, lest they be the same one.
        let [first, second] = [draw()?, draw()?];
        let address = |listener: std::net::TcpListener| {
            listener.local_addr().map_err(Error::io("drawing a port"))
        };
        Self::idle(options, [address(first)?, address(second)?]).await
    }

    async fn idle(options: EngineOptions, [address, second]: [SocketAddr; 2]) -> Result<Self> {
        let (settings, _) = options.call(&["config", "template"]).await?;
        let operations = settings.contains("\n[operations]\n").then_some(second);
        Ok(Self { options, address, operations, child: None, process: Arc::default() })
    }

    /// Starts the engine on the same data and port; returns how long it took to listen.
    ///
    /// # Errors
    /// Returns an error if [`Engine::start`] does.
    pub async fn start_again(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.options.log)
            .map_err(Error::io("opening the engine's log"))?;
        let mut command = self.options.command();
        if let Some(operations) = self.operations {
            command.env("SECKILL__OPERATIONS__LISTEN", operations.to_string());
            // All clients come from this machine.
            command.env("SECKILL__HTTP__CONNECTIONS_PER_ADDRESS_MAX", "1000000");
        }
        let mut child = command
            .arg("serve")
            .env("SECKILL__HTTP__LISTEN", self.address.to_string())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(Error::io(format!("starting {}", self.options.binary.display())))?;
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let operations = self.operations.map(|_| OPERATIONS);
        let announced = announced(stdout, [LISTENING].into_iter().chain(operations)).await;
        let Some(addresses) = announced else {
            let reason = format!("the engine did not come up; its log ends:\n{}", self.log_tail());
            return Err(Error::Server(reason));
        };
        self.process.store(child.id().unwrap_or(0), Ordering::Relaxed);
        self.child = Some(child);
        self.address = addresses[0];
        self.operations = addresses.get(1).copied();
        Ok(begun.elapsed())
    }

    /// Why it no longer runs, if it ended by itself.
    pub fn exit_error(&mut self) -> Option<Error> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        let tail = self.log_tail();
        Some(Error::Server(format!(
            "the engine ended by itself with {status}; its log ends:\n{tail}"
        )))
    }

    /// Waits until it has ended by itself; nothing if it has not in this time.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the system cannot tell.
    pub async fn ended(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let Ok(ended) = tokio::time::timeout(within, child.wait()).await else { return Ok(None) };
        self.process.store(0, Ordering::Relaxed);
        self.child = None;
        ended.map(Some).map_err(Error::io("waiting for the engine"))
    }

    /// Sets a variable of its environment from the next start on, such as `SECKILL__ENGINE__SHARDS`; nothing
    /// takes it out.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let environment = &mut self.options.environment;
        match value {
            Some(value) => environment.insert(name.to_owned(), value.to_owned()),
            None => environment.remove(name),
        };
    }

    /// All that its processes have said on standard error.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(&self.options.log).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address on which it shows its figures.
    #[must_use]
    pub fn operations(&self) -> SocketAddr {
        self.operations.unwrap_or(self.address)
    }

    /// How it was started.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The current process's id, 0 while there is none; follows restarts.
    #[must_use]
    pub fn process(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.process)
    }

    /// kill -9, and waits until it is gone.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.store(0, Ordering::Relaxed);
        if let Some(mut child) = self.child.take() {
            child.kill().await.map_err(Error::io("killing the engine"))?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for an orderly end.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if it does not end in time or not with success.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, Signal::TERM)?;
        let ended = tokio::time::timeout(STOP_WAIT_MAX, child.wait()).await;
        self.process.store(0, Ordering::Relaxed);
        let seconds = STOP_WAIT_MAX.as_secs();
        match ended {
            Err(_) => Err(Error::Server(format!("no end {seconds} s after SIGTERM"))),
            Ok(Err(source)) => Err(Error::Io { what: "waiting for the engine".to_owned(), source }),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                let tail = self.log_tail();
                Err(Error::Server(format!("ended with {status} after SIGTERM:\n{tail}")))
            }
        }
    }

    /// SIGSTOP: it holds everything and does nothing.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if it is not running.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT after [`Engine::freeze`].
    ///
    /// # Errors
    /// Returns [`Error::Server`] if it is not running.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, what: Signal) -> Result<()> {
        let Some(child) = &self.child else {
            return Err(Error::Server("the engine is not running".to_owned()));
        };
        signal(child, what)
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(&self.options.log).unwrap_or_default();
        let from = log.len().saturating_sub(LOG_TAIL_BYTES);
        String::from_utf8_lossy(&log[from..]).into_owned()
    }
}

/// What begins the line with a server's address.
pub const LISTENING: &str = "listening on http://";
/// What begins the line with the address of its operations listener.
const OPERATIONS: &str = "operations on http://";

/// The addresses in a server's first lines, which begin with these words in this order; `None` if it
/// ends or takes too long. What it prints afterwards is for people, but must be read lest it block
/// on a full pipe.
pub async fn announced(
    stdout: ChildStdout,
    words: impl IntoIterator<Item = &str>,
) -> Option<Vec<SocketAddr>> {
    let mut lines = BufReader::new(stdout).lines();
    let listening = async {
        let mut addresses = Vec::new();
        for words in words {
            let address = loop {
                let line = lines.next_line().await.ok()??;
                if let Some(address) = line.trim().strip_prefix(words) {
                    break address.trim_end_matches('/').parse().ok()?;
                }
            };
            addresses.push(address);
        }
        Some(addresses)
    };
    let addresses = tokio::time::timeout(START_WAIT_MAX, listening).await.ok().flatten();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    addresses
}

fn signal(child: &Child, what: Signal) -> Result<()> {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(id) = id else { return Ok(()) };
    kill_process(id, what).map_err(|errno| Error::Io {
        what: "signalling the engine".to_owned(),
        source: errno.into(),
    })
}
