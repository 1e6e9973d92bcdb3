//! What every server under test can do: start, stop, die, freeze, forget and come back.
//!
//! [`Server`] owns the directory, the ports and the processes; a [`Recipe`] knows one product.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::Error;
use crate::port::Port;
use crate::process::{self, Process};
use crate::watchdog::Watchdog;

/// Another process may take a port between its draw and the server's bind.
const PORT_ATTEMPTS_MAX: usize = 5;

/// How one product is installed, started and asked whether it is ready.
pub(crate) trait Recipe: Send + Sync {
    /// The product, as it appears in errors.
    fn name(&self) -> &'static str;

    /// How many ports it needs; the first is the one that clients use.
    fn ports(&self) -> usize {
        1
    }

    /// Creates the data of a server that never ran; called where `data` does not exist.
    fn install(&self, site: &Site) -> Result<(), Error>;

    /// A process that has to run beside the server, with the port on which it answers.
    fn companion(&self, _site: &Site) -> Result<Option<(Command, u16)>, Error> {
        Ok(None)
    }

    fn command(&self, site: &Site) -> Result<Command, Error>;

    /// Whether the server, whose process is `id` and which has said `log` since it was started,
    /// now serves clients.
    fn ready(&self, site: &Site, id: u32, log: &str) -> bool;

    /// Empties a running server; false if that product has to be stopped for it.
    fn empty_running(&self, site: &Site) -> Result<bool, Error>;

    fn url(&self, port: u16) -> String;
}

/// Where a server lives.
pub(crate) struct Site {
    directory: TempDir,
    ports: Vec<Port>,
}

impl Site {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory that holds all the server must remember, and nothing else.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("server.log")
    }

    pub(crate) fn port(&self, index: usize) -> u16 {
        self.ports[index].number()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        fs::write(&path, text).map_err(|error| Error::io("harness", name, &error))?;
        Ok(path)
    }
}

/// A private server. Dropping it kills the server and removes its directory.
///
/// Every method blocks; from asynchronous code use `spawn_blocking`, or call it where blocking
/// one worker does no harm. All take `&self`, so an `Arc` can be shared between tasks.
pub struct Server {
    // In the order of their drop: processes die, the watchdog is stood down, the directory goes.
    state: Mutex<State>,
    recipe: Box<dyn Recipe>,
    site: Site,
}

struct State {
    /// Companions first, the server itself last; empty when it does not run.
    processes: Vec<Process>,
    watchdog: Watchdog,
}

impl Server {
    /// Installs and starts a server, on other ports if one was taken meanwhile.
    pub(crate) fn start(recipe: Box<dyn Recipe>) -> Result<Self, Error> {
        let mut recipe = recipe;
        for _ in 1..PORT_ATTEMPTS_MAX {
            let server = Self::new(recipe)?;
            match server.restart() {
                Ok(()) => return Ok(server),
                Err(error) if clashed(&server.site) => drop(error),
                Err(error) => return Err(error),
            }
            recipe = server.recipe;
        }
        let server = Self::new(recipe)?;
        server.restart()?;
        Ok(server)
    }

    fn new(recipe: Box<dyn Recipe>) -> Result<Self, Error> {
        let failed = |what| move |error| Error::io("harness", what, &error);
        let directory = tempfile::Builder::new()
            .prefix("seckill-test-")
            .tempdir()
            .map_err(failed("a temporary directory"))?;
        let watchdog = Watchdog::over(directory.path()).map_err(failed("the watchdog"))?;
        let ports = (0..recipe.ports()).map(|_| Port::reserve()).collect::<Result<_, _>>();
        let site = Site { directory, ports: ports.map_err(failed("a port"))? };
        let state = Mutex::new(State { processes: Vec::new(), watchdog });
        Ok(Self { state, recipe, site })
    }

