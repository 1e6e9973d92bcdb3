//! The limits that callers are held to: of a user, of an address, of an item, and of all together.
//!
//! They are those of this process: nodes do not count together, because that would put a network on the
//! way of a purchase. Must not know requests, and changes nothing in an answer but by what it returns.

mod options;
mod quota_cell;
mod standing;
mod table;

pub use options::LimitOptions;
pub use standing::{Policy, Standing};
pub use table::{RateTable, TICKS_PER_SECOND, ticks};

use domain::rate::Quota;
use domain::{Address, UserId};
use quota_cell::QuotaCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How much more a network of 48 bits may ask for than one of 64.
const SITE_FACTOR: u32 = 8;
/// What is counted for all, or for an item, is counted in nanoseconds.
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;
/// What an item or all of them may take at once, as a part of a second: enough for what arrives between
/// two turns of a worker.
const SHARED_BURST_PART: u32 = 10;
/// An address with so many log-ins in the last minute shares the queue with others like it.
const CROWD_LOGINS: u32 = 8;

/// The limits, and all that is counted for them.
#[derive(Debug)]
pub struct Limits {
    rules: Rules,
    /// Purchases by user and by address: debts of seconds.
    purchases: RateTable,
    /// What is rare and dear: debts of minutes, which must not get in the way of a purchase.
    admissions: RateTable,
    global: AtomicU64,
}

/// The limits as quotas.
#[derive(Debug)]
struct Rules {
    user: Limit,
    address: Limit,
    login_address: Limit,
    login_name: Limit,
    token_user: Limit,
    item: QuotaCell,
    global: QuotaCell,
}

/// A limit that a caller is told by its name.
#[derive(Debug)]
struct Limit {
    name: &'static str,
    quota: QuotaCell,
}

/// Which of the limits that all callers share has been reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Saturated {
    /// In how many seconds to try again.
    pub wait_seconds: u32,
}

/// What is counted: the kind keeps keys of different kinds apart.
#[derive(Hash)]
enum Key<'a> {
    User(UserId),
    Subscriber(Address),
    Site(Address),
    LoginAs(&'a str, Address),
    Token(UserId),
}

impl Limit {
    fn named(name: &'static str) -> Self {
        Self { name, quota: QuotaCell::default() }
    }

    /// The limit as it is now, if there is one.
    #[inline]
    fn policy(&self) -> Option<Policy> {
        self.quota.get().map(|quota| Policy { name: self.name, quota })
    }
}

impl Rules {
    fn new(options: &LimitOptions) -> Self {
        let rules = Self {
            user: Limit::named("user"),
            address: Limit::named("address"),
            login_address: Limit::named("login-address"),
            login_name: Limit::named("login-name"),
            token_user: Limit::named("token"),
            item: QuotaCell::default(),
            global: QuotaCell::default(),
        };
        rules.set(options);
        rules
    }

    fn set(&self, options: &LimitOptions) {
        let second = |count: u32, burst: u32| Quota::new(count, TICKS_PER_SECOND, burst.max(1));
        let minute = |count: u32| Quota::new(count, 60 * TICKS_PER_SECOND, count);
        let shared = |count: u32| {
            Quota::new(count, NANOSECONDS_PER_SECOND, count.div_ceil(SHARED_BURST_PART))
        };
        self.user.quota.set(second(options.user_per_second, options.user_burst));
        self.address.quota.set(second(options.address_per_second, options.address_burst));
        self.login_address.quota.set(minute(options.login_address_per_minute));
        self.login_name.quota.set(minute(options.login_name_per_minute));
        self.token_user.quota.set(minute(options.token_user_per_minute));
        self.item.set(shared(options.item_per_second));
        self.global.set(shared(options.global_per_second));
    }
}

impl Limits {
    /// Makes limits that have seen nobody, with two tables of `table_bytes` each.
    pub fn new(options: &LimitOptions, table_bytes: usize) -> Self {
        Self {
            rules: Rules::new(options),
            purchases: RateTable::of_bytes(table_bytes),
            admissions: RateTable::of_bytes(table_bytes),
            global: AtomicU64::new(0),
        }
    }

    /// Changes the limits. What was counted stays.
    pub fn set(&self, options: &LimitOptions) {
        self.rules.set(options);
    }

    /// Counts a purchase of this user.
    ///
    /// # Errors
    /// Returns how the user stands if it is one too many.
    pub fn purchase_of_user(
        &self,
        user_id: UserId,
        now: Duration,
    ) -> Result<Option<Standing>, Standing> {
        let Some(policy) = self.rules.user.policy() else { return Ok(None) };
        policy.judge(self.purchases.take(Key::User(user_id), policy.quota, ticks(now)))
    }

    /// Counts a purchase from this address.
    ///
    /// # Errors
    /// Returns how the address stands if it is one too many.
    pub fn purchase_from(
        &self,
        address: Address,
        now: Duration,
    ) -> Result<Option<Standing>, Standing> {
        let Some(policy) = self.rules.address.policy() else { return Ok(None) };
        take_from(&self.purchases, policy, address, ticks(now)).map(|(_, standing)| standing)
    }

