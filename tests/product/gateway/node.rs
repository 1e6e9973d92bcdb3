//! What stands behind a gateway in place of a node, and says which it is and what it was asked.

use harness::http::Connection;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it does with a request that it has read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Answers with its number.
    Answers,
    /// Closes the connection.
    Dies,
}

/// A listener; none any more once dropped.
pub struct Node {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    listening: JoinHandle<()>,
}

impl Node {
    /// One of this number.
    pub async fn start(number: usize, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&asked);
        let listening = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, number, manner, Arc::clone(&noted)));
            }
        });
        Self { address, asked, listening }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The requests that it has read, each whole.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    manner: Manner,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut unread = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut unread).await {
        asked.lock().expect("no panic").push(request);
        if manner == Manner::Dies {
            return;
        }
        let body = number.to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn next_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(unread).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let length: usize = length.unwrap_or(0);
            if rest.len() >= length {
                let whole = head.len() + 4 + length;
                return Some(
                    String::from_utf8_lossy(&unread.drain(..whole).collect::<Vec<_>>()).into(),
                );
            }
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

/// A request's text without a body.
pub fn request(method: &str, path: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

/// Asks over a connection of its own.
pub async fn ask(address: SocketAddr, method: &str, path: &str) -> harness::http::Answer {
    let mut connection = Connection::open(address).await;
    connection.send(request(method, path).as_bytes()).await;
    connection.answer().await
}