    /// Which product this is, such as `redis-server`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.recipe.name()
    }

    /// The address clients connect to, with credentials; the same for the server's whole life.
    #[must_use]
    pub fn url(&self) -> String {
        self.recipe.url(self.port())
    }

    /// The port clients connect to; the same for the server's whole life.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.site.port(0)
    }

    /// One of its ports, of which the first is the one that clients connect to.
    pub(crate) fn port_of(&self, index: usize) -> u16 {
        self.site.port(index)
    }

    /// The loopback address clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.site.ports[0].address()
    }

    /// The server's own directory, removed with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.site.path()
    }

    /// The id of the server's process, for a test that looks at it from outside.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.state().processes.last().map(Process::id)
    }

    /// The last kilobytes of what the server printed.
    #[must_use]
    pub fn log_tail(&self) -> String {
        process::log_tail(&self.site.log())
    }

    /// Whether the server's process exists; a frozen one does.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state().processes.last_mut().is_some_and(|server| server.ended().is_none())
    }

    /// Stops the server in an orderly way and waits for its end. A frozen one is thawed first.
    ///
    /// # Panics
    ///
    /// If it does not end within a minute; it is killed then.
    pub fn stop(&self) {
        let mut state = self.state();
        for process in &mut state.processes {
            process.signal_group(Signal::CONT);
        }
        let ended = state.processes.last_mut().is_none_or(Process::terminate);
        state.kill_all();
        drop(state);
        assert!(ended, "{} did not stop when asked\n{}", self.name(), self.log_tail());
    }

    /// Kills the server and all of its process group with SIGKILL, and waits for its end.
    pub fn kill(&self) {
        self.state().kill_all();
    }

    /// Stops the server's clock, as it were, with SIGSTOP: connections stay, nothing is answered.
    pub fn freeze(&self) {
        self.state().processes.iter_mut().for_each(Process::freeze);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Starts the server again on the same port and the same data, and waits until it answers.
    /// One that runs is stopped first.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] with the end of the server's log if it does not answer within a minute.
    ///
    /// # Panics
    ///
    /// As [`Server::stop`] does.
    pub fn restart(&self) -> Result<(), Error> {
        self.stop();
        let mut state = self.state();
        let started = self.launch(&mut state);
        if started.is_err() {
            state.kill_all();
        }
        started.map_err(|error| error.with_log(self.log_tail()))
    }

    /// Forgets all data. A running server runs again afterwards, as fresh as after its first
    /// start (RabbitMQ is killed and started for it); one that does not run stays down.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if the server refuses, or does not come back.
    ///
    /// # Panics
    ///
    /// As [`Server::stop`] does.
    pub fn empty(&self) -> Result<(), Error> {
        let running = self.is_running();
        if running && self.recipe.empty_running(&self.site)? {
            return Ok(());
        }
        self.kill();
        match fs::remove_dir_all(self.site.data()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(self.name(), "removing its data", &error));
            }
            _ => {}
        }
        if running { self.restart() } else { Ok(()) }
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    fn launch(&self, state: &mut State) -> Result<(), Error> {
        let failed = |what| move |error| Error::io(self.name(), what, &error);
        if !self.site.data().exists() {
            self.recipe.install(&self.site)?;
        }
        let log = self.site.log();
        let log_start = process::log_length(&log);
        if let Some((command, port)) = self.recipe.companion(&self.site)? {
            state.add(Process::spawn(command, &log).map_err(failed("starting its companion"))?)?;
            if !process::wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()) {
                return Err(Error::failed(self.name(), "its companion does not answer"));
            }
        }
        let command = self.recipe.command(&self.site)?;
        state.add(Process::spawn(command, &log).map_err(failed("starting it"))?)?;
        let Some(server) = state.processes.last_mut() else { return Ok(()) };
        let mut ended = None;
        let mut ready = false;
        process::wait_until(|| {
            ended = server.ended();
            // Whatever answers on the port after our process has ended is not ours.
            ready = ended.is_none()
                && self.recipe.ready(&self.site, server.id(), &process::log_from(&log, log_start));
            ready || ended.is_some()
        });
        match ended {
            _ if ready => Ok(()),
            Some(status) => Err(Error::failed(self.name(), format!("ended at once: {status}"))),
            None => Err(Error::failed(
                self.name(),
                format!("was not ready within {:?}", process::WAIT_MAX),
            )),
        }
    }

    fn signal_all(&self, signal: Signal) {
        for process in &mut self.state().processes {
            process.signal_group(signal);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere leaves the processes as they are, so they stay usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, process: Process) -> Result<(), Error> {
        self.processes.push(process);
        self.tell_watchdog().map_err(|error| Error::io("harness", "the watchdog", &error))
    }

    fn kill_all(&mut self) {
        while let Some(mut process) = self.processes.pop() {
            process.kill();
        }
        // A watchdog that is gone has nothing to kill either.
        let _ = self.tell_watchdog();
    }

    fn tell_watchdog(&mut self) -> std::io::Result<()> {
        self.watchdog.guard(self.processes.iter().map(Process::id))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} on {}", self.name(), self.address())
    }
}

