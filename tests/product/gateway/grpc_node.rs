//! What stands behind a gateway in place of a node that is called by gRPC, and says which it is or dies.

use super::node::Manner;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A listener; none any more once dropped. It tells its number as the message of a status, and over HTTP/1.1 as the
/// body.
pub struct GrpcNode {
    address: String,
    called: Arc<Mutex<Vec<String>>>,
    listening: JoinHandle<()>,
}

impl GrpcNode {
    /// One of this number.
    pub async fn start(number: usize, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let called = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&called);
        let listening = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, number, manner, Arc::clone(&noted)));
            }
        });
        Self { address, called, listening }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The paths of the calls that it has read, each whole, with the address that each is said to come from.
    pub fn called(&self) -> Vec<String> {
        self.called.lock().expect("no panic").clone()
    }
}

impl Drop for GrpcNode {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(stream: TcpStream, number: usize, manner: Manner, called: Arc<Mutex<Vec<String>>>) {
    let dies = Arc::new(Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        let (called, dies) = (Arc::clone(&called), Arc::clone(&dies));
        async move {
            let version = request.version();
            note(request, &called).await;
            if manner == Manner::Dies {
                dies.notify_one();
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(answer(number, version))
        }
    });
    let builder = Builder::new(TokioExecutor::new());
    tokio::select! {
        // It ends as its client wants.
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = dies.notified() => {}
    }
}

async fn note(request: Request<Incoming>, called: &Mutex<Vec<String>>) {
    let (head, body) = request.into_parts();
    if body.collect().await.is_ok() {
        let from = head.headers.get("x-forwarded-for").and_then(|from| from.to_str().ok());
        let call = format!("{} from {}", head.uri.path(), from.unwrap_or("nobody"));
        called.lock().expect("no panic").push(call);
    }
}

fn answer(number: usize, version: Version) -> Response<Full<Bytes>> {
    let number = number.to_string();
    let answer = match version {
        // Trailers alone, as gRPC has them: FAILED_PRECONDITION.
        Version::HTTP_2 => Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "9")
            .header("grpc-message", number)
            .body(Full::default()),
        _ => Response::builder().body(Full::new(Bytes::from(number))),
    };
    answer.expect("an answer")
}
