//! Who clicks next: a pure sequence of purchase attempts, the same for the same seed.

use crate::random::{Random, scramble, unit_of};
use crate::scenario::{Mix, People};

/// Addresses of items that do not exist, for bots.
pub const DEAD_ITEMS: u32 = 16;
/// Accounts of the script, the last of all users.
pub const SCRIPT_ACCOUNTS: u32 = 1_000;

/// What kind of arrival this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user's first try for an item.
    Buyer,
    /// The same user and item as an earlier buyer, with a new request id.
    RepeatClicker,
    /// The same user, item and request id as an earlier buyer.
    Retrier,
    /// A script on an item that does not exist.
    Bot,
    /// A script that buys without the page.
    Script,
    /// A visitor who looks and does not buy.
    Reader,
}

/// What a reader looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Page {
    /// The page with all sales.
    Home,
    /// The page of an item.
    Item,
    /// The list of sales, as programs read it.
    Sales,
    /// How an item stands, as its page asks.
    Status,
}

impl Page {
    /// All pages, as often as readers look at them: an item's page asks again and again.
    pub const LOOKS: [Self; 8] = [
        Self::Home,
        Self::Item,
        Self::Item,
        Self::Sales,
        Self::Status,
        Self::Status,
        Self::Status,
        Self::Status,
    ];
}

/// One attempt to buy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The user who tries, counted from 0.
    pub user: u32,
    /// Which item; those from [`Plan::items`] on do not exist.
    pub item: u32,
    /// The request id: equal keys are the same request.
    pub key: u64,
    /// Why it is made.
    pub kind: Kind,
}

/// The attempts of one generator thread.
#[derive(Debug, Clone)]
pub struct Plan {
    random: Random,
    salt: u64,
    users: u64,
    items: u64,
    hot_share: f64,
    /// Running sums of the mix's weights.
    thresholds: [f64; 6],
    thread: u64,
    threads: u64,
    visits: u64,
    clicks: u64,
    /// True if a run without new buyers is pointless.
    ends_with_buyers: bool,
}

impl Plan {
    /// The share of `thread` of `threads` in the crowd that `people` describes.
    #[must_use]
    pub fn new(people: &People, items: u32, seed: u64, thread: u32, threads: u32) -> Self {
        let Mix { buyer, repeat_clicker, retrier, bot, script, reader } = people.mix;
        let thresholds = [
            buyer,
            buyer + repeat_clicker,
            buyer + repeat_clicker + retrier,
            buyer + repeat_clicker + retrier + bot,
            buyer + repeat_clicker + retrier + bot + script,
            buyer + repeat_clicker + retrier + bot + script + reader,
        ];
        Self {
            random: Random::new(scramble(seed) ^ scramble(u64::from(thread) + 1)),
            salt: scramble(seed),
            users: honest_users(people).into(),
            items: items.into(),
            hot_share: people.hot_share,
            thresholds,
            thread: thread.into(),
            threads: threads.max(1).into(),
            visits: 0,
            clicks: 0,
            ends_with_buyers: false,
        }
    }

    /// Only first tries, and no more once each user has tried each item: a comparison
    /// measures purchases, not refusals of repeats.
    #[must_use]
    pub fn distinct_only(mut self) -> Self {
        self.ends_with_buyers = true;
        self
    }

    /// Number of items that exist.
    #[must_use]
    pub fn items(&self) -> u32 {
        u32::try_from(self.items).unwrap_or(u32::MAX)
    }

    /// The next attempt; `None` if only distinct ones are wanted and all are made.
    pub fn next_attempt(&mut self) -> Option<Attempt> {
        let total = self.thresholds[5];
        let draw = self.random.unit() * total;
        let kind = match self.thresholds.iter().position(|sum| draw < *sum) {
            Some(1) => Kind::RepeatClicker,
            Some(2) => Kind::Retrier,
            Some(3) => Kind::Bot,
            Some(4) => Kind::Script,
            Some(5) => Kind::Reader,
            _ => Kind::Buyer,
        };
        match kind {
            Kind::Buyer => self.buyer(),
            Kind::Bot => Some(self.bot()),
            Kind::Script => Some(self.script()),
            Kind::Reader => Some(self.reader()),
            Kind::RepeatClicker | Kind::Retrier if self.visits == 0 => self.buyer(),
            Kind::RepeatClicker => Some(self.repeat()),
            Kind::Retrier => {
                let visit = self.earlier_visit();
                Some(Attempt { kind: Kind::Retrier, ..self.visit(visit) })
            }
        }
    }

    fn buyer(&mut self) -> Option<Attempt> {
        let visit = self.visits * self.threads + self.thread;
        if visit < self.users * self.items {
            self.visits += 1;
            Some(self.visit(visit))
        } else if self.ends_with_buyers {
            None
        } else {
            // Every user has tried every item: what is left of the crowd clicks again.
            Some(self.repeat())
        }
    }

    fn repeat(&mut self) -> Attempt {
        let visit = self.earlier_visit();
        let key = self.click_key();
        Attempt { key, kind: Kind::RepeatClicker, ..self.visit(visit) }
    }

    fn bot(&mut self) -> Attempt {
        let dead = self.random.below(DEAD_ITEMS.into());
        Attempt {
            user: small(self.random.below(self.users)),
            item: small(self.items + dead),
            key: self.click_key(),
            kind: Kind::Bot,
        }
    }

