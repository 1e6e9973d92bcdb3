//! The log in a real etcd, of one member and of three.

use super::World;
use harness::Etcd as Server;
use seckill::store::etcd::{Condition, Etcd, EtcdAddress, Operation, Transaction};
use seckill::store::journal::fenced::{EtcdLog, Session};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longer than any pause of a busy machine.
const LEASE: Duration = Duration::from_secs(300);
/// How long a call may take in a test that wants its answer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A log below a prefix of its own, in an etcd that the tests of this process share.
pub struct Prefixed {
    pub etcd: Etcd,
    prefix: String,
    log: EtcdLog,
}

/// The log on one member.
pub struct OneMember(Prefixed);
/// The log on three.
pub struct ThreeMembers(Prefixed);

static PREFIXES: AtomicU64 = AtomicU64::new(0);

/// A client of an etcd without passwords.
pub fn client(endpoints: Vec<String>, call_timeout: Duration) -> Etcd {
    let address = EtcdAddress { endpoints, tls: None, login: None };
    Etcd::prepare(&address, call_timeout).expect("an address")
}

impl Prefixed {
    pub fn new(etcd: Etcd) -> Self {
        let prefix = format!("/seckill/test-{}/", PREFIXES.fetch_add(1, Ordering::Relaxed));
        let log = EtcdLog::new(etcd.clone(), prefix.clone());
        Self { etcd, prefix, log }
    }
}

impl OneMember {
    /// The client that the log uses.
    pub fn etcd(&self) -> &Etcd {
        &self.0.etcd
    }

    /// A key below the log's prefix.
    pub fn key(&self, rest: &str) -> Vec<u8> {
        format!("{}{rest}", self.0.prefix).into_bytes()
    }
}

impl World for Prefixed {
    type Log = EtcdLog;

    fn log(&self) -> &EtcdLog {
        &self.log
    }

    async fn begin(&self, node: &str, incarnation: u64) -> Session {
        let lease = self.etcd.grant(LEASE).await.expect("a lease").id;
        let key = format!("{}nodes/{node}", self.prefix).into_bytes();
        let value = format!("run {incarnation}").into_bytes();
        let then = vec![Operation::Put { key, value, lease }];
        let answer = self.etcd.commit(Transaction { then, ..Transaction::default() }).await;
        assert!(answer.expect("an answer").held);
        Session { node: node.to_owned(), incarnation, lease }
    }

    async fn end(&self, session: &Session) {
        self.etcd.revoke(session.lease).await.expect("revoked");
    }
}

macro_rules! shared_server {
    ($world:ident, $members:literal) => {
        impl $world {
            /// A log of its own; none where etcd is not installed.
            pub async fn begin() -> Option<Self> {
                static SERVER: OnceLock<Option<Server>> = OnceLock::new();
                let server = SERVER.get_or_init(|| harness::etcd($members)).as_ref()?;
                Some(Self(Prefixed::new(client(server.endpoints(), PATIENCE))))
            }
        }

        impl World for $world {
            type Log = EtcdLog;

            fn log(&self) -> &EtcdLog {
                self.0.log()
            }

            async fn begin(&self, node: &str, incarnation: u64) -> Session {
                World::begin(&self.0, node, incarnation).await
            }

            async fn end(&self, session: &Session) {
                self.0.end(session).await;
            }
        }
    };
}

shared_server!(OneMember, 1);
shared_server!(ThreeMembers, 3);

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_compares_values_absence_and_leases() {
    let Some(world) = OneMember::begin().await else { return };
    let etcd = &world.0.etcd;
    let key = |name: &str| format!("{}{name}", world.0.prefix).into_bytes();
    let lease = etcd.grant(LEASE).await.expect("a lease").id;
    let try_with = async |conditions: Vec<Condition>| {
        let then = vec![Operation::put(key("done"), b"yes".to_vec())];
        let otherwise = vec![Operation::Get(key("a")), Operation::Get(key("none"))];
        etcd.commit(Transaction { conditions, then, otherwise }).await.expect("an answer")
    };
    let put = vec![
        Operation::Put { key: key("a"), value: b"1".to_vec(), lease },
        Operation::put(key("b"), b"2".to_vec()),
    ];
    etcd.commit(Transaction { then: put, ..Transaction::default() }).await.expect("an answer");
    for held in [
        vec![Condition::Is(key("a"), b"1".to_vec()), Condition::Is(key("b"), b"2".to_vec())],
        vec![Condition::Absent(key("none")), Condition::Leased(key("a"), lease)],
        vec![],
    ] {
        assert!(try_with(held.clone()).await.held, "{held:?}");
    }
    for refused in [
        Condition::Is(key("a"), b"2".to_vec()),
        Condition::Is(key("none"), Vec::new()),
        Condition::Absent(key("a")),
        Condition::Leased(key("b"), lease),
        Condition::Leased(key("none"), lease),
    ] {
        let answer = try_with(vec![refused.clone()]).await;
        assert!(!answer.held, "{refused:?}");
        assert_eq!(answer.read[0].as_ref().map(|found| found.value.as_slice()), Some(&b"1"[..]));
        assert_eq!(answer.read[1], None);
    }
}
