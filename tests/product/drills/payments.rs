//! Payments of every kind in the journal and in the order store, and money that is counted wrong.

use super::journal_writer::{ITEM, JournalWriter, terms};
use crate::support::{Site, Verdict, until};
use domain::{
    Buy, Command, Event, Order, OrderStatus, Payment, PaymentAsked, PaymentId, PaymentNotice,
    PaymentRecord, PaymentReference, PaymentResult, PaymentState, ProviderName, RequestId, UserId,
};
use sqlx::{Connection, SqliteConnection};
use std::path::Path;

const USER: UserId = UserId(7);

fn provider() -> ProviderName {
    ProviderName::parse("provider").expect("a name")
}

fn reference(text: &str) -> PaymentReference {
    PaymentReference::parse(text).expect("a reference")
}

/// A shop's one shard.
struct Shard(JournalWriter);

impl Shard {
    fn open(site: &Site) -> Self {
        let mut writer = JournalWriter::create(&site.data().join("journal"));
        writer.take(&Command::Open(terms()));
        Self(writer)
    }

    fn buy(&mut self, request: u64) -> Order {
        let request_id = RequestId(request);
        let buy = Buy { item_id: ITEM, user_id: USER, request_id, quantity: 1 };
        match self.0.take(&Command::Buy(buy)) {
            Event::Order(order) => order,
            other => panic!("{other:?}"),
        }
    }

    fn begin(&mut self, order: &Order, request: u64) -> PaymentId {
        let asked = PaymentAsked {
            order_id: order.order_id,
            user_id: USER,
            request_id: RequestId(request),
            provider: provider(),
        };
        self.paid(&Command::StartPayment(Box::new(asked))).payment.id
    }

    fn told(&mut self, id: PaymentId, name: &str, result: PaymentResult) -> PaymentRecord {
        let (provider, reference) = (provider(), reference(name));
        let notice = PaymentNotice { id, provider, reference, result, stored: None };
        self.paid(&Command::NotePayment(Box::new(notice)))
    }

    fn paid(&mut self, command: &Command) -> PaymentRecord {
        match self.0.take(command) {
            Event::Payment(paid) => *paid,
            other => panic!("{other:?}"),
        }
    }

    /// A payment of every kind: begun, captured, captured twice and given back, failed, too late.
    fn pay_in_every_way(&mut self) {
        let came = |order: &Order| PaymentResult::Captured {
            amount: order.amount,
            currency: order.currency,
        };
        let sandbox = self.buy(1);
        self.paid(&Command::Pay { order_id: sandbox.order_id, user_id: USER });
        let twice = self.buy(2);
        let id = self.begin(&twice, 20);
        self.told(id, "first", came(&twice));
        let second = self.told(id, "second", came(&twice)).payment.id;
        self.paid(&Command::Refund { id: second, reference: reference("back") });
        let late = self.buy(3);
        let id = self.begin(&late, 30);
        self.told(id, "never", PaymentResult::Failed);
        self.0.take(&Command::Cancel { order_id: late.order_id, user_id: USER });
        self.told(id, "late", came(&late));
        let open = self.buy(4);
        self.begin(&open, 40);
        let failed = self.begin(&open, 41);
        self.told(failed, "no", PaymentResult::Failed);
    }
}

