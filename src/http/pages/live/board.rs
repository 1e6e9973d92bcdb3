//! Where the live figures meet: the sampler writes here, and those who watch read.
//!
//! What is sent is rendered once a second for all of them; who is slow gets the latest look and not
//! those between. Must not know where figures come from.

use super::keeping;
use super::look::{Look, Witness};
use super::ring::{ITEMS_MAX, Rings};
use crate::http::problem::{Code, Problem};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::watch;

/// Those who may watch at the same time.
pub const VIEWERS_MAX: usize = 32;

/// A look, and the event that tells it.
#[derive(Debug)]
pub struct Update {
    /// What was found.
    pub look: Look,
    /// The event, ready to be sent.
    pub event: Bytes,
}

/// The live figures.
#[derive(Debug)]
pub struct Board {
    /// The figures' history.
    pub rings: Mutex<Rings>,
    /// What is known of the items in the rings' places beside their counters.
    pub notes: Mutex<[Note; ITEMS_MAX]>,
    latest: watch::Sender<Option<Arc<Update>>>,
    viewers: AtomicUsize,
}

/// What is known of an item beside its counters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Note {
    /// What it is called, once the catalogue has told.
    pub title: Option<String>,
    /// Whether the order store agrees with its counters.
    pub witness: Witness,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            rings: Mutex::default(),
            notes: Mutex::default(),
            latest: watch::Sender::new(None),
            viewers: AtomicUsize::new(0),
        }
    }
}

impl Board {
    /// A board with the history that was kept in `kept`, up to the second `now`. What is no history of
    /// this version is left out.
    pub fn with_history(kept: &[u8], now: u32) -> Self {
        let rings = keeping::decode(kept, now).unwrap_or_default();
        Self { rings: Mutex::new(rings), ..Self::default() }
    }

    /// The history, to be kept over a restart.
    pub fn history(&self) -> Vec<u8> {
        keeping::encode(&mut self.rings.lock())
    }

    /// Shows a look to all who watch.
    pub fn show(&self, look: Look) {
        let mut event = format!("id: {}\nevent: figures\ndata: ", look.at).into_bytes();
        event.extend_from_slice(&look.render());
        event.extend_from_slice(b"\n\n");
        self.latest.send_replace(Some(Arc::new(Update { look, event: event.into() })));
    }

    /// The latest look; none before the first.
    pub fn latest(&self) -> Option<Arc<Update>> {
        self.latest.borrow().clone()
    }

    /// How many watch.
    pub fn viewers(&self) -> usize {
        self.viewers.load(Relaxed)
    }

    /// Lets one more watch, until the viewer is dropped.
    ///
    /// # Errors
    /// Returns an `overloaded` problem if `VIEWERS_MAX` do.
    pub fn watch(self: &Arc<Self>) -> Result<Viewer, Problem> {
        let more = |viewers: usize| (viewers < VIEWERS_MAX).then_some(viewers + 1);
        if self.viewers.try_update(Relaxed, Relaxed, more).is_err() {
            return Err(Problem::new(Code::Overloaded, "too many watch the live figures"));
        }
        Ok(Viewer { looks: self.latest.subscribe(), board: Arc::clone(self) })
    }
}

/// One who watches.
#[derive(Debug)]
pub struct Viewer {
    looks: watch::Receiver<Option<Arc<Update>>>,
    board: Arc<Board>,
}

impl Viewer {
    /// The next look, or the latest one if several have come; none once nobody looks any more.
    pub async fn next(&mut self) -> Option<Arc<Update>> {
        loop {
            self.looks.changed().await.ok()?;
            if let Some(update) = self.looks.borrow_and_update().clone() {
                return Some(update);
            }
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.board.viewers.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::look::tests::nothing;
    use super::*;

    #[tokio::test]
    async fn who_is_slow_gets_the_latest_look() {
        let board = Arc::new(Board::default());
        assert!(board.latest().is_none());
        let mut viewer = board.watch().expect("there is room");
        for at in 1..=3 {
            board.show(Look { at, ..nothing() });
        }
        let update = viewer.next().await.expect("a look");
        assert_eq!(update.look.at, 3);
        assert!(update.event.starts_with(b"id: 3\nevent: figures\ndata: {"));
        assert!(update.event.ends_with(b"}\n\n"));
    }

    #[test]
    fn watching_has_a_bound_of_its_own() {
        let board = Arc::new(Board::default());
        let viewers: Vec<Viewer> =
            (0..VIEWERS_MAX).map(|_| board.watch().expect("there is room")).collect();
        let refused = board.watch().map_err(|problem| problem.code).err();
        assert_eq!(refused, Some(Code::Overloaded));
        drop(viewers);
        assert_eq!(board.viewers(), 0);
        assert!(board.watch().is_ok());
    }
}