    /// Counts a purchase of an item that has to be decided, by the item's own cell.
    ///
    /// # Errors
    /// Returns [`Saturated`] if the item, or all of them together, had as many as they may have.
    pub fn decision_of_item(&self, cell: &AtomicU64, now: Duration) -> Result<(), Saturated> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        take_shared(self.rules.item.get(), cell, now)?;
        take_shared(self.rules.global.get(), &self.global, now)
    }

    /// Counts a log-in or a registration with this name from this address. Returns whether the address
    /// has had so many that it waits with others like it.
    ///
    /// # Errors
    /// Returns how the caller stands if it is one too many, of the name from this address or of the
    /// address.
    pub fn log_in(&self, name: &str, address: Address, now: Duration) -> Result<bool, Standing> {
        // First the narrower one: who tries one name again and again does not use up what others behind
        // the same address have.
        self.log_in_as(name, address, now)?;
        self.log_in_from(address, now)
    }

    /// Counts a log-in from this address alone, for one whose name is not known before something dear is
    /// done. Returns whether the address has had so many that it waits with others like it.
    ///
    /// # Errors
    /// Returns how the address stands if it is one too many.
    pub fn log_in_from(&self, address: Address, now: Duration) -> Result<bool, Standing> {
        let Some(policy) = self.rules.login_address.policy() else { return Ok(false) };
        let (remaining, _) = take_from(&self.admissions, policy, address, ticks(now))?;
        Ok(policy.quota.burst().saturating_sub(remaining) > CROWD_LOGINS)
    }

    /// Counts a log-in with this name from this address, of the name alone.
    ///
    /// # Errors
    /// Returns how the name stands if it is one too many.
    pub fn log_in_as(&self, name: &str, address: Address, now: Duration) -> Result<(), Standing> {
        let Some(policy) = self.rules.login_name.policy() else { return Ok(()) };
        let key = Key::LoginAs(name, address.subscriber());
        policy.judge(self.admissions.take(key, policy.quota, ticks(now))).map(drop)
    }

    /// Counts a buy token that this user asks for.
    ///
    /// # Errors
    /// Returns how the user stands if it is one too many.
    pub fn token_of_user(&self, user_id: UserId, now: Duration) -> Result<(), Standing> {
        let Some(policy) = self.rules.token_user.policy() else { return Ok(()) };
        let decision = self.admissions.take(Key::Token(user_id), policy.quota, ticks(now));
        policy.judge(decision).map(drop)
    }
}

/// Takes one from an address, and one from the network that it may be a part of. Returns how many the
/// address has left, and how it stands if that is little.
fn take_from(
    table: &RateTable,
    policy: Policy,
    address: Address,
    now: u64,
) -> Result<(u32, Option<Standing>), Standing> {
    let own = table.find(Key::Subscriber(address.subscriber()));
    let site = address.site().map(|site| table.find(Key::Site(site)));
    let own = own.take(policy.quota, now);
    let standing = policy.judge(own)?;
    let Some(site) = site else { return Ok((own.remaining, standing)) };
    let policy = Policy { quota: policy.quota.times(SITE_FACTOR), ..policy };
    let of_site = policy.judge(site.take(policy.quota, now))?;
    Ok((own.remaining, Standing::tighter(standing, of_site)))
}

