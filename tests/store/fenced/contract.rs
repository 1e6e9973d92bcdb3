//! The cases, each a test of its own for each log.

use super::etcd::{OneMember, ThreeMembers};
use super::{InMemory, World, append, entry, names};
use domain::ShardId;
use seckill::store::journal::fenced::{
    Appended, Base, ClaimError, Entry, FencedLog, Head, LogError,
};

const SHARD: ShardId = ShardId(7);

macro_rules! cases {
    ($world:ty: $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let Some(world) = <$world>::begin().await else { return };
                super::$case(&world).await;
            }
        )+
    };
}

/// Makes every case a test of one log.
macro_rules! contract {
    ($name:ident: $world:ident) => {
        mod $name {
            use super::$world;

            cases! {
                $world:
                a_first_claim_begins_an_empty_log,
                an_owned_shard_is_refused_with_its_owners_name,
                what_was_appended_is_read_in_its_order,
                a_claim_shuts_earlier_owners_out,
                an_append_takes_place_once,
                a_transaction_takes_place_whole_or_not_at_all,
                sixty_shards_go_into_one_transaction,
                a_session_that_ended_claims_nothing,
                a_claim_is_found_again_by_the_session_that_made_it,
                a_replaced_session_keeps_what_nobody_claimed,
                what_is_given_back_can_be_claimed_at_once,
                trimming_leaves_the_base,
                only_the_owner_trims,
                a_late_trim_takes_nothing_back,
                a_late_repeat_does_not_bring_a_trimmed_batch_back,
            }
        }
    };
}

contract!(memory: InMemory);
contract!(one_etcd: OneMember);
contract!(three_etcds: ThreeMembers);

impl InMemory {
    async fn begin() -> Option<Self> {
        Some(Self::default())
    }
}

async fn a_first_claim_begins_an_empty_log(world: &impl World) {
    let session = world.begin("a", 1).await;
    assert_eq!(world.log().head(SHARD).await, Ok(None));
    let claim = world.log().claim(&session, SHARD).await.expect("a claim");
    assert_eq!((claim.shard, claim.epoch, claim.base), (SHARD, 1, Base::default()));
    assert_eq!(claim.head, Head { epoch: 1, ..Head::default() });
    assert_eq!(world.log().head(SHARD).await, Ok(Some(claim.head)));
    assert!(names(world.log(), SHARD, 0).await.is_empty());
}

async fn an_owned_shard_is_refused_with_its_owners_name(world: &impl World) {
    let (a, b) = (world.begin("a", 1).await, world.begin("b", 1).await);
    world.log().claim(&a, SHARD).await.expect("a claim");
    let refused = world.log().claim(&b, SHARD).await;
    assert_eq!(refused, Err(ClaimError::Owned { shard: SHARD, node: "a".to_owned() }));
    world.log().claim(&b, ShardId(8)).await.expect("another shard is free");
    // A node that started anew is not the one that it was.
    let again = world.begin("a", 2).await;
    let refused = world.log().claim(&again, SHARD).await;
    assert_eq!(refused, Err(ClaimError::Owned { shard: SHARD, node: "a".to_owned() }));
}

async fn what_was_appended_is_read_in_its_order(world: &impl World) {
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    let mut head = claim.head;
    for name in 1..=20 {
        head = append(log, &claim, head, u64::from(name), name).await;
    }
    assert_eq!(log.head(SHARD).await, Ok(Some(head)));
    let mut last = (0, 0, 0);
    for batch in log.read(SHARD, 0, 1_000).await.expect("batches") {
        assert!(batch.follows(SHARD, last), "{batch:?}");
        assert_eq!((batch.epoch, batch.node.as_str()), (1, "a"));
        last = (batch.batch, batch.last_seq, batch.chain);
    }
    assert_eq!(last, (head.batch, head.seq, head.chain));
    assert_eq!(names(log, SHARD, 17).await, [18, 19, 20]);
    let page = log.read(SHARD, 3, 2).await.expect("a page");
    assert_eq!(page.iter().map(|batch| batch.batch).collect::<Vec<_>>(), [4, 5]);
}

