//! The desk of one generator thread: what is due, what waits, and which connections
//! are free. Single-threaded; nothing here touches the network or the clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::task::Waker;

use crate::plan::Kind;

/// Most requests that wait for a free connection in one thread. Beyond it an arrival is
/// counted as not offered: the report says so, and memory stays bounded.
pub const WAITING_MAX: usize = 1_000_000;

/// One request to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    /// When it is meant to start, in nanoseconds since the load began.
    pub intended_ns: u64,
    /// What it is.
    pub action: Action,
    /// How often it was tried before.
    pub tries: u8,
    /// True if an earlier try may have been carried out.
    pub in_doubt: bool,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Buys one unit.
    Buy {
        /// Which user.
        user: u32,
        /// Which item.
        item: u32,
        /// The request id.
        key: u64,
        /// True if an order that comes of it is this client's to pay or cancel.
        owner: bool,
    },
    /// Pays an order.
    Pay {
        /// Whose order.
        user: u32,
        /// Which order.
        order: u64,
    },
    /// Cancels an order.
    Cancel {
        /// Whose order.
        user: u32,
        /// Which order.
        order: u64,
    },
}

impl Action {
    /// A purchase attempt of the plan.
    #[must_use]
    pub fn buy(attempt: crate::plan::Attempt) -> Self {
        let crate::plan::Attempt { user, item, key, kind } = attempt;
        Self::Buy { user, item, key, owner: matches!(kind, Kind::Buyer | Kind::RepeatClicker) }
    }
}

/// Queues and seats of one thread.
#[derive(Debug)]
pub struct Desk {
    waiting: VecDeque<Job>,
    later: BinaryHeap<Reverse<Job>>,
    /// Free connections, the one used last on top.
    free: Vec<usize>,
    seats: Vec<Seat>,
    busy: usize,
    closing: bool,
    waiting_max: usize,
}

#[derive(Debug, Default)]
struct Seat {
    job: Option<Job>,
    waker: Option<Waker>,
}

/// What a connection does next.
#[derive(Debug)]
pub enum Next {
    /// This request.
    Job(Job),
    /// Nothing is due.
    Rest,
    /// The run is over.
    Leave,
}

impl Desk {
    /// A desk with `connections` seats, all free.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            later: BinaryHeap::new(),
            free: Vec::with_capacity(connections),
            seats: (0..connections).map(|_| Seat::default()).collect(),
            // Each connection takes its seat by asking for its first job.
            busy: connections,
            closing: false,
            waiting_max: 0,
        }
    }

    /// A request is due now; false if too many wait already.
    pub fn hand_out(&mut self, job: Job) -> bool {
        if let Some(seat) = self.free.pop() {
            self.busy += 1;
            let seat = &mut self.seats[seat];
            seat.job = Some(job);
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
            return true;
        }
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.waiting.push_back(job);
        self.waiting_max = self.waiting_max.max(self.waiting.len());
        true
    }

    /// A request becomes due later.
    pub fn put_off(&mut self, job: Job) {
        self.later.push(Reverse(job));
    }

    /// A put-off request that is due at `now_ns`.
    pub fn due(&mut self, now_ns: u64) -> Option<Job> {
        let Reverse(first) = self.later.peek()?;
        if first.intended_ns > now_ns {
            return None;
        }
        self.later.pop().map(|Reverse(job)| job)
    }

    /// When the next put-off request is due.
    #[must_use]
    pub fn next_due_ns(&self) -> Option<u64> {
        self.later.peek().map(|Reverse(job)| job.intended_ns)
    }

    /// A connection that has finished asks for work: what waits comes first, then what
    /// `fresh` supplies (the closed loop's next attempt). With neither it rests.
    pub fn ask(&mut self, seat: usize, fresh: impl FnOnce() -> Option<Job>) -> Next {
        if self.closing {
            self.busy -= 1;
            return Next::Leave;
        }
        if let Some(job) = self.waiting.pop_front().or_else(fresh) {
            return Next::Job(job);
        }
        self.busy -= 1;
        self.free.push(seat);
        Next::Rest
    }

    /// A resting connection looks whether it was given something.
    pub fn look(&mut self, seat: usize, waker: &Waker) -> Next {
        let place = &mut self.seats[seat];
        if let Some(job) = place.job.take() {
            return Next::Job(job);
        }
        if self.closing {
            return Next::Leave;
        }
        if !place.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            place.waker = Some(waker.clone());
        }
        Next::Rest
    }

    /// True when nothing is under way, waits or will become due.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.busy == 0 && self.waiting.is_empty() && self.later.is_empty()
    }

    /// Sends everybody home. What waits is dropped and returned.
    pub fn close(&mut self) -> Vec<Job> {
        self.closing = true;
        for seat in &mut self.seats {
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
        }
        let later = self.later.drain().map(|Reverse(job)| job);
        self.waiting.drain(..).chain(later).collect()
    }

    /// Most requests that waited at one time.
    #[must_use]
    pub fn waiting_max(&self) -> usize {
        self.waiting_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(intended_ns: u64) -> Job {
        Job { intended_ns, action: Action::Pay { user: 0, order: 1 }, tries: 0, in_doubt: false }
    }

    #[test]
    fn what_waits_goes_first_and_in_order() {
        let mut desk = Desk::new(1);
        assert!(desk.hand_out(job(1)) && desk.hand_out(job(2)));
        for expected in [1, 2] {
            let Next::Job(next) = desk.ask(0, || None) else { panic!("nothing to do") };
            assert_eq!(next.intended_ns, expected);
        }
        assert!(matches!(desk.ask(0, || None), Next::Rest));
        assert!(desk.is_quiet());
        assert_eq!(desk.waiting_max(), 2);
    }

    #[test]
    fn a_resting_connection_is_given_what_is_due() {
        let mut desk = Desk::new(1);
        assert!(matches!(desk.ask(0, || None), Next::Rest));
        desk.put_off(job(5));
        assert_eq!(desk.due(4), None);
        let due = desk.due(5).expect("due");
        assert!(desk.hand_out(due));
        assert!(!desk.is_quiet());
        assert!(matches!(desk.look(0, Waker::noop()), Next::Job(_)));
        assert!(matches!(desk.ask(0, || None), Next::Rest));
        desk.put_off(job(9));
        assert_eq!(desk.close().len(), 1);
        assert!(matches!(desk.look(0, Waker::noop()), Next::Leave));
    }
}
