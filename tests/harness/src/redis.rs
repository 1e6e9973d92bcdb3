//! A private Redis.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Deref;
use std::process::Command;
use std::time::Duration;

use crate::process::{self, command, find};
use crate::server::{Recipe, Server, Site};
use crate::{Error, Start};

const NAME: &str = "redis-server";
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// When Redis syncs its append-only file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppendOnly {
    /// No append-only file: a restart forgets everything.
    #[default]
    Off,
    /// A sync per second, as most installations have it.
    EverySecond,
    /// A sync per command.
    Always,
}

/// How a Redis is started; the default keeps nothing and asks for no password.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// Whether and how it persists.
    pub append_only: AppendOnly,
    /// A password that clients have to give; letters and digits, since it goes into the URL as is.
    pub password: Option<String>,
    /// More arguments of redis-server, such as `["--maxmemory", "64mb"]`.
    pub arguments: Vec<String>,
}

/// A private redis-server; what it can do is [`Server`]'s.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    options: RedisOptions,
}

impl Redis {
    /// Starts a Redis with options.
    ///
    /// # Errors
    ///
    /// As [`Start::start`].
    pub fn start_with(options: RedisOptions) -> Result<Self, Error> {
        find(&[NAME])?;
        let server = Server::start(Box::new(RedisRecipe { options: options.clone() }))?;
        Ok(Self { server, options })
    }

    /// Runs one command through `redis-cli`, as in `cli(&["get", "key"])`, and returns what it
    /// printed, without the last line break.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if there is no answer, or the answer is an error.
    pub fn cli(&self, arguments: &[&str]) -> Result<String, Error> {
        cli(self.server.site(), &self.options, arguments)
    }
}

impl Start for Redis {
    fn start() -> Result<Self, Error> {
        Self::start_with(RedisOptions::default())
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

struct RedisRecipe {
    options: RedisOptions,
}

impl Recipe for RedisRecipe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn install(&self, site: &Site) -> Result<(), Error> {
        fs::create_dir(site.data()).map_err(|error| Error::io(NAME, "its directory", &error))
    }

    fn command(&self, site: &Site) -> Result<Command, Error> {
        let mut server = command(&find(&[NAME])?, site.path());
        // Without the argument "-", redis-server reads no configuration file at all.
        server.args(["--bind", "127.0.0.1", "--port", &site.port(0).to_string()]);
        server.arg("--dir").arg(site.data());
        server.args(["--save", "", "--daemonize", "no", "--databases", "16"]);
        server.args(match self.options.append_only {
            AppendOnly::Off => ["--appendonly", "no", "--appendfsync", "no"],
            AppendOnly::EverySecond => ["--appendonly", "yes", "--appendfsync", "everysec"],
            AppendOnly::Always => ["--appendonly", "yes", "--appendfsync", "always"],
        });
        if let Some(password) = &self.options.password {
            server.args(["--requirepass", password]);
        }
        server.args(&self.options.arguments);
        Ok(server)
    }

    fn ready(&self, site: &Site, id: u32, _log: &str) -> bool {
        // Inline commands, so that no client is needed; QUIT ends the answer.
        let login = match &self.options.password {
            Some(password) => format!("AUTH {password}\r\n"),
            None => String::new(),
        };
        let request = format!("{login}PING\r\nINFO server\r\nQUIT\r\n");
        // While it loads its file Redis answers PING with an error; the id tells it from a
        // stranger on the port.
        ask(site.port(0), &request, ANSWER_WAIT_MAX).is_ok_and(|answer| {
            answer.contains("+PONG") && answer.contains(&format!("process_id:{id}\r"))
        })
    }

    fn empty_running(&self, site: &Site) -> Result<bool, Error> {
        cli(site, &self.options, &["flushall"])?;
        cli(site, &self.options, &["script", "flush"])?;
        Ok(true)
    }

    fn url(&self, port: u16) -> String {
        match &self.options.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{port}/"),
            None => format!("redis://127.0.0.1:{port}/"),
        }
    }
}

fn cli(site: &Site, options: &RedisOptions, arguments: &[&str]) -> Result<String, Error> {
    let mut client = command(&find(&["redis-cli"])?, site.path());
    // -e: an error in the answer is an error of the client's.
    client.args(["-e", "-h", "127.0.0.1", "-p", &site.port(0).to_string()]).args(arguments);
    if let Some(password) = &options.password {
        client.env("REDISCLI_AUTH", password);
    }
    let printed = process::run(NAME, client)?;
    Ok(printed.strip_suffix('\n').unwrap_or(&printed).to_owned())
}

/// Sends one request and reads until the server closes.
pub(crate) fn ask(port: u16, request: &str, wait: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(wait))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
