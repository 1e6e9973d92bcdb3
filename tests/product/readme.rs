//! README's commands, as they stand there and in their order: a newcomer pastes them.
//!
//! Four things are put in their place: the program for the one that `cargo run --release` would build, a
//! free port for 8080, the folder of the examples, and private servers for those of the last chapter. What loads the machine or builds
//! the workspace is left out.

use crate::support::{Server, Site, until};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
const SERVE: &str = "cargo run --release\n";

/// The shell blocks, in their order.
fn blocks() -> Vec<&'static str> {
    let pieces = README.split("```sh\n").skip(1);
    pieces.map(|piece| piece.split("```").next().expect("the block's end")).collect()
}

/// Whether a test can carry the block out.
fn is_light(block: &str) -> bool {
    !["-p load", "cargo test", "/tmp/t0"].iter().any(|heavy| block.contains(heavy))
}

/// A directory with `seckill`, and a `cargo` that only runs it.
fn programs(site: &Site) -> PathBuf {
    let directory = site.path("programs");
    fs::create_dir(&directory).expect("a directory");
    symlink(env!("CARGO_BIN_EXE_seckill"), directory.join("seckill")).expect("linked");
    let cargo = directory.join("cargo");
    fs::write(&cargo, "#!/bin/sh\n[ \"$*\" = \"run --release\" ] && exec seckill\nexit 1\n")
        .expect("written");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("its mode");
    directory
}

/// A shell with the site's settings.
fn shell(site: &Site, programs: &Path, script: &str) -> Command {
    let program = site.command(&[]);
    let mut command = Command::new("bash");
    command
        .args(["-u", "-c", script])
        .current_dir(program.get_current_dir().expect("its directory"))
        .env_clear()
        .envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()))
        .stdin(Stdio::null());
    command
}

/// Starts what serves, and waits until the demo's first sale is on.
async fn serve(site: &Site, programs: &Path, block: &str) -> Server {
    let script = block.replace("cargo run", "exec cargo run");
    let server = Server::launch(shell(site, programs, &script), &site.path("log"));
    assert!(server.listens().await.is_ok(), "{}", site.log());
    until("the demo's sale to begin", async || {
        let now = server.get("/api/v1/time").await.json()["now"].clone();
        let item = server.get("/api/v1/items/2").await.json();
        (item["starts_at"].as_str()? <= now.as_str()?).then_some(())
    })
    .await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_chapter_works_in_the_order_in_which_it_stands() {
    let site =
        Site::new().with("DEMO__ENABLED", "true").with("WEBHOOKS__ALLOW_PRIVATE", "127.0.0.1");
    let programs = programs(&site);
    let blocks = blocks();
    assert_eq!(blocks[0], SERVE, "the first chapter serves");
    let server = serve(&site, &programs, blocks[0]).await;
    let own = blocks[1..].iter().filter(|block| is_light(block) && !block.ends_with(SERVE));
    let script: String = own.copied().collect();
    let script = script.replace("127.0.0.1:8080", &server.address().to_string());
    // A newcomer's shop is where its configuration says.
    let script = format!("export SECKILL__HTTP__LISTEN={}\n{script}", server.address());
    // A newcomer is where README is.
    let script = script
        .replace("python3 examples", concat!("python3 ", env!("CARGO_MANIFEST_DIR"), "/examples"));
    assert!(script.contains("/orders/$ORDER/pay") && script.contains("mint --approver"));

    // A file: the stream of an order's events may outlive the shell.
    let printed = site.path("printed");
    let output = File::create(&printed).expect("a file");
    let errors = output.try_clone().expect("the file");
    let status = shell(&site, &programs, &script).stdout(output).stderr(errors).status();
    let said = fs::read_to_string(&printed).expect("what it printed");
    assert!(status.expect("bash runs").success(), "{said}");
    // The one refusal that a chapter is about.
    let refused = "/problems/buy_token_required";
    assert_eq!(said.matches(refused).count(), 1, "{said}");
    let said = said.replace(refused, "");
    for wrong in ["command not found", "unbound variable", "curl: (", "/problems/", "error:"] {
        assert!(!said.contains(wrong), "{wrong} in\n{said}");
    }
    for right in [
        "\"status\":\"paid\"",
        "\"status\":\"preheated\"",
        "the audit passes",
        "http.listen",
        "seckill.order.",
    ] {
        assert!(said.contains(right), "{right} is not in\n{said}");
    }
    server.stop().await;
    site.audit([]).must_balance();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chapter_on_three_servers_serves_a_shop_on_them() {
    let (Some(redis), Some(rabbitmq), Some(mariadb)) =
        (harness::redis(), harness::rabbitmq(), harness::mariadb())
    else {
        return;
    };
    let site = Site::new().with("DEMO__ENABLED", "true");
    let programs = programs(&site);
    let blocks = blocks();
    let block = blocks.iter().find(|block| block.ends_with(SERVE) && **block != SERVE);
    let mut script = (*block.expect("a chapter on servers")).to_owned();
    for (shown, private) in [
        ("redis://:$SECKILL_PASSWORD@127.0.0.1:6379/0", redis.url()),
        ("amqp://seckill:$SECKILL_PASSWORD@127.0.0.1:5672/%2f", rabbitmq.url()),
        ("mysql://seckill:$SECKILL_PASSWORD@127.0.0.1:3306/seckill", mariadb.url()),
    ] {
        assert!(script.contains(shown), "{shown} is not in\n{script}");
        script = script.replace(shown, &private);
    }
    let server = serve(&site, &programs, &script).await;
    let ready = server.look("/readyz?verbose").await;
    for kind in ["redis", "rabbitmq", "mysql"] {
        assert!(ready.text().contains(&format!("\"kind\":\"{kind}\"")), "{}", ready.text());
    }
    server.stop().await;
    let audit = script.replace(SERVE, "seckill audit\n");
    let output = shell(&site, &programs, &audit).output().expect("bash runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the audit passes"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
