//! What goes wrong in a run, and how often: each run has weather of its own, so that some have only one
//! kind of fault, and that often.

use harness::Random;

/// How often things go wrong. Of a thousand messages, or of a hundred occasions.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Messages that never arrive, of a thousand.
    pub lost: u64,
    /// Messages that arrive seconds later.
    pub late: u64,
    /// Calls that arrive twice.
    pub doubled: u64,
    /// Appends that find no room.
    pub full: u64,
    /// Trims whose answer is lost, of a hundred.
    pub trim_faults: u64,
    /// The mean time between two mishaps of nodes and stores, in milliseconds.
    pub mishap_every: u64,
    /// The weights of the mishaps.
    pub mishaps: [u64; 7],
    /// Shards that are given away, of a hundred looks.
    pub given_away: u64,
}

/// What can happen to a node or a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mishap {
    Pause,
    Death,
    Cut,
    Deafness,
    LeaseEnded,
    CheckpointsLost,
    StoresAway,
}

impl Mishap {
    pub const ALL: [Self; 7] = [
        Self::Pause,
        Self::Death,
        Self::Cut,
        Self::Deafness,
        Self::LeaseEnded,
        Self::CheckpointsLost,
        Self::StoresAway,
    ];
}

impl Weather {
    pub fn draw(random: &mut Random) -> Self {
        let mut rate = |most: u64| if random.once_in(2) { random.below(most) } else { 0 };
        Self {
            lost: rate(80),
            late: rate(80),
            doubled: rate(80),
            full: rate(30),
            trim_faults: rate(60),
            given_away: rate(12),
            mishaps: [(); 7].map(|()| rate(4)),
            mishap_every: 400 + random.below(2_500),
        }
    }

    /// One of the mishaps that this weather has.
    pub fn mishap(&self, random: &mut Random) -> Option<Mishap> {
        let sum: u64 = self.mishaps.iter().sum();
        let mut at = if sum == 0 { return None } else { random.below(sum) };
        for (mishap, weight) in Mishap::ALL.into_iter().zip(self.mishaps) {
            if at < weight {
                return Some(mishap);
            }
            at -= weight;
        }
        None
    }
}
