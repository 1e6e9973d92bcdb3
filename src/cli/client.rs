//! A few requests to the shop, as its operators send them: for commands that ask a shop which runs.
//!
//! HTTP/1.0, one connection for each request, JSON both ways. Must not know what is asked.

use super::banner;
use super::failure::{Exit, Failure};
use super::own_certificate;
use crate::config::Config;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long the shop may take to accept a connection, for each answer, and for one that it has at hand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Why a request did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there, or not in HTTP.
    #[error("{address} does not answer: {source}")]
    Unreachable {
        /// The address that was asked.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The shop refused, with this status, in these words.
    #[error("{method} {path} was answered {status}: {detail}")]
    Refused {
        /// The request's method.
        method: &'static str,
        /// The request's path.
        path: String,
        /// The answer's status.
        status: u16,
        /// The problem's detail, or the body.
        detail: String,
    },
}

/// Asks the shop at an address.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    /// How to encrypt what is said; nothing is where the listener speaks plain HTTP.
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    /// Of a listener that speaks plain HTTP.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// Of the shop that listens for buyers, on this machine, where the settings say; encrypted if it speaks HTTPS
    /// itself.
    ///
    /// # Errors
    /// Returns [`Failure`] if they leave the port to the operating system, or name a certificate that cannot be
    /// read.
    pub fn of_shop(config: &Config) -> Result<Self, Failure> {
        let certificate = config.http.tls_certificate_file.as_deref();
        let tls = certificate.map(own_certificate::speak_to).transpose()?;
        Ok(Self { tls, ..Self::at("http.listen", config.http.listen)? })
    }

    /// Of a plain listener of the shop on this machine, where this setting says.
    ///
    /// # Errors
    /// Returns [`Failure`] if that leaves the port to the operating system.
    pub fn at(setting: &str, listen: SocketAddr) -> Result<Self, Failure> {
        if listen.port() != 0 {
            return Ok(Self::plain(banner::reachable(listen)));
        }
        Err(Failure {
            exit: Exit::Configuration,
            what: format!("{setting} does not say at which port the shop is"),
            meaning: "nothing was asked, and nothing was changed".to_owned(),
            remedy: format!("set {setting} to the address that `seckill serve` printed"),
        })
    }

    /// Sends a request with this token, and returns the answer's body. Blocks.
    ///
    /// # Errors
    /// Returns [`ClientError`] if there is no answer, or it is not one of success.
    pub fn ask(
        &self,
        method: &'static str,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        self.send(method, path, &format!("authorization: Bearer {token}\r\n"), body)
    }

    /// Changes what was looked at, with this token, if it is at this revision yet; returns the answer's body.
    /// Blocks.
    ///
    /// # Errors
    /// Returns [`ClientError`] as [`Client::ask`] does.
    pub fn change(
        &self,
        method: &'static str,
        path: &str,
        token: &str,
        revision: u64,
        body: &Value,
    ) -> Result<Value, ClientError> {
        let headers = format!("authorization: Bearer {token}\r\nif-match: \"{revision}\"\r\n");
        self.send(method, path, &headers, Some(body))
    }

    fn send(
        &self,
        method: &'static str,
        path: &str,
        headers: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let content = match body.len() {
            0 => String::new(),
            length => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
        };
        let headers = format!("{headers}{content}");
        let body = self.answer(method, path, &headers, &body, ANSWER_TIMEOUT)?;
        Ok(serde_json::from_str(&body).unwrap_or_default())
    }

    /// Looks at what everybody may see, and returns the answer's body. Blocks.
    ///
    /// # Errors
    /// Returns [`ClientError`] as [`Client::ask`] does, after a few seconds at most.
    pub fn look(&self, path: &str) -> Result<String, ClientError> {
        self.answer("GET", path, "", "", LOOK_TIMEOUT)
    }

    fn answer(
        &self,
        method: &'static str,
        path: &str,
        headers: &str,
        body: &str,
        timeout: Duration,
    ) -> Result<String, ClientError> {
        let address = self.address;
        let unreachable = |source| ClientError::Unreachable { address, source };
        let request = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\n{headers}\r\n{body}");
        let answer = self.exchange(&request, timeout).map_err(unreachable)?;
        let malformed = || unreachable(io::Error::other("what it says is not HTTP"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or_else(malformed)?;
        if (200..300).contains(&status) {
            return Ok(body.to_owned());
        }
        let detail = detail(body);
        Err(ClientError::Refused { method, path: path.to_owned(), status, detail })
    }

    fn exchange(&self, request: &str, timeout: Duration) -> io::Result<String> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let Some(tls) = &self.tls else { return say(stream, request) };
        let connection = ClientConnection::new(Arc::clone(tls), self.address.ip().into());
        let stream = StreamOwned::new(connection.map_err(io::Error::other)?, stream);
        say(stream, request).map_err(own_certificate::explain)
    }
}

/// What a refusal says, and of each field that it names.
fn detail(body: &str) -> String {
    let content: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |of: &Value| of["detail"].as_str().map(str::to_owned);
    let errors = content["errors"].as_array().map_or(&[][..], Vec::as_slice);
    let fields = errors
        .iter()
        .filter_map(|error| Some(format!("\n{} {}", error["pointer"].as_str()?, text(error)?)));
    match errors.len() {
        0 | 1 => text(&content).unwrap_or_else(|| body.to_owned()),
        _ => text(&content).into_iter().chain(fields).collect(),
    }
}

fn say(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let remedy = match &error {
            ClientError::Unreachable { .. } => {
                "start the shop, and make http.listen the address that it serves at from this data directory"
            }
            ClientError::Refused { .. } => "mend what it says, and repeat the command",
        };
        Self {
            exit: Exit::Fault,
            what: error.to_string(),
            meaning: "what was done before that stays; the shop goes on".to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}