async fn a_claim_shuts_earlier_owners_out(world: &impl World) {
    let (a, b) = (world.begin("a", 1).await, world.begin("b", 1).await);
    let log = world.log();
    let old = log.claim(&a, SHARD).await.expect("a claim");
    let head = append(log, &old, old.head, 2, 1).await;
    world.end(&a).await;
    let new = log.claim(&b, SHARD).await.expect("a claim of what nobody owns");
    assert_eq!((new.epoch, new.head), (old.epoch + 1, Head { epoch: old.epoch + 1, ..head }));
    let late = entry(&old, head, 1, 2);
    assert_eq!(log.append(&[late]).await, Appended::Refused(vec![Some(new.head)]));
    append(log, &new, new.head, 3, 3).await;
    assert_eq!(names(log, SHARD, 0).await, [1, 3]);
}

async fn an_append_takes_place_once(world: &impl World) {
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    let entry = entry(&claim, claim.head, 1, 9);
    assert_eq!(log.append(std::slice::from_ref(&entry)).await, Appended::Done);
    let again = log.append(std::slice::from_ref(&entry)).await;
    // The head names the batch, so that its writer knows it again.
    assert_eq!(again, Appended::Refused(vec![Some(entry.next)]));
    assert_eq!(names(log, SHARD, 0).await, [9]);
}

async fn a_transaction_takes_place_whole_or_not_at_all(world: &impl World) {
    let session = world.begin("a", 1).await;
    let log = world.log();
    let one = log.claim(&session, ShardId(1)).await.expect("a claim");
    let two = log.claim(&session, ShardId(2)).await.expect("a claim");
    let gone_on = append(log, &two, two.head, 1, 1).await;
    let entries = [entry(&one, one.head, 1, 2), entry(&two, two.head, 1, 3)];
    let refused = log.append(&entries).await;
    assert_eq!(refused, Appended::Refused(vec![Some(one.head), Some(gone_on)]));
    assert!(names(log, ShardId(1), 0).await.is_empty());
    assert_eq!(names(log, ShardId(2), 0).await, [1]);
    let never_claimed = Entry { shard: ShardId(3), ..entries[0].clone() };
    let refused = log.append(&[entries[0].clone(), never_claimed]).await;
    assert_eq!(refused, Appended::Refused(vec![Some(one.head), None]));
}

async fn sixty_shards_go_into_one_transaction(world: &impl World) {
    let session = world.begin("a", 1).await;
    let log = world.log();
    let mut entries = Vec::new();
    for shard in 0..60 {
        let claim = log.claim(&session, ShardId(shard)).await.expect("a claim");
        entries.push(entry(&claim, claim.head, 1, 5));
    }
    assert_eq!(log.append(&entries).await, Appended::Done);
    for shard in 0..60 {
        assert_eq!(names(log, ShardId(shard), 0).await, [5]);
    }
}

async fn a_session_that_ended_claims_nothing(world: &impl World) {
    let session = world.begin("a", 1).await;
    world.end(&session).await;
    assert_eq!(world.log().claim(&session, SHARD).await, Err(ClaimError::SessionEnded));
    assert_eq!(world.log().head(SHARD).await, Ok(None));
}

async fn a_claim_is_found_again_by_the_session_that_made_it(world: &impl World) {
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    append(log, &claim, claim.head, 1, 1).await;
    let again = log.claim(&session, SHARD).await.expect("its own");
    assert!(again.epoch >= claim.epoch);
    append(log, &again, again.head, 1, 2).await;
    assert_eq!(names(log, SHARD, 0).await, [1, 2]);
}

async fn a_replaced_session_keeps_what_nobody_claimed(world: &impl World) {
    let first = world.begin("a", 1).await;
    let log = world.log();
    let (kept, taken) = (ShardId(1), ShardId(2));
    let kept = log.claim(&first, kept).await.expect("a claim");
    let taken = log.claim(&first, taken).await.expect("a claim");
    world.end(&first).await;
    let other = world.begin("b", 1).await;
    log.claim(&other, taken.shard).await.expect("a claim of what nobody owns");
    let second = world.begin("a", 1).await;
    assert_eq!(log.renew(&second, &kept).await, Ok(()));
    assert_eq!(log.renew(&second, &taken).await, Err(LogError::NotOwner(taken.shard)));
    append(log, &kept, kept.head, 1, 1).await;
    let refused = log.claim(&other, kept.shard).await;
    assert_eq!(refused, Err(ClaimError::Owned { shard: kept.shard, node: "a".to_owned() }));
}