/// Whether a server gave up because its port was taken.
fn clashed(site: &Site) -> bool {
    let log = process::log_tail(&site.log()).to_lowercase();
    let complaints = ["address already in use", "eaddrinuse", "in use by another node"];
    complaints.iter().any(|complaint| log.contains(complaint))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script in place of a server; it is ready once it has said so.
    struct Script(&'static str);

    impl Recipe for Script {
        fn name(&self) -> &'static str {
            "script"
        }

        fn install(&self, site: &Site) -> Result<(), Error> {
            fs::create_dir(site.data()).map_err(|error| Error::io("script", "install", &error))
        }

        fn command(&self, site: &Site) -> Result<Command, Error> {
            let mut command = process::command(Path::new("/bin/sh"), site.path());
            command.args(["-c", self.0]);
            Ok(command)
        }

        fn ready(&self, _site: &Site, _id: u32, log: &str) -> bool {
            log.contains("ready")
        }

        fn empty_running(&self, _site: &Site) -> Result<bool, Error> {
            Ok(false)
        }

        fn url(&self, port: u16) -> String {
            format!("script://127.0.0.1:{port}")
        }
    }

    #[test]
    fn a_port_that_was_taken_meanwhile_is_exchanged_for_another() {
        // Each attempt has a directory of its own, so the count is kept beside them.
        let scratch = tempfile::NamedTempFile::new().unwrap();
        let script = format!(
            "echo attempt >> {0}\n\
             test $(wc -l < {0}) -gt 2 || {{ echo Address already in use; exit 1; }}\n\
             echo ready; exec sleep 1000",
            scratch.path().display()
        );
        let server = Server::start(Box::new(Script(script.leak()))).unwrap();
        assert!(server.is_running());
        assert_eq!(fs::read_to_string(scratch.path()).unwrap().lines().count(), 3);
    }

    #[test]
    fn one_that_ends_at_once_is_reported_with_what_it_said() {
        let error = Server::start(Box::new(Script("echo no such setting; exit 7"))).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 7") && text.contains("no such setting"), "{text}");
    }

    #[test]
    fn one_that_dies_by_itself_is_not_running_and_can_be_restarted() {
        let script = "echo ready; until test -e leave; do sleep 0.01; done";
        let server = Server::start(Box::new(Script(script))).unwrap();
        let leave = server.site().write("leave", "").unwrap();
        assert!(process::wait_until(|| !server.is_running()));
        fs::remove_file(leave).unwrap();
        server.freeze();
        server.thaw();
        server.kill();
        server.restart().unwrap();
    }

    #[test]
    fn emptying_removes_the_data_and_leaves_it_running_or_at_rest_as_it_was() {
        let server = Server::start(Box::new(Script("echo ready; exec sleep 1000"))).unwrap();
        for running in [true, false] {
            let remembered = server.site().data().join("remembered");
            fs::write(&remembered, "").unwrap();
            if !running {
                server.stop();
            }
            server.empty().unwrap();
            assert!(!remembered.exists());
            assert_eq!(server.is_running(), running);
        }
        server.restart().unwrap();
    }
}
