//! The commands of docs/compat.md, as they stand there: a client of the older order service moves over.

use crate::support::{Site, until};
use std::process::Command;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compat.md"));

/// The page's shell blocks.
fn blocks() -> Vec<&'static str> {
    let pieces = PAGE.split("```sh\n").skip(1);
    pieces.map(|piece| piece.split("```").next().expect("the block's end")).collect()
}

/// A site with the settings that the block exports.
fn site(block: &str) -> Site {
    let exports = block
        .lines()
        .filter_map(|line| line.strip_prefix("export "))
        .flat_map(str::split_whitespace);
    exports.fold(Site::new().with("DEMO__ENABLED", "true"), |site, pair| {
        let (name, value) = pair.split_once('=').expect("a pair");
        site.with(name.strip_prefix("SECKILL__").expect("a setting"), value)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_curl_prints_the_older_services_answer() {
    let [serve, curl] = blocks().try_into().expect("two blocks");
    assert!(serve.ends_with("seckill serve\n"));
    let site = site(serve);
    let server = site.start().await;
    let script = curl.replace("127.0.0.1:8080", &server.address().to_string());
    let answer = until("the sale to begin", async || {
        let output = Command::new("bash").args(["-euc", &script]).output().expect("bash runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).expect("text");
        (!said.contains("活动未开始")).then_some(said)
    })
    .await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: application/json;charset=UTF-8\r\n"), "{head}");
    let shape: String =
        body.chars().map(|letter| if letter.is_ascii_digit() { '9' } else { letter }).collect();
    let begin = r#"{"code":"9","msg":"下单成功","timestamp":9999999999999,"data":{"id":""#;
    assert!(shape.starts_with(begin) && shape.ends_with(r#"","userid":"9"}}"#), "{body}");
    let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&json["code"], &json["data"]["userid"]), (&"0".into(), &"1".into()));
    assert_eq!(json["data"]["id"].as_str().map(str::len), Some(32));
    server.stop().await;
    site.audit([]).must_balance();
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let site = Site::new().with("COMPAT__ENABLED", "true");
    let output = site.command(&["config", "check"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("compat.enabled = true needs compat.item_id"), "{said}");
}