async fn what_is_given_back_can_be_claimed_at_once(world: &impl World) {
    let (a, b) = (world.begin("a", 1).await, world.begin("b", 1).await);
    let log = world.log();
    let claim = log.claim(&a, SHARD).await.expect("a claim");
    log.release(&claim).await.expect("released");
    let next = log.claim(&b, SHARD).await.expect("a claim");
    assert_eq!(next.epoch, claim.epoch + 1);
    // What was given back long ago is not taken from who has it now.
    log.release(&claim).await.expect("nothing to release");
    let refused = log.claim(&a, SHARD).await;
    assert_eq!(refused, Err(ClaimError::Owned { shard: SHARD, node: "b".to_owned() }));
}

async fn trimming_leaves_the_base(world: &impl World) {
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    let one = append(log, &claim, claim.head, 2, 1).await;
    let two = append(log, &claim, one, 2, 2).await;
    append(log, &claim, two, 2, 3).await;
    let other = log.claim(&session, ShardId(70)).await.expect("a claim");
    append(log, &other, other.head, 1, 4).await;
    log.trim(&claim, two.as_base()).await.expect("trimmed");
    assert_eq!(names(log, SHARD, 0).await, [3]);
    assert_eq!(names(log, ShardId(70), 0).await, [4], "another shard is left alone");
    world.end(&session).await;
    let next = world.begin("b", 1).await;
    let claim = log.claim(&next, SHARD).await.expect("a claim");
    assert_eq!(claim.base, two.as_base());
}

async fn a_late_trim_takes_nothing_back(world: &impl World) {
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    let mut heads = vec![claim.head];
    for name in 1..=4 {
        let last = *heads.last().expect("a head");
        heads.push(append(log, &claim, last, 1, name).await);
    }
    // The first comes once more, behind the second; none of them knows the base by its claim.
    for trimmed in [1, 3, 1] {
        log.trim(&claim, heads[trimmed].as_base()).await.expect("trimmed");
    }
    assert_eq!(names(log, SHARD, 0).await, [4]);
    let again = log.claim(&session, SHARD).await.expect("a claim");
    assert_eq!(again.base, heads[3].as_base());
    // One that knows the base goes on from there.
    log.trim(&again, heads[4].as_base()).await.expect("trimmed");
    assert_eq!(log.claim(&session, SHARD).await.expect("a claim").base, heads[4].as_base());
}

async fn only_the_owner_trims(world: &impl World) {
    let (a, b) = (world.begin("a", 1).await, world.begin("b", 1).await);
    let log = world.log();
    let old = log.claim(&a, SHARD).await.expect("a claim");
    let head = append(log, &old, old.head, 2, 1).await;
    world.end(&a).await;
    log.claim(&b, SHARD).await.expect("a claim");
    assert_eq!(log.trim(&old, head.as_base()).await, Err(LogError::NotOwner(SHARD)));
    assert_eq!(names(log, SHARD, 0).await, [1]);
}

async fn a_late_repeat_does_not_bring_a_trimmed_batch_back(world: &impl World) {
    let session = world.begin("a", 1).await;
    let log = world.log();
    let claim = log.claim(&session, SHARD).await.expect("a claim");
    let first = entry(&claim, claim.head, 1, 1);
    assert_eq!(log.append(std::slice::from_ref(&first)).await, Appended::Done);
    let head = append(log, &claim, first.next, 1, 2).await;
    log.trim(&claim, head.as_base()).await.expect("trimmed");
    assert_eq!(log.append(&[first]).await, Appended::Refused(vec![Some(head)]));
    assert!(names(log, SHARD, 0).await.is_empty());
}
