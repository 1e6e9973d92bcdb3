//! The client of etcd on real servers: leases, watches, log-in, TLS, members that die or freeze.

use super::etcd::{PATIENCE, Prefixed, client};
use super::{World, append, entry, names};
use domain::ShardId;
use harness::{EtcdCertificates, EtcdOptions};
use seckill::store::etcd::{
    Change, Etcd, EtcdAddress, EtcdError, EtcdLogin, EtcdTls, Operation, Transaction,
};
use seckill::store::journal::fenced::{Appended, FencedLog};
use secrecy::SecretString;
use std::time::Duration;

const SHARD: ShardId = ShardId(3);

fn put(key: &str, value: &str) -> Transaction {
    let operation = Operation::put(key.as_bytes().to_vec(), value.as_bytes().to_vec());
    Transaction { then: vec![operation], ..Transaction::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lasts_while_it_is_renewed_and_takes_its_keys_with_it() {
    let Some(server) = harness::etcd(1) else { return };
    let etcd = client(server.endpoints(), PATIENCE);
    let lease = etcd.grant(Duration::from_millis(59_001)).await.expect("a lease");
    assert_eq!(lease.time_to_live, Duration::from_secs(60));
    assert_eq!(etcd.keep_alive(lease.id).await, Ok(Duration::from_secs(60)));
    let operation = Operation::Put { key: b"k".to_vec(), value: b"v".to_vec(), lease: lease.id };
    let transaction = Transaction { then: vec![operation], ..Transaction::default() };
    etcd.commit(transaction.clone()).await.expect("an answer");
    assert_eq!(etcd.get(b"k").await.expect("a key").map(|found| found.lease), Some(lease.id));
    etcd.revoke(lease.id).await.expect("revoked");
    assert_eq!(etcd.get(b"k").await, Ok(None));
    assert_eq!(etcd.keep_alive(lease.id).await, Err(EtcdError::LeaseEnded));
    assert_eq!(etcd.revoke(lease.id).await, Ok(()));
    assert_eq!(etcd.commit(transaction).await, Err(EtcdError::LeaseEnded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_every_change_once_and_says_when_it_missed_some() {
    let Some(server) = harness::etcd(1) else { return };
    let etcd = client(server.endpoints(), PATIENCE);
    let first = etcd.commit(put("/w/1", "a")).await.expect("an answer").revision;
    let mut watch = etcd.watch(b"/w/", b"/w0", first).await.expect("a watch");
    etcd.commit(put("/other", "x")).await.expect("an answer");
    etcd.commit(put("/w/2", "b")).await.expect("an answer");
    let delete = vec![Operation::Delete(b"/w/1".to_vec())];
    etcd.commit(Transaction { then: delete, ..Transaction::default() }).await.expect("an answer");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(match watch.next().await.expect("a change") {
            Change::Set(found) => format!("{} set", String::from_utf8_lossy(&found.key)),
            Change::Deleted(key) => format!("{} deleted", String::from_utf8_lossy(&key)),
        });
    }
    assert_eq!(seen, ["/w/1 set", "/w/2 set", "/w/1 deleted"]);
    etcd.compact(first + 2).await.expect("compacted");
    etcd.compact(first + 2).await.expect("compacted already");
    let missed = etcd.watch(b"/w/", b"/w0", first).await.err();
    let missed = match missed {
        Some(error) => error,
        // etcd may say so in the first answer behind the one that makes the watch.
        None => etcd.watch(b"/w/", b"/w0", first).await.expect("a watch").next().await.unwrap_err(),
    };
    assert_eq!(missed, EtcdError::Compacted);
    server.members()[0].kill();
    assert!(matches!(watch.next().await, Err(EtcdError::Unknown(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_member_dies_is_repeated_at_another_and_lands_once() {
    let Some(server) = harness::etcd(3) else { return };
    let world = Prefixed::new(client(server.endpoints(), Duration::from_secs(2)));
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    let mut head = claim.head;
    for (round, victim) in server.members().iter().enumerate() {
        let name = u8::try_from(round).expect("few rounds") + 1;
        if round % 2 == 0 {
            victim.freeze()
        } else {
            victim.kill()
        }
        let entry = entry(&claim, head, 1, name);
        let landed = harness::until("the append to land", async || {
            match log.append(std::slice::from_ref(&entry)).await {
                Appended::Done => Some(entry.next),
                Appended::Refused(heads) => {
                    assert_eq!(heads, [Some(entry.next)], "an earlier attempt has landed");
                    Some(entry.next)
                }
                Appended::Unknown(_) | Appended::Full => None,
            }
        });
        head = landed.await;
        if round % 2 == 0 { victim.thaw() } else { victim.restart().expect("it starts again") }
    }
    assert_eq!(names(log, SHARD, 0).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_answered_and_nothing_is_lost() {
    let Some(server) = harness::etcd(3) else { return };
    let world = Prefixed::new(client(server.endpoints(), Duration::from_secs(1)));
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    server.members()[1].freeze();
    server.members()[2].freeze();
    let waiting = entry(&claim, claim.head, 1, 1);
    for _ in 0..3 {
        let answer = log.append(std::slice::from_ref(&waiting)).await;
        assert!(matches!(answer, Appended::Unknown(_)), "{answer:?}");
    }
    server.members()[1].thaw();
    server.members()[2].thaw();
    let head = harness::until("the quorum", async || {
        match log.append(std::slice::from_ref(&waiting)).await {
            Appended::Done => Some(waiting.next),
            Appended::Refused(heads) => heads[0].filter(|head| *head == waiting.next),
            _ => None,
        }
    })
    .await;
    append(log, &claim, head, 1, 2).await;
    assert_eq!(names(log, SHARD, 0).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_refuses_and_says_so() {
    let arguments = ["--quota-backend-bytes", "1048576"].map(ToOwned::to_owned).to_vec();
    let options = EtcdOptions { arguments, ..EtcdOptions::default() };
    let Some(server) = harness::required(harness::Etcd::start_with(options)) else { return };
    let etcd = client(server.endpoints(), PATIENCE);
    let large = "x".repeat(256 << 10);
    let mut round = 0;
    // It counts what is on its disk, which it brings up to date by and by.
    let full = harness::until("a refusal", async || {
        round += 1;
        etcd.commit(put(&format!("k{round}"), &large)).await.err()
    })
    .await;
    assert_eq!(full, EtcdError::NoSpace);
    // So are the alarm and the sizes that it tells.
    let status = harness::until("the alarm", async || {
        etcd.status().await.ok().filter(|status| status.is_full && status.used_bytes > 0)
    })
    .await;
    assert!(status.has_leader && status.file_bytes > 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_is_made_renewed_and_refused() {
    let Some(server) = harness::etcd(1) else { return };
    for arguments in [
        &["user", "add", "root:correct"][..],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        server.cli(arguments).expect("etcdctl");
    }
    let with = |password: &str| {
        let login = EtcdLogin { name: "root".to_owned(), password: SecretString::from(password) };
        let address = EtcdAddress { endpoints: server.endpoints(), tls: None, login: Some(login) };
        Etcd::prepare(&address, PATIENCE).expect("an address")
    };
    let etcd = with("correct");
    etcd.commit(put("k", "v")).await.expect("an answer");
    // A member that starts anew has forgotten its simple tokens.
    server.members()[0].restart().expect("it starts again");
    let found = harness::until("the member to answer", async || etcd.get(b"k").await.ok()).await;
    assert_eq!(found.map(|found| found.value), Some(b"v".to_vec()));
    let denied = with("wrong").get(b"k").await;
    assert!(matches!(denied, Err(EtcdError::Denied(_))), "{denied:?}");
    let anonymous = client(server.endpoints(), PATIENCE).get(b"k").await;
    assert!(
        matches!(anonymous, Err(EtcdError::Refused(_) | EtcdError::Denied(_))),
        "{anonymous:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_reached_through_tls_and_only_if_it_is_trusted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let (authority, key, certificate) = (path("ca.pem"), path("key.pem"), path("cert.pem"));
    if !harness::certificates::make(&path("ca-key.pem"), &authority, &key, &certificate) {
        println!("skipped: openssl is not installed");
        return;
    }
    let root = std::fs::read(&authority).expect("the authority");
    let tls = Some(EtcdCertificates { authority, certificate, key });
    let options = EtcdOptions { tls, ..EtcdOptions::default() };
    let Some(server) = harness::required(harness::Etcd::start_with(options)) else { return };
    let with = |root_certificate: Option<Vec<u8>>| {
        let tls = Some(EtcdTls { root_certificate, identity: None });
        let address = EtcdAddress { endpoints: server.endpoints(), tls, login: None };
        Etcd::prepare(&address, PATIENCE).expect("an address")
    };
    with(Some(root)).commit(put("k", "v")).await.expect("an answer");
    let distrusted = with(None).get(b"k").await;
    assert!(
        matches!(&distrusted, Err(EtcdError::Unknown(why)) if why.contains("UnknownIssuer")),
        "{distrusted:?}"
    );
}
