//! The requests of one HTTP/2 connection, which are answered in that connection's own task.
//!
//! A task for each would wake the connection's, and be woken by it: here the answers that become ready together
//! wake one task, which writes them together. What takes long in the processor has threads of its own
//! (`spawn_blocking`), whatever the protocol.

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper::rt::Executor;
use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Where hyper leaves the requests of a connection that have begun.
#[derive(Clone, Default)]
pub struct Begun(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Begun {
    fn execute(&self, request: F) {
        self.0.lock().push(Box::pin(request));
    }
}

/// The requests of a connection that are being answered. They end with it.
#[derive(Default)]
pub struct Calls {
    begun: Begun,
    open: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Calls {
    /// Where those that begin are to be left.
    pub fn begun(&self) -> Begun {
        self.begun.clone()
    }

    /// Goes on with those that can; true if one has ended, which leaves something to write.
    pub fn go_on(&mut self, context: &mut Context<'_>) -> bool {
        self.open.extend(self.begun.0.lock().drain(..));
        let mut has_ended = false;
        while let Poll::Ready(Some(())) = self.open.poll_next_unpin(context) {
            has_ended = true;
        }
        has_ended
    }
}
