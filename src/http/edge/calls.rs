//! The requests of one HTTP/2 connection, which are answered in that connection's own task.
//!
//! A task for each would wake the connection's, and be woken by it: here the answers that become ready together
//! wake one task, which writes them together. What takes long in the processor has threads of its own
//! (`spawn_blocking`), whatever the protocol. One that panics ends alone.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper::rt::Executor;
use parking_lot::Mutex;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Where hyper leaves the requests of a connection that have begun.
#[derive(Clone, Default)]
pub struct Begun(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Begun {
    fn execute(&self, request: F) {
        // What a panic leaves behind is dropped with the request: its stream is reset.
        let contained = AssertUnwindSafe(request).catch_unwind().map(drop);
        self.0.lock().push(contained.boxed());
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::sync::oneshot;

    fn go_on(calls: &mut Calls) -> bool {
        calls.go_on(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn each_is_answered_when_it_can_be_and_one_that_panics_ends_alone() {
        let mut calls = Calls::default();
        let begun = calls.begun();
        let (answer, answered) = oneshot::channel();
        begun.execute(async move { answered.await.expect("an answer") });
        begun.execute(async { panic!("planted") });
        begun.execute(pending());
        assert!(go_on(&mut calls), "the one that panicked has ended");
        assert_eq!(calls.open.len(), 2);
        assert!(!go_on(&mut calls), "the others wait");
        answer.send(()).expect("it waits still");
        begun.execute(ready(()));
        assert!(go_on(&mut calls), "one was answered and one had nothing to wait for");
        assert_eq!(calls.open.len(), 1);
    }
}
