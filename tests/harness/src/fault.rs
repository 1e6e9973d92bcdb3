//! What a test orders of a proxy, and what the test and the proxy's thread both look at.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::process::WAIT_MAX;

/// Which end of a proxied connection sent some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The one that connected to the proxy.
    Client,
    /// The one that the proxy connects to.
    Server,
}

/// A fault that happens once, when certain bytes come by.
#[derive(Debug)]
pub(crate) enum Trap {
    After { sender: Sender, bytes_left: u64 },
    AnswerTo { pattern: Vec<u8> },
}

/// What the test wants now; each connection watches it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    /// Counts the orders, so that their giver can wait until one is carried out.
    pub(crate) version: u64,
    pub(crate) link: Link,
    /// In each direction.
    pub(crate) delay: Duration,
    /// How often the open connections were to be dropped, and to be half closed.
    pub(crate) cuts: u64,
    pub(crate) half_closes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    #[default]
    Up,
    /// Nothing listens.
    Cut,
    /// Connections are accepted and stay; no byte moves.
    Blackhole,
    /// Only what this side sends arrives.
    OneWay(Sender),
}

impl Link {
    /// Whether what this side sends is passed on.
    pub(crate) fn passes(self, sender: Sender) -> bool {
        match self {
            Self::Up => true,
            Self::Cut | Self::Blackhole => false,
            Self::OneWay(heard) => heard == sender,
        }
    }
}

/// What both sides of the thread look at.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) trap: Option<Trap>,
    pub(crate) traps_sprung: u64,
    pub(crate) connections: usize,
    pub(crate) applied_version: u64,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), WAIT_MAX, |state| !condition(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(condition(&state), "waited {WAIT_MAX:?} for {what} of a proxy: {state:?}");
    }
}
