//! `seckill gateway`: what it says of one shop, and of nodes that come and go.

use super::node::{Manner, Node};
use crate::backends::cluster::{LASTING, Servers, settled};
use crate::support::{Attempt, Site, Witness};
use harness::http::Client;
use harness::until;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Output, Stdio};

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn begin(site: &Site, words: &[&str]) -> Running {
    let mut command = site.command(words);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs"))
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn one_shop_is_where_its_settings_say() {
    let site = Site::new().with("HTTP__LISTEN", "0.0.0.0:8080");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = std::fs::read_to_string(root.join("deploy/nginx/upstream.conf")).expect("the file");
    assert_eq!(printed(&site.run(&["gateway", "nginx"])), own);
    let kong: Value =
        serde_json::from_str(&printed(&site.run(&["gateway", "kong"]))).expect("JSON");
    assert_eq!(kong["upstreams"][0]["targets"][0]["target"], "127.0.0.1:8080");
    assert_eq!(kong["services"][0]["host"], kong["upstreams"][0]["name"]);
}

#[test]
fn what_cannot_be_written_or_loaded_is_said_by_name() {
    let site = Site::new().with("HTTP__LISTEN", "127.0.0.1:8080");
    let (file, nowhere) = (site.path("upstream.conf"), site.path("none/upstream.conf"));
    let (file, nowhere) = (file.to_str().expect("UTF-8"), nowhere.to_str().expect("UTF-8"));
    let said = refused(&site.run(&["gateway", "nginx", "--out", nowhere]));
    assert!(said.contains(nowhere), "{said}");
    let said = refused(&site.run(&["gateway", "nginx", "--out", file, "--reload", "exit 3"]));
    assert!(said.contains("`exit 3` ended with exit status: 3"), "{said}");
    let said = refused(&site.run(&["gateway", "nginx", "--watch"]));
    assert!(said.contains("--out"), "{said}");
    let said = refused(&site.run(&["gateway", "kong", "--admin", "ftp://kong"]));
    assert!(said.contains("URL of Kong's Admin API"), "{said}");
    let said = refused(&site.run(&["gateway", "kong", "--admin", "http://127.0.0.1:1"]));
    assert!(said.contains("Kong: no answer"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kong_is_given_the_whole_configuration() {
    let site = Site::new().with("HTTP__LISTEN", "127.0.0.1:8080");
    let kong = Node::start(0, Manner::Answers).await;
    let admin = format!("http://{}/", kong.address());
    let said = printed(&site.run(&["gateway", "kong", "--admin", &admin]));
    assert_eq!(said, "Kong: 127.0.0.1:8080\n");
    let asked = kong.asked();
    let (head, body) = asked[0].split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("POST /config HTTP/1.1\r\n"), "{head}");
    let loaded: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(loaded["_format_version"], "3.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_come_and_go_are_told_while_buyers_buy() {
    let Some(servers) = Servers::start() else { return };
    // Whichever node the gateway asks has the purchase decided by the one that can.
    let [first, second] = ["a", "b"].map(|node| servers.linked_site(node));
    let a = first.start().await;
    settled(&[&a]).await;
    let shop = first.open_sale(&a, 8, &[LASTING]).await;
    let witness = Witness::default();
    let upstream = first.path("upstream.conf");
    let pid = first.path("pid");
    let reload = format!("test ! -e {0} || kill -HUP $(cat {0})", pid.display());
    let words = [
        "gateway",
        "nginx",
        "--out",
        upstream.to_str().expect("UTF-8"),
        "--watch",
        "--reload",
        &reload,
    ];
    let _watching = begin(&first, &words);
    let told = async |addresses: &[String]| {
        let wanted = seckill::app::gateway::nginx(addresses);
        until(&format!("{addresses:?} in the file"), async || {
            std::fs::read_to_string(&upstream).is_ok_and(|text| text == wanted).then_some(())
        })
        .await;
    };
    let (one, mut count) = (a.address().to_string(), 0);
    told(std::slice::from_ref(&one)).await;
    let Some(nginx) = super::nginx(&upstream, &first.path("pages")) else { return };
    let id = nginx.process_id().expect("it runs").to_string();
    std::fs::write(&pid, id).expect("written");
    let mut buys = async || {
        for buyer in 0..8 {
            count += 1;
            let attempt = Attempt { item: shop.items[0], buyer, key: format!("gateway-{count}") };
            let answer = until("a purchase to be decided", async || {
                let mut client = Client::open(nginx.address()).await.expect("it listens");
                let answer = shop.buy(&mut client, attempt.item, buyer, &attempt.key).await;
                let answer = answer.expect("it answers");
                witness.bought(&attempt, &answer).then_some(answer)
            })
            .await;
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    };
    buys().await;
    let b = second.start().await;
    told(&[one.clone(), b.address().to_string()]).await;
    settled(&[&a, &b]).await;
    buys().await;
    b.stop().await;
    told(&[one]).await;
    settled(&[&a]).await;
    buys().await;
    a.stop().await;
    servers.judge(&witness).await;
}
