//! A private etcd: one member, or several that form a cluster.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::port::Port;
use crate::process::{self, command, find};
use crate::server::{Recipe, Server, Site};
use crate::{Error, Start};

const NAME: &str = "etcd";
const PORT_ATTEMPTS_MAX: usize = 5;
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// How an etcd is started; the default is one member that asks for nothing.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// How many members form the cluster: 1 or 3.
    pub members: usize,
    /// Certificates, if it speaks TLS.
    pub tls: Option<EtcdCertificates>,
    /// More arguments of each member, such as `["--quota-backend-bytes", "16777216"]`.
    pub arguments: Vec<String>,
}

/// Paths of PEM files.
#[derive(Clone, Debug)]
pub struct EtcdCertificates {
    /// The authority that signed the members' certificate.
    pub authority: String,
    /// The members' certificate, for `localhost` and 127.0.0.1.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self { members: 1, tls: None, arguments: Vec::new() }
    }
}

/// A private etcd. What each member can do is [`Server`]'s.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Server>,
    options: EtcdOptions,
}

impl Etcd {
    /// Starts an etcd with options.
    ///
    /// # Errors
    ///
    /// As [`Start::start`].
    pub fn start_with(options: EtcdOptions) -> Result<Self, Error> {
        find(&[NAME])?;
        for _ in 1..PORT_ATTEMPTS_MAX {
            // A port that was taken meanwhile moves the whole cluster.
            if let Ok(members) = start_members(&options) {
                return Ok(Self { members, options });
            }
        }
        let members = start_members(&options)?;
        Ok(Self { members, options })
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> &[Server] {
        &self.members
    }

    /// The members' client URLs.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Server::url).collect()
    }

    /// Runs one command through `etcdctl`, as in `cli(&["get", "key"])`, and returns what it printed,
    /// without the last line break.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if there is no answer, or the answer is an error.
    pub fn cli(&self, arguments: &[&str]) -> Result<String, Error> {
        let site = self.members[0].site();
        let mut client = command(&find(&["etcdctl"])?, site.path());
        client.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoints().join(",")]);
        if let Some(tls) = &self.options.tls {
            client.args(["--cacert", &tls.authority]);
        }
        client.args(arguments);
        let printed = process::run(NAME, client)?;
        Ok(printed.strip_suffix('\n').unwrap_or(&printed).to_owned())
    }
}

impl Start for Etcd {
    fn start() -> Result<Self, Error> {
        Self::start_with(EtcdOptions::default())
    }
}

/// Starts all members at once: none is ready before most of them are.
fn start_members(options: &EtcdOptions) -> Result<Vec<Server>, Error> {
    let reserved = (0..options.members).map(|_| Port::reserve()).collect::<Result<Vec<_>, _>>();
    let peers = Arc::new(reserved.map_err(|error| Error::io("harness", "a port", &error))?);
    std::thread::scope(|scope| {
        let starting: Vec<_> = (0..options.members)
            .map(|member| {
                let recipe =
                    EtcdRecipe { member, peers: Arc::clone(&peers), options: options.clone() };
                scope.spawn(move || Server::start(Box::new(recipe)))
            })
            .collect();
        let started = starting.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::failed(NAME, "starting a member panicked")))
        });
        // All of them first, so that none is left behind by the error of another.
        let started: Vec<_> = started.collect();
        started.into_iter().collect()
    })
}

struct EtcdRecipe {
    member: usize,
    peers: Arc<Vec<Port>>,
    options: EtcdOptions,
}

impl EtcdRecipe {
    fn peer_url(&self, member: usize) -> String {
        format!("http://{}", self.peers[member].address())
    }

    fn all_peers(&self) -> String {
        let each =
            (0..self.peers.len()).map(|member| format!("m{member}={}", self.peer_url(member)));
        each.collect::<Vec<_>>().join(",")
    }
}

impl Recipe for EtcdRecipe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn install(&self, site: &Site) -> Result<(), Error> {
        std::fs::create_dir(site.data()).map_err(|error| Error::io(NAME, "its directory", &error))
    }

    fn command(&self, site: &Site) -> Result<Command, Error> {
        let (own, peer) = (self.url(site.port(0)), self.peer_url(self.member));
        let mut server = command(&find(&[NAME])?, site.path());
        server.args(["--name", &format!("m{}", self.member)]);
        server.arg("--data-dir").arg(site.data());
        server.args(["--listen-client-urls", &own, "--advertise-client-urls", &own]);
        server.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        server.args(["--initial-cluster", &self.all_peers()]);
        // Where nothing else measures it, on the operations' own port: it says whether there is a leader.
        server.args(["--listen-metrics-urls", &format!("http://127.0.0.1:{}", site.port(1))]);
        server.args(["--snapshot-count", "2000", "--logger", "zap"]);
        if let Some(tls) = &self.options.tls {
            server.args(["--cert-file", &tls.certificate, "--key-file", &tls.key]);
        }
        server.args(&self.options.arguments);
        Ok(server)
    }

    fn ports(&self) -> usize {
        2
    }

    fn ready(&self, site: &Site, _id: u32, _log: &str) -> bool {
        crate::redis::ask(site.port(1), "GET /health HTTP/1.0\r\n\r\n", ANSWER_WAIT_MAX)
            .is_ok_and(|answer| answer.contains(r#""health":"true""#))
    }

    fn empty_running(&self, _site: &Site) -> Result<bool, Error> {
        Ok(false)
    }

    fn url(&self, port: u16) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{port}", Ipv4Addr::LOCALHOST)
    }
}
