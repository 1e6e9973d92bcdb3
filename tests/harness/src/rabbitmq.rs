//! A private RabbitMQ with a port mapper of its own, so that no other broker is disturbed.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, command, find};
use crate::server::{Recipe, Server, Site};
use crate::{Error, Start};

const NAME: &str = "rabbitmq-server";
/// Where packages keep the product's own scripts. Those that Debian puts on the PATH change to the
/// account `rabbitmq` first, which could not write to our directory.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

const AMQP: usize = 0;
const DISTRIBUTION: usize = 1;
const PORT_MAPPER: usize = 2;

/// A private rabbitmq-server, without plugins, where guest/guest may do everything; what it can do
/// is [`Server`]'s.
#[derive(Debug)]
pub struct RabbitMq {
    server: Server,
}

impl RabbitMq {
    /// Starts a RabbitMQ with more lines of rabbitmq.conf, such as `consumer_timeout = 10000`.
    ///
    /// # Errors
    ///
    /// As [`Start::start`].
    pub fn start_with(configuration: &str) -> Result<Self, Error> {
        script(NAME)?;
        find(&["epmd"])?;
        let configuration = configuration.to_owned();
        Ok(Self { server: Server::start(Box::new(RabbitMqRecipe { configuration }))? })
    }

    /// Runs rabbitmqctl against this broker, as in `ctl(&["delete_queue", "orders"])`, and returns
    /// what it printed: a line per row, tabs between columns, no headings, no last line break.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] with what rabbitmqctl said.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, Error> {
        let site = self.server.site();
        let mut client = command(&script("rabbitmqctl")?, site.path());
        environment(site, &mut client);
        client.arg("--silent").args(arguments);
        let printed = process::run(NAME, client)?;
        Ok(printed.strip_suffix('\n').unwrap_or(&printed).to_owned())
    }
}

impl Start for RabbitMq {
    fn start() -> Result<Self, Error> {
        Self::start_with("")
    }
}

impl Deref for RabbitMq {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

struct RabbitMqRecipe {
    configuration: String,
}

impl Recipe for RabbitMqRecipe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ports(&self) -> usize {
        3
    }

    fn install(&self, site: &Site) -> Result<(), Error> {
        let failed = |error| Error::io(NAME, "its directory", &error);
        fs::create_dir(site.data()).map_err(failed)?;
        let configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\ndisk_free_limit.absolute = 1MB\n{}\n",
            site.port(AMQP),
            self.configuration
        );
        site.write("rabbitmq.conf", &configuration)?;
        site.write("environment.conf", "")?;
        site.write("enabled_plugins", "[].\n")?;
        let cookie = site.path().join(".erlang.cookie");
        if !cookie.exists() {
            // Only this user reads it, and the node listens on loopback: a name will do.
            site.write(".erlang.cookie", &format!("SECKILL{}", site.port(AMQP)))?;
            // Erlang refuses a cookie that others may read.
            let owner_only = fs::Permissions::from_mode(0o400);
            fs::set_permissions(&cookie, owner_only).map_err(failed)?;
        }
        Ok(())
    }

    fn companion(&self, site: &Site) -> Result<Option<(Command, u16)>, Error> {
        // In the foreground and in a group of ours; left to Erlang, it would become a daemon that
        // outlives the test.
        let port = site.port(PORT_MAPPER);
        let mut mapper = command(&find(&["epmd"])?, site.path());
        mapper.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
        Ok(Some((mapper, port)))
    }

    fn command(&self, site: &Site) -> Result<Command, Error> {
        let mut server = command(&script(NAME)?, site.path());
        environment(site, &mut server);
        Ok(server)
    }

    fn ready(&self, site: &Site, _id: u32, log: &str) -> bool {
        // The server gives up if it cannot have a port, so its own word tells it from a stranger.
        log.contains("Server startup complete") && greets(site.port(AMQP)).is_ok()
    }

    fn empty_running(&self, _site: &Site) -> Result<bool, Error> {
        Ok(false)
    }

    fn url(&self, port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
    }
}

/// What both the server and rabbitmqctl need to know to find this node and no other.
fn environment(site: &Site, command: &mut Command) {
    let path = |name: &str| site.path().join(name);
    command
        .env("RABBITMQ_NODENAME", format!("seckill-{}@localhost", site.port(AMQP)))
        .env("RABBITMQ_NODE_PORT", site.port(AMQP).to_string())
        .env("RABBITMQ_DIST_PORT", site.port(DISTRIBUTION).to_string())
        .env("ERL_EPMD_PORT", site.port(PORT_MAPPER).to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_CONF_ENV_FILE", path("environment.conf"))
        .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
        .env("RABBITMQ_MNESIA_BASE", site.data())
        .env("RABBITMQ_LOG_BASE", path("log"))
        .env("RABBITMQ_LOGS", "-")
        // The start script then becomes the server instead of staying as its parent.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        // Any port will do for rabbitmqctl; its default range has room for ten at once.
        .env("RABBITMQ_CTL_DIST_PORT_MIN", "0")
        .env("RABBITMQ_CTL_DIST_PORT_MAX", "0")
        .env("ERL_FLAGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("ERL_CRASH_DUMP_BYTES", "0");
}

/// The product's own script, or the one on the PATH.
fn script(name: &'static str) -> Result<PathBuf, Error> {
    let packaged = Path::new(SCRIPTS).join(name);
    if packaged.is_file() { Ok(packaged) } else { find(&[name]) }
}

/// Opens the AMQP handshake and waits for the broker's first frame, `Connection.Start`.
fn greets(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    let mut frame_type = [0];
    stream.read_exact(&mut frame_type)?;
    if frame_type == [1] { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}