fn must_be_broken(verdict: &Verdict, invariant: &str, words: &str) {
    assert_eq!(verdict.broken(), [invariant], "{words}: {:#}", verdict.report);
    let detail = verdict.check(invariant)["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(words), "{words:?} is not in {detail:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_of_every_kind_are_stored_and_what_is_changed_of_them_is_found() {
    let site = Site::new();
    let mut shard = Shard::open(&site);
    shard.pay_in_every_way();
    shard.0.close();
    let server = site.start().await;
    until("every row", async || server.is_whole().await.then_some(())).await;
    server.checkpointed().await;
    server.stop().await;
    let audit = || Verdict::of(&site, []);
    let verdict = audit();
    verdict.must_balance();
    let counts = serde_json::json!({
        "started": 1, "captured": 2, "failed": 1, "refund_due": 1, "refunded": 1,
    });
    assert_eq!(verdict.report["payments"], counts);
    assert!(verdict.check("I17")["checked"].as_u64() > Some(6), "{:#}", verdict.report);

    let path = |name: &str| site.data().join(name);
    std::fs::copy(path("orders.db"), path("kept.db")).expect("copied");
    for (statement, words) in [
        ("DELETE FROM payments WHERE state = 4", "is not in the order store"),
        ("UPDATE payments SET state = 5 WHERE state = 4", "is refund_due on record and refunded"),
        ("UPDATE payments SET amount = 1 WHERE state = 5", "has other content in the order store"),
        ("UPDATE payments SET user_id = 8 WHERE state = 5", "has other content in the order store"),
        (
            "INSERT INTO payments SELECT order_id, 9, sale_id, item_id, user_id, request_id, \
             provider, amount, currency, state, reference, refund_reference, created_at, \
             changed_at, version FROM payments WHERE state = 4",
            "is in the order store alone",
        ),
    ] {
        tamper(&path("orders.db"), statement).await;
        must_be_broken(&audit(), "I17", words);
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(path(&format!("orders.db{end}")));
        }
        std::fs::copy(path("kept.db"), path("orders.db")).expect("restored");
    }
    audit().must_balance();

    // The order store alone leads to the same state, which is checkpointed.
    std::fs::remove_dir_all(path("journal")).expect("lost");
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(path(&format!("checkpoints.db{end}")));
    }
    let output = site.run(&["recover", "--from-orders"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let server = site.start().await;
    server.checkpointed().await;
    server.stop().await;
    let verdict = audit();
    verdict.must_balance();
    assert_eq!(verdict.report["payments"], counts);
    tamper(&path("orders.db"), "UPDATE payments SET reference = 'another' WHERE state = 4").await;
    let words = "has other content in the order store";
    let verdict = audit();
    let detail = verdict.check("I17")["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(words), "{words:?} is not in {detail:?}");
}

/// Changes one row.
async fn tamper(file: &Path, statement: &str) {
    let url = format!("sqlite://{}", file.display());
    let mut orders = SqliteConnection::connect(&url).await.expect("the order store");
    let done = sqlx::query(statement).execute(&mut orders).await.expect(statement);
    assert_eq!(done.rows_affected(), 1, "{statement}");
    orders.close().await.expect("closed");
}

#[test]
fn money_that_is_counted_wrong_in_the_journal_is_found() {
    let payment = |order: &Order, state| Payment {
        id: PaymentId { order_id: order.order_id, number: 1 },
        request_id: RequestId(0),
        provider: provider(),
        amount: order.amount,
        currency: order.currency,
        state,
        reference: Some(reference("first")),
        refund_reference: None,
    };
    let paying = |from, order: Order, payment| {
        Event::Payment(Box::new(PaymentRecord { payment, order, status_before: from }))
    };
    let (reserved, is_paid) = (OrderStatus::Reserved, OrderStatus::Paid);
    let with = |order: Order, status| Order { status, ..order };
    type Plant<'a> = &'a dyn Fn(Order) -> Vec<Event>;
    let plants: [(Plant<'_>, &str, &str); 5] = [
        (
            &|order| vec![paying(reserved, order, payment(&order, PaymentState::Captured))],
            "I17",
            "is captured and its order of 4999 went from reserved to reserved",
        ),
        (
            &|order| {
                let paid = with(order, OrderStatus::Paid);
                let less = Payment { amount: 1, ..payment(&order, PaymentState::Captured) };
                vec![paying(reserved, paid, less)]
            },
            "I17",
            "of 1 is captured and its order of 4999 went from reserved to paid",
        ),
        (
            &|order| {
                let began = payment(&order, PaymentState::Started);
                let began = Payment { reference: None, ..began };
                vec![paying(reserved, order, began), Event::Order(with(order, OrderStatus::Paid))]
            },
            "I17",
            "captured 0 ≠ paid 4999",
        ),
        (
            &|order| {
                let (paid, due) = (with(order, OrderStatus::Paid), PaymentState::RefundDue);
                let second = PaymentId { order_id: order.order_id, number: 2 };
                vec![
                    paying(reserved, paid, payment(&order, PaymentState::Captured)),
                    paying(is_paid, paid, Payment { id: second, ..payment(&order, due) }),
                ]
            },
            "I17",
            "counts money that was counted before",
        ),
        (
            &|order| vec![paying(reserved, order, payment(&order, PaymentState::Refunded))],
            "form",
            "became refunded",
        ),
    ];
    for (plant, rule, words) in plants {
        let site = Site::new();
        let mut shard = Shard::open(&site);
        let order = shard.buy(1);
        for event in plant(order) {
            shard.0.put(event);
        }
        shard.0.close();
        must_be_broken(&Verdict::of(&site, []), rule, words);
    }
}
