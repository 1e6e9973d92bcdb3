//! A private Prometheus.

use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Error;
use crate::process::{command, find};
use crate::redis::ask;
use crate::server::{Recipe, Server, Site};

const NAME: &str = "prometheus";
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// A private prometheus; what it can do is [`Server`]'s.
#[derive(Debug)]
pub struct Prometheus {
    server: Server,
}

impl Prometheus {
    /// Starts a Prometheus with this configuration, whose rule files are named by whole paths.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if it is not installed, [`Error::Failed`] if it does not start.
    pub fn start_with(configuration: &Path) -> Result<Self, Error> {
        find(&[NAME])?;
        let text = fs::read_to_string(configuration)
            .map_err(|error| Error::io(NAME, "its configuration", &error))?;
        Ok(Self { server: Server::start(Box::new(PrometheusRecipe { configuration: text }))? })
    }

    /// What its API answers to a GET of `path`, without the head.
    ///
    /// # Errors
    ///
    /// The operating system's error if there is no answer.
    pub fn get(&self, path: &str) -> std::io::Result<String> {
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let answer = ask(self.server.address().port(), &request, ANSWER_WAIT_MAX)?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

impl Deref for Prometheus {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

struct PrometheusRecipe {
    configuration: String,
}

impl Recipe for PrometheusRecipe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn install(&self, site: &Site) -> Result<(), Error> {
        fs::create_dir(site.data()).map_err(|error| Error::io(NAME, "its directory", &error))
    }

    fn command(&self, site: &Site) -> Result<Command, Error> {
        let configuration = site.write("prometheus.yml", &self.configuration)?;
        let mut server = command(&find(&[NAME])?, site.path());
        server.arg("--config.file").arg(configuration);
        server.arg("--storage.tsdb.path").arg(site.data());
        server.arg(format!("--web.listen-address=127.0.0.1:{}", site.port(0)));
        Ok(server)
    }

    fn ready(&self, site: &Site, _id: u32, _log: &str) -> bool {
        ask(site.port(0), "GET /-/ready HTTP/1.0\r\n\r\n", ANSWER_WAIT_MAX)
            .is_ok_and(|answer| answer.lines().next().is_some_and(|line| line.contains(" 200 ")))
    }

    fn empty_running(&self, _site: &Site) -> Result<bool, Error> {
        Ok(false)
    }

    fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}/")
    }
}
