//! A few requests to the shop, as its operators send them: for commands that ask a shop which runs.
//!
//! HTTP/1.0, one connection for each request, JSON both ways. Must not know what is asked.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the shop may take to accept a connection, and for each answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
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
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Where the shop listens.
    pub address: SocketAddr,
}

impl Client {
    /// Sends a request with this token, and returns the answer's body. Blocks.
    ///
    /// # Errors
    /// Returns [`ClientError`] if there is no answer, or it is not one of success.
    pub fn ask(
        self,
        method: &'static str,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let Self { address } = self;
        let unreachable = |source| ClientError::Unreachable { address, source };
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = exchange(address, method, path, token, &body).map_err(unreachable)?;
        let malformed = || unreachable(io::Error::other("what it says is not HTTP"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or_else(malformed)?;
        let content: Value = serde_json::from_str(body).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(content);
        }
        let detail = content["detail"].as_str().unwrap_or(body).to_owned();
        Err(ClientError::Refused { method, path: path.to_owned(), status, detail })
    }
}

fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let content = match body {
        "" => String::new(),
        body => format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()),
    };
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n{content}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
