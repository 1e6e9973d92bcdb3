//! `seckill export`: the shop's pages as files, and a web server over them with the shop behind it.

use super::support::{Running, Shop, in_browser, in_seconds, offer};
use flate2::read::GzDecoder;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Cursor, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// A PNG of one pixel.
fn picture() -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    RgbImage::new(1, 1).write_to(&mut png, ImageFormat::Png).expect("a picture");
    png.into_inner()
}

fn files(folder: &Path) -> Vec<String> {
    let manifest = std::fs::read(folder.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    manifest["files"].as_object().expect("files").keys().cloned().collect()
}

/// The path at which the shop serves a file of the export.
fn served_at(file: &str) -> String {
    let page = file.strip_suffix("index.html").or_else(|| file.strip_suffix(".html"));
    format!("/{}", page.unwrap_or(file))
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_files_are_what_the_shop_serves() {
    let shop = Shop::start().await;
    let now = shop.now().await;
    let mut mug = offer("mug", "Mug </script>", 5);
    let picture = shop.keep_picture(&picture()).await;
    mug["picture"] = json!(picture);
    shop.sale("Noon", in_seconds(now, 60), vec![mug]).await;
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().display().to_string();
    let first = shop.run(&["export", &path]);
    let found = files(folder.path());
    let picture = format!("media/{picture}");
    for wanted in
        ["zh/index.html", "en/items/1.html", "en/sales/1.html", "zh/items/1.html.gz", &picture]
    {
        assert!(found.iter().any(|file| file == wanted), "{wanted} is missing in {found:?}");
    }
    for file in found.iter().filter(|file| !file.ends_with(".gz")) {
        let answer = shop.ask("GET", &served_at(file), "", None).await;
        assert_eq!(answer.status, 200, "{file}");
        let bytes = std::fs::read(folder.path().join(file)).expect("a file");
        assert!(answer.body == bytes, "{file} is not what is served");
        if let Ok(packed) = std::fs::read(folder.path().join(format!("{file}.gz"))) {
            let mut unpacked = Vec::new();
            GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("gzip");
            assert!(unpacked == bytes, "{file}.gz is not {file}");
        }
    }
    let again = shop.run(&["export", &path]);
    assert!(first.ends_with("new or changed") && again.contains(", 0 of them"), "{first}\n{again}");
    // A sale that is approved meanwhile is a few files more, and changes the lists.
    shop.sale("Evening", in_seconds(now, 600), vec![offer("lamp", "Lamp", 5)]).await;
    shop.run(&["export", &path]);
    let home = std::fs::read_to_string(folder.path().join("en/index.html")).expect("a page");
    assert!(home.contains("Evening") && files(folder.path()).len() > found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_while_it_watches_is_exported() {
    let shop = Shop::start().await;
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().display().to_string();
    let process = shop.begin(&["export", &path, "--watch"]);
    let home = async || std::fs::read_to_string(folder.path().join("en/index.html")).ok();
    harness::until("the first export", home).await;
    shop.sale("Evening", in_seconds(shop.now().await, 600), vec![offer("lamp", "Lamp", 5)]).await;
    harness::until("the sale", async || home().await?.contains("Evening").then_some(())).await;
    drop(process);
}

/// Starts a web server over an export, with the shop behind it for all else; its port.
fn nginx(program: &Path, folder: &Path, shop: &Shop) -> (Running, u16) {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let place = folder.display();
    let mut text = format!("daemon off; master_process off; pid {place}/pid; error_log stderr;\n");
    let _ = write!(
        text,
        "events {{}}\nhttp {{ access_log off; default_type text/plain;\n\
         types {{ text/html html; text/css css; text/javascript js; image/svg+xml svg; }}\n\
         client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
         fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
         server {{ listen 127.0.0.1:{port}; root {place}/pages; gzip_static on;\n\
         location / {{ try_files $uri $uri.html $uri/index.html @shop; }}\n\
         location @shop {{ proxy_pass http://{address}; proxy_set_header Host $http_host; }} }} }}\n",
        address = shop.address(),
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).expect("written");
    let process = Command::new(program)
        .args(["-p", &place.to_string(), "-c", &file.display().to_string()])
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).expect("a log"))
        .spawn()
        .expect("nginx runs");
    (Running(process), port)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_shops_through_a_web_server_over_the_export() {
    let Some(program) = harness::program("nginx") else { return };
    in_browser(&[], async |shop, [browser]| {
        let now = shop.now().await;
        let (_, items) = shop.sale("Noon", in_seconds(now, -60), vec![offer("mug", "Mug", 5)]).await;
        shop.buyer("wei").await;
        let folder = tempfile::tempdir().expect("a directory");
        shop.run(&["export", &folder.path().join("pages").display().to_string()]);
        let (_nginx, port) = nginx(&program, folder.path(), shop);
        let url = |path: &str| format!("http://localhost:{port}{path}");
        harness::until("nginx", async || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await;
        browser.visit(&url(&format!("/en/login?to=/en/items/{}", items[0]))).await;
        browser.fill("#user_name", "wei").await;
        browser.fill("#password", "correct horse").await;
        browser.click("main button").await;
        browser.until_text("#buy-label", "Buy now").await;
        let page = browser.run_to_end("const done = arguments[arguments.length - 1]; fetch(location.href).then((answer) => done([answer.headers.get('server'), answer.headers.get('content-encoding'), answer.headers.get('x-request-id')]));").await;
        assert!(page[0].as_str().is_some_and(|server| server.starts_with("nginx")), "{page}");
        assert_eq!((&page[1], &page[2]), (&"gzip".into(), &Value::Null), "the page came from the file");
        browser.click("#buy").await;
        browser.until_text("#buy-label", "Pay within").await;
        browser.click("#buy").await;
        browser.until_text(".badge", "not paid yet").await;
        browser.click("form[action$=\"/pay\"] button").await;
        browser.until_text(".badge", "Paid").await;
    })
    .await;
}
