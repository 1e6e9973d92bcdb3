//! The examples that an integrator copies, against the program.

use crate::support::{Offer, Site};
use std::path::{Path, PathBuf};
use std::process::Command;

const JAVA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/java/Buyer.java");

const RECEIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/webhook_receiver.py");

fn skip(what: &str) {
    let is_demanded = std::env::var("SECKILL_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
    assert!(!is_demanded, "{what} is not there, and SECKILL_REQUIRE_SERVICES=1");
    println!("skipped: {what} is not there");
}

/// The example in Rust, which is built with all tests and not with this program alone.
fn rust_buyer() -> Option<PathBuf> {
    let program = std::env::current_exe().expect("a program");
    let folder = program.parent().and_then(Path::parent).expect("the folder of the profile");
    let buyer = folder.join("examples/buyer");
    buyer.exists().then_some(buyer)
}

async fn check(program: impl Fn() -> Command) {
    let site = Site::new();
    let server = site.start().await;
    let sale =
        site.open_sale(&server, 2, &[Offer { allotted: 1, limit: 1, window_seconds: 600 }]).await;
    let buy = async |token: &str| {
        let mut command = program();
        command.args([&format!("http://{}", server.address()), &sale.items[0].to_string(), token]);
        tokio::task::spawn_blocking(move || command.output().expect("it runs"))
            .await
            .expect("it ends")
    };
    let first = buy(&sale.tokens[0]).await;
    let said = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(first.status.success(), "{said}{}", String::from_utf8_lossy(&first.stderr));
    let said = said.replace('"', "");
    assert!(said.contains(": reserved, replayed: false\n") && said.ends_with(": paid\n"), "{said}");
    let second = buy(&sale.tokens[1]).await;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("refused: sold_out"), "{said}");
    server.stop().await;
    site.audit([]).must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_rust_buys_and_pays() {
    let Some(buyer) = rust_buyer() else { return skip("the example in Rust") };
    check(|| Command::new(&buyer)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_java_buys_and_pays() {
    if Command::new("java").arg("-version").output().is_err() {
        return skip("Java");
    }
    check(|| {
        let mut java = Command::new("java");
        java.arg(JAVA);
        java
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_in_python_is_told_what_has_happened() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("Python");
    }
    let site = Site::new()
        .with("WEBHOOKS__ALLOW_PRIVATE", "127.0.0.1")
        .with("WEBHOOKS__ENDPOINTS_MAX", "1");
    let server = site.start().await;
    let offer = Offer { allotted: 9, limit: 1, window_seconds: 600 };
    let sale = site.open_sale(&server, 3, &[offer]).await;
    let mut client = server.client().await;
    for buyer in 0..3 {
        let bought = sale.buy(&mut client, sale.items[0], buyer, "one").await.expect("an answer");
        let order = bought.id("order_id");
        sale.step(&mut client, order, buyer, "pay").await.expect("an answer");
    }
    let shop = format!("http://{}", server.address());
    let admin = site.mint("--admin", "ada");
    let receive = async |events: &str| {
        let mut receiver = Command::new("python3");
        receiver.args([RECEIVER, "--shop", &shop, "--token", &admin, "--replay"]);
        receiver.args(["--events", events]);
        let told = tokio::task::spawn_blocking(move || receiver.output().expect("it runs"));
        let told = harness::patiently("the receiver", told).await.expect("it ends");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (told.status.code(), text(&told.stdout), text(&told.stderr))
    };
    // The item's opening, and of each order two.
    let (code, said, error) = receive("7").await;
    assert_eq!(code, Some(0), "{said}{error}");
    for (kind, count) in [("item.opened", 1), ("order.reserved", 3), ("order.paid", 3)] {
        assert_eq!(said.matches(&format!("seckill.{kind} ")).count(), count, "{said}");
    }
    // No endpoint is left of it, of which there may be one here.
    let (code, said, error) = receive("5").await;
    assert_eq!(code, Some(0), "{said}{error}");
    assert_eq!(said.lines().filter(|line| line.starts_with("seckill.")).count(), 5, "{said}");
    let mut create = site.command(&["webhooks", "create", "http://127.0.0.1:9/"]);
    create.env("SECKILL__HTTP__LISTEN", server.address().to_string());
    assert!(create.output().expect("it runs").status.success());
    let (code, said, error) = receive("5").await;
    assert_eq!(code, Some(1), "{said}{error}");
    assert!(error.starts_with("the shop answered 409 too_many_webhooks: "), "{error}");
    assert!(error.contains("DELETE one that nobody needs") && !error.contains("Traceback"));
    server.stop().await;
}

/// Events are told in parallel, and each is printed as it comes.
#[test]
fn a_receiver_in_python_takes_no_more_than_it_was_told_to() {
    const TAKE: &str = r#"
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import webhook_receiver
inbox = webhook_receiver.Inbox(2)
event = {"type": "t", "sequence": "1", "data": {}}
for key in ["a", "a", "b", "c"]:
    print(inbox.take({**event, "partitionkey": key}))
"#;
    let folder = Path::new(RECEIVER).parent().expect("a folder");
    match Command::new("python3").args(["-c", TAKE]).arg(folder).output() {
        Ok(told) => {
            let said = String::from_utf8_lossy(&told.stdout);
            let error = String::from_utf8_lossy(&told.stderr);
            assert_eq!(said, "t  {}\n204\n204\nt  {}\n204\n503\n", "{error}");
        }
        Err(_) => skip("Python"),
    }
}