/// Takes one from a bucket that all share.
fn take_shared(quota: Option<Quota>, cell: &AtomicU64, now: u64) -> Result<(), Saturated> {
    let Some(quota) = quota else { return Ok(()) };
    let mut full_at = cell.load(Relaxed);
    loop {
        let decision = quota.decide(full_at, now);
        let Some(next) = decision.full_at else {
            let seconds = decision.wait.div_ceil(NANOSECONDS_PER_SECOND).max(1);
            return Err(Saturated { wait_seconds: u32::try_from(seconds).unwrap_or(u32::MAX) });
        };
        match cell.compare_exchange_weak(full_at, next, Relaxed, Relaxed) {
            Ok(_) => return Ok(()),
            Err(changed) => full_at = changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    const NOTHING_COUNTED: LimitOptions = LimitOptions::NONE;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    fn limits(options: &LimitOptions) -> Limits {
        Limits::new(options, 1 << 16)
    }

    proptest! {
        /// A buyer who waits as long as told is admitted, and one who comes a second early is not.
        #[test]
        fn what_a_buyer_is_told_is_true_to_the_second(
            rate in 1_u32..50,
            burst in 1_u32..40,
            pauses in proptest::collection::vec(0_u64..400, 1..120),
        ) {
            let options =
                LimitOptions { user_per_second: rate, user_burst: burst, ..NOTHING_COUNTED };
            let limits = limits(&options);
            let user_id = UserId(7);
            let mut now = Duration::from_millis(12_345);
            for pause in pauses {
                now += Duration::from_millis(pause);
                let told = match limits.purchase_of_user(user_id, now) {
                    Ok(None) => continue,
                    Ok(Some(standing)) => {
                        // As many more as it says, and then no more.
                        prop_assert!(standing.remaining() < burst.div_ceil(5));
                        continue;
                    }
                    Err(standing) => standing,
                };
                prop_assert_eq!((told.policy(), told.remaining()), ("user", 0));
                let seconds = u64::from(told.wait_seconds());
                let early = now + Duration::from_secs(seconds - 1);
                prop_assert!(limits.purchase_of_user(user_id, early).is_err(), "{early:?}");
                now += Duration::from_secs(seconds);
                prop_assert!(limits.purchase_of_user(user_id, now).is_ok(), "{now:?}");
            }
        }
    }

    #[test]
    fn one_address_has_many_forms_and_a_site_has_many_networks() {
        let options = LimitOptions { address_per_second: 1, address_burst: 4, ..NOTHING_COUNTED };
        let limits = limits(&options);
        let admitted = |texts: &mut dyn Iterator<Item = String>| {
            texts.filter(|text| limits.purchase_from(address(text), Duration::ZERO).is_ok()).count()
        };
        let mut forms = ["192.0.2.1", "::ffff:192.0.2.1"].into_iter().cycle().map(str::to_owned);
        assert_eq!(admitted(&mut forms.by_ref().take(10)), 4);
        // Hosts of one network of 64 bits.
        assert_eq!(admitted(&mut (0..20).map(|host| format!("2001:db8::{host:x}"))), 4);
        // Networks of one of 48 bits: eight times as much.
        let networks = (0..200).map(|network| format!("2001:db8:7:{network:x}::1"));
        assert_eq!(admitted(&mut networks.into_iter()), 32);
        assert_eq!(admitted(&mut ["2001:db8:8::1".to_owned()].into_iter()), 1);
    }

    #[test]
    fn names_are_limited_by_address_and_addresses_by_all_names() {
        let options = LimitOptions {
            login_address_per_minute: 12,
            login_name_per_minute: 3,
            ..NOTHING_COUNTED
        };
        let limits = limits(&options);
        let log_in = |name: &str, from: &str| {
            limits.log_in(name, address(from), Duration::ZERO).map_err(|standing| standing.policy())
        };
        for _ in 0..3 {
            assert_eq!(log_in("ann", "192.0.2.1"), Ok(false));
        }
        for _ in 0..50 {
            assert_eq!(log_in("ann", "192.0.2.1"), Err("login-name"));
        }
        // Neither ann elsewhere nor her neighbour is kept out, although one of them is many.
        assert_eq!(log_in("ann", "192.0.2.2"), Ok(false));
        let neighbours: Vec<_> = (0..10).map(|n| log_in(&format!("n{n}"), "192.0.2.1")).collect();
        let crowd = [Ok(false), Ok(false), Ok(false), Ok(false), Ok(false)];
        assert_eq!(neighbours[..5], crowd);
        assert_eq!(neighbours[5..9], [Ok(true), Ok(true), Ok(true), Ok(true)]);
        assert_eq!(neighbours[9], Err("login-address"));
    }

    #[test]
    fn items_and_all_of_them_share_their_rate() {
        let options =
            LimitOptions { item_per_second: 20, global_per_second: 30, ..NOTHING_COUNTED };
        let limits = limits(&options);
        let (one, other) = (AtomicU64::new(0), AtomicU64::new(0));
        let now = Duration::from_secs(1);
        let admitted = |cell: &AtomicU64, now: Duration| {
            (0..50).filter(|_| limits.decision_of_item(cell, now).is_ok()).count()
        };
        assert_eq!((admitted(&one, now), admitted(&other, now)), (2, 1));
        let refused = limits.decision_of_item(&one, now);
        assert_eq!(refused, Err(Saturated { wait_seconds: 1 }));
        // Over ten seconds, in small steps.
        let count: usize =
            (1..=1_000).map(|step| admitted(&one, now + Duration::from_millis(10 * step))).sum();
        assert_eq!(count, 200);
    }

    #[test]
    fn without_limits_nothing_is_counted_and_they_change_at_once() {
        let limits = limits(&NOTHING_COUNTED);
        let ask = || limits.purchase_of_user(UserId(1), Duration::ZERO);
        assert!((0..1_000).all(|_| ask() == Ok(None)));
        limits.set(&LimitOptions { user_per_second: 1, user_burst: 1, ..NOTHING_COUNTED });
        assert!(ask().is_ok());
        assert!(ask().is_err());
        limits.set(&NOTHING_COUNTED);
        assert_eq!(ask(), Ok(None));
    }

    #[test]
    fn tokens_are_limited_by_user() {
        let limits = limits(&LimitOptions { token_user_per_minute: 2, ..NOTHING_COUNTED });
        let ask = |user| limits.token_of_user(UserId(user), Duration::ZERO).is_ok();
        assert_eq!([ask(1), ask(1), ask(1), ask(2)], [true, true, false, true]);
    }
}
