//! A private nginx.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Deref;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::process::{command, find};
use crate::server::{Recipe, Server, Site};

const NAME: &str = "nginx";
/// The place of its second port among its ports.
const SECOND: usize = 1;

/// A private nginx; what it can do is [`Server`]'s.
#[derive(Debug)]
pub struct Nginx {
    server: Server,
}

impl Nginx {
    /// Starts an nginx with this configuration, in which `{port}` stands for its port, `{second_port}` for another one of
    /// its own and `{place}` for a directory of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if it is not installed, [`Error::Failed`] if it does not start.
    pub fn start_with(configuration: &str) -> Result<Self, Error> {
        find(&[NAME])?;
        let configuration = configuration.to_owned();
        Ok(Self { server: Server::start(Box::new(NginxRecipe { configuration }))? })
    }

    /// The loopback address of its second port, if its configuration has it listen there.
    #[must_use]
    pub fn second_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.server.port_of(SECOND)).into()
    }

    /// Has it read its configuration again, as `nginx -s reload` does; its workers of before end as they are done.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn reload(&self) {
        let id = self.server.process_id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(id.expect("it runs"), Signal::HUP).expect("it runs");
    }
}

impl Deref for Nginx {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

struct NginxRecipe {
    configuration: String,
}

impl Recipe for NginxRecipe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ports(&self) -> usize {
        SECOND + 1
    }

    fn install(&self, site: &Site) -> Result<(), Error> {
        fs::create_dir(site.data()).map_err(|error| Error::io(NAME, "its directory", &error))
    }

    fn command(&self, site: &Site) -> Result<Command, Error> {
        let place = site.data();
        let text = self.configuration.replace("{port}", &site.port(0).to_string());
        let text = text.replace("{second_port}", &site.port(SECOND).to_string());
        let text = text.replace("{place}", &place.display().to_string());
        let configuration = site.write("nginx.conf", &text)?;
        let mut server = command(&find(&[NAME])?, site.path());
        server.arg("-p").arg(place).arg("-c").arg(configuration).args(["-g", "daemon off;"]);
        Ok(server)
    }

    fn ready(&self, site: &Site, _id: u32, _log: &str) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, site.port(0))).is_ok()
    }

    fn empty_running(&self, _site: &Site) -> Result<bool, Error> {
        Ok(false)
    }

    fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}/")
    }
}
