//! A client that speaks HTTP/1.1 by hand, so that a test can also speak it badly.

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than a [`Connection`] waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    head: String,
    /// Its body, whole.
    pub body: Vec<u8>,
}

impl Answer {
    /// The header's value, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The values of all headers of this name.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim()).collect()
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// If it is no text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}{}", self.head, self.text()))
    }

    /// The code of a problem; empty if the answer is none.
    pub fn code(&self) -> String {
        if self.status < 400 {
            return String::new();
        }
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code of a problem that has everything a problem must have.
    ///
    /// # Panics
    ///
    /// If something is missing.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status, "{json}");
        assert_eq!(json["request_id"].as_str(), self.header("x-request-id"), "{json}");
        for field in ["type", "title", "detail"] {
            assert!(json[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {json}");
        }
        let code = json["code"].as_str().expect("a code").to_owned();
        let may_wait = self.status == 503 || code == "rate_limited";
        assert_eq!(may_wait, self.header("retry-after").is_some(), "{self:?}");
        (self.status, code)
    }

    /// The number that this field of a JSON body holds as text.
    ///
    /// # Panics
    ///
    /// If it holds something else.
    pub fn id(&self, field: &str) -> u64 {
        let json = self.json();
        json[field].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{json}"))
    }

    fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection whose every byte the test chooses.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    ///
    /// If nothing listens there.
    pub async fn open(address: SocketAddr) -> Self {
        Self::connect(address).await.expect("the server listens")
    }

    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Sends these bytes.
    ///
    /// # Panics
    ///
    /// If the server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    /// Sends as much as the server takes before it closes; false if that is not all.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next answer, whole.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("the server answers")
    }

    /// The next answer, or none if the server closes without one.
    ///
    /// # Panics
    ///
    /// If an answer breaks off, or the server says nothing for half a minute.
    pub async fn try_answer(&mut self) -> Option<Answer> {
        match in_time(self.read_answer()).await {
            Ok(answer) => Some(answer),
            Err(error) if self.unread.is_empty() => {
                assert_ne!(error.kind(), ErrorKind::InvalidData, "{error}");
                None
            }
            Err(error) => panic!("the answer broke off: {error}"),
        }
    }

    /// The next answer's head, or none if the server closes without one.
    ///
    /// # Panics
    ///
    /// If it breaks off, or the server says nothing for half a minute.
    pub async fn head(&mut self) -> Option<String> {
        match in_time(self.read_head()).await {
            Ok(head) => Some(head),
            Err(_) if self.unread.is_empty() => None,
            Err(error) => panic!("the head broke off: {error}"),
        }
    }

    /// The next chunk of a body that comes in chunks; none after the last.
    ///
    /// # Panics
    ///
    /// If it breaks off, or the server says nothing for half a minute.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        in_time(self.read_chunk()).await.expect("the chunks go on")
    }

    /// Reads until the server closes; how many bytes came.
    ///
    /// # Panics
    ///
    /// If the server neither says anything nor closes for half a minute.
    pub async fn closed(&mut self) -> usize {
        let mut bytes = self.unread.len();
        self.unread.clear();
        while in_time(self.more()).await.is_ok() {
            bytes += self.unread.len();
            self.unread.clear();
        }
        bytes
    }

    /// Reads until `wanted` came; false if the server closes without it.
    ///
    /// # Panics
    ///
    /// If the server neither says anything nor closes for half a minute.
    pub async fn read_until(&mut self, wanted: &[u8]) -> bool {
        while find(&self.unread, wanted).is_none() {
            if in_time(self.more()).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let head = self.read_head().await?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, head.clone()))?;
        let mut answer = Answer { status, head, body: Vec::new() };
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| ErrorKind::InvalidData)?;
            while self.unread.len() < length {
                self.more().await.map_err(|_| broken_off(&answer.head))?;
            }
            answer.body = self.unread.drain(..length).collect();
        } else if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.read_chunk().await.map_err(|_| broken_off(&answer.head))? {
                answer.body.extend(chunk);
            }
        }
        Ok(answer)
    }

    async fn read_head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            self.more().await?;
        }
    }

    async fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line = std::str::from_utf8(&self.unread[..end]).ok();
                let length = line.and_then(|line| usize::from_str_radix(line, 16).ok());
                let length = length.ok_or(ErrorKind::InvalidData)?;
                if self.unread.len() >= end + 2 + length + 2 {
                    let chunk = self.unread[end + 2..end + 2 + length].to_vec();
                    self.unread.drain(..end + 2 + length + 2);
                    return Ok((length > 0).then_some(chunk));
                }
            }
            self.more().await?;
        }
    }

    /// Reads what is there; an error if the connection is closed or reset.
    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// An answer that began and did not end, which is not the same as none.
fn broken_off(head: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the body broke off after {head}"))
}

async fn in_time<T>(reading: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, reading).await.expect("the server says something in time")
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// A well-behaved client: one connection, opened again where the server has closed it after an
/// answer, and as patient as its caller.
pub struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
    request: String,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error if nothing listens there.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let connection = Some(Connection::connect(address).await?);
        Ok(Self { address, connection, request: String::new() })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// Returns the operating system's error if the connection ends first; the request may or may
    /// not have arrived.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        let mut request = std::mem::take(&mut self.request);
        request.clear();
        // Writing to a string cannot fail.
        let _ = write!(request, "{method} {path} HTTP/1.1\r\nhost: test\r\n");
        if !token.is_empty() {
            let _ = write!(request, "authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request.push_str("content-type: application/json\r\n");
        }
        let _ = write!(request, "content-length: {}\r\n\r\n{body}", body.len());
        let answer = self.exchange(request.as_bytes()).await;
        self.request = request;
        if answer.as_ref().map_or(true, Answer::closes) {
            self.connection = None;
        }
        answer
    }

    /// Sends these bytes and reads one answer.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub async fn exchange(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        let connection = match &mut self.connection {
            Some(open) => open,
            closed => closed.insert(Connection::connect(self.address).await?),
        };
        // A server that has heard enough answers and closes while there is more to send.
        let sent = connection.stream.write_all(bytes).await;
        match connection.read_answer().await {
            Err(error) => Err(sent.err().unwrap_or(error)),
            answer => answer,
        }
    }
}