    fn script(&mut self) -> Attempt {
        Attempt {
            user: small(self.users + self.random.below(SCRIPT_ACCOUNTS.into())),
            item: small(self.random.below(self.items)),
            key: self.click_key(),
            kind: Kind::Script,
        }
    }

    fn reader(&mut self) -> Attempt {
        Attempt {
            user: small(self.random.below(self.users)),
            item: small(self.random.below(self.items)),
            key: self.random.below(u64::from(u32::MAX)),
            kind: Kind::Reader,
        }
    }

    /// Who comes for what with the first `count` first tries of the whole crowd.
    pub fn wishes(&self, count: u64) -> impl Iterator<Item = (u32, u32)> + '_ {
        let count = count.min(self.users * self.items);
        (0..count).map(|number| {
            let Attempt { user, item, .. } = self.visit(number);
            (user, item)
        })
    }

    fn earlier_visit(&mut self) -> u64 {
        self.random.below(self.visits) * self.threads + self.thread
    }

    fn click_key(&mut self) -> u64 {
        self.clicks += 1;
        ((self.clicks * self.threads + self.thread) << 1) | 1
    }

    /// The `visit`th first try of the whole crowd. Users come in turn; on their next
    /// turn they want the next item, so that no pair repeats.
    fn visit(&self, visit: u64) -> Attempt {
        let (user, turn) = (visit % self.users, visit / self.users);
        let start = scramble(user ^ self.salt);
        let hot = self.hot_share > 0.0 && unit_of(scramble(start)) < self.hot_share;
        let favourite = if hot { 0 } else { start % self.items };
        let item = (favourite + turn) % self.items;
        Attempt { user: small(user), item: small(item), key: visit << 1, kind: Kind::Buyer }
    }
}

/// Users who come by the page: all but the script's accounts, if there is a script.
#[must_use]
pub fn honest_users(people: &People) -> u32 {
    let script = if people.mix.script > 0.0 { SCRIPT_ACCOUNTS } else { 0 };
    people.users.saturating_sub(script)
}

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::scenario::{Afterwards, Retry};

    fn people(users: u32, mix: Mix) -> People {
        let (afterwards, retry) = (Afterwards::default(), Retry::default());
        People { users, hot_share: 0.5, mix, afterwards, retry }
    }

    #[test]
    fn distinct_buyers_never_repeat_a_pair_and_end() {
        let people = people(50, Mix::default());
        let mut pairs = HashSet::new();
        let mut keys = HashSet::new();
        for thread in 0..2 {
            let mut plan = Plan::new(&people, 4, 9, thread, 2).distinct_only();
            while let Some(attempt) = plan.next_attempt() {
                assert!(pairs.insert((attempt.user, attempt.item)), "{attempt:?}");
                assert!(keys.insert(attempt.key), "{attempt:?}");
            }
        }
        assert_eq!(pairs.len(), 200);
    }

    #[test]
    fn retriers_repeat_the_whole_request_and_clickers_only_the_wish() {
        let mix = Mix {
            buyer: 1.0,
            repeat_clicker: 1.0,
            retrier: 1.0,
            bot: 1.0,
            script: 1.0,
            reader: 1.0,
        };
        let mut plan = Plan::new(&people(2_000, mix), 3, 1, 0, 1);
        let (mut wishes, mut requests) = (HashSet::new(), HashSet::new());
        let mut counts = [0_u32; 6];
        for _ in 0..3_000 {
            let attempt = plan.next_attempt().expect("endless");
            let Attempt { user, item, key, kind } = attempt;
            counts[kind as usize] += 1;
            match kind {
                Kind::Buyer => {
                    wishes.insert((user, item));
                    assert!(requests.insert((user, item, key)), "{attempt:?}");
                }
                Kind::RepeatClicker => {
                    assert!(wishes.contains(&(user, item)), "{attempt:?}");
                    assert!(requests.insert((user, item, key)), "{attempt:?}");
                }
                Kind::Retrier => assert!(requests.contains(&(user, item, key)), "{attempt:?}"),
                Kind::Bot => assert!((3..3 + DEAD_ITEMS).contains(&item), "{attempt:?}"),
                Kind::Script => assert!(item < 3 && (1_000..2_000).contains(&user), "{attempt:?}"),
                Kind::Reader => assert!(item < 3, "{attempt:?}"),
            }
        }
        assert!(counts.iter().all(|count| (400..600).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_wishes_are_those_of_the_buyers_who_come() {
        let people = people(50, Mix::default());
        let mut plan = Plan::new(&people, 4, 9, 0, 1).distinct_only();
        let wishes: Vec<_> = plan.wishes(120).collect();
        let mut came = Vec::new();
        while let Some(Attempt { user, item, .. }) = plan.next_attempt() {
            came.push((user, item));
        }
        assert_eq!(wishes, came[..120]);
        assert_eq!(plan.wishes(1_000).count(), 200);
    }

    #[test]
    fn half_the_crowd_wants_the_hot_item() {
        let mut plan = Plan::new(&people(10_000, Mix::default()), 100, 3, 0, 1);
        let attempts = (0..10_000).filter_map(|_| plan.next_attempt());
        let hot = attempts.filter(|attempt| attempt.item == 0).count();
        assert!((4_800..5_400).contains(&hot), "{hot}");
    }
}
