//! A browser with a profile of its own, and the ways in which tests look at pages with it.

use super::Shop;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::until;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;
use thirtyfour::{By, ChromiumLikeCapabilities as _, DesiredCapabilities, Key, WebDriver};
use tokio::sync::Semaphore;

/// Tests that have browsers open at the same time: each browser is a dozen processes.
static TESTS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

/// The size and the kind of a screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Screen {
    /// Its width in CSS pixels.
    pub width: u32,
    /// Its height in CSS pixels.
    pub height: u32,
    /// Whether it is touched.
    pub is_phone: bool,
}

impl Screen {
    /// A phone.
    pub const PHONE: Self = Self { width: 390, height: 844, is_phone: true };
    /// A desktop.
    pub const DESKTOP: Self = Self { width: 1440, height: 900, is_phone: false };
}

/// Runs a test with a shop, and `browsers` browsers of different people; says so and passes where chromium
/// is not installed.
pub async fn in_browser<const N: usize>(
    settings: &[(&str, &str)],
    test: impl AsyncFnOnce(&mut Shop, [&Browser; N]),
) {
    let Some(driver) = harness::program("chromedriver") else { return };
    let Some(chromium) = harness::program("chromium") else { return };
    let _turn = TESTS.acquire().await.expect("it is never closed");
    let mut shop = Shop::start_with(settings).await;
    let mut browsers = Vec::new();
    for _ in 0..N {
        browsers.push(Browser::open(&driver, &chromium, &shop.url("")).await);
    }
    test(&mut shop, std::array::from_fn(|place| &browsers[place])).await;
    for browser in browsers {
        browser.close().await;
    }
}

/// A browser. Its processes are killed when it is dropped.
pub struct Browser {
    driver: WebDriver,
    process: Child,
    profile: TempDir,
    base: String,
}

impl Browser {
    async fn open(driver: &Path, chromium: &Path, base: &str) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            free.local_addr().expect("an address").port()
        };
        let process = Command::new(driver)
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("the driver runs");
        let mut capabilities = DesiredCapabilities::chrome();
        let data = format!("--user-data-dir={}", profile.path().join("profile").display());
        let mut arguments: Vec<&str> = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en",
            // A name of a local network: pages from there are not secure ones.
            "--host-resolver-rules=MAP shop.lan 127.0.0.1",
        ];
        arguments.push(&data);
        for argument in arguments {
            capabilities.add_arg(argument).expect("an argument");
        }
        capabilities.set_binary(&chromium.display().to_string()).expect("a path");
        let url = format!("http://127.0.0.1:{port}");
        let driver =
            until("the driver", async || WebDriver::new(&url, capabilities.clone()).await.ok());
        let driver = driver.await;
        let browser = Self { driver, process, profile, base: base.to_owned() };
        browser.screen(Screen::PHONE).await;
        browser
    }

    async fn close(self) {
        let driver = self.driver.clone();
        let _ = driver.quit().await;
    }

    /// Sends a command of the Chrome DevTools protocol.
    pub async fn command(&self, method: &str, parameters: Value) -> Value {
        self.driver
            .cdp()
            .send_raw(method, parameters)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Gives it this screen.
    pub async fn screen(&self, screen: Screen) {
        let Screen { width, height, is_phone } = screen;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone,
        });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Sets a preference of the visitor, such as `prefers-color-scheme` to `dark`.
    pub async fn prefer(&self, name: &str, value: &str) {
        let features = json!({ "features": [{ "name": name, "value": value }] });
        self.command("Emulation.setEmulatedMedia", features).await;
    }

    /// Turns scripts off or on.
    pub async fn scripts(&self, are_on: bool) {
        self.command("Emulation.setScriptExecutionDisabled", json!({ "value": !are_on })).await;
    }

    /// Goes to a page of the shop.
    pub async fn open_page(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.base)).await.expect("a page");
    }

    /// Goes to any address.
    pub async fn visit(&self, url: &str) {
        self.driver.goto(url).await.expect("a page");
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.driver.refresh().await.expect("a page");
    }

    /// The path of the page, with its query.
    pub async fn path(&self) -> String {
        let url = self.driver.current_url().await.expect("a page");
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// Waits until the page has this path.
    pub async fn until_path(&self, wanted: &str) {
        until(wanted, async || (self.path().await == wanted).then_some(())).await;
    }

    /// The text of an element, as it is shown; empty if there is none.
    pub async fn text(&self, css: &str) -> String {
        let Ok(element) = self.driver.find(By::Css(css)).await else { return String::new() };
        element.text().await.unwrap_or_default()
    }

    /// Waits until an element says something like this.
    pub async fn until_text(&self, css: &str, wanted: &str) {
        let what = format!("{css} to say {wanted}");
        let mut last = String::new();
        let found = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            loop {
                last = self.text(css).await;
                if last.contains(wanted) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        if found.await.is_err() {
            panic!("waited in vain for {what}: it says {last:?} at {}", self.path().await);
        }
    }

    /// Types into a field, which it empties first.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.driver.find(By::Css(css)).await.unwrap_or_else(|_| panic!("no {css}"));
        field.clear().await.expect("a field");
        field.send_keys(text).await.expect("a field");
    }

    /// Chooses a file of this machine.
    pub async fn choose(&self, css: &str, file: &Path) {
        let field = self.driver.find(By::Css(css)).await.unwrap_or_else(|_| panic!("no {css}"));
        field.send_keys(file.display().to_string()).await.expect("a field of files");
    }

    /// What a field holds.
    pub async fn value(&self, css: &str) -> String {
        let field = self.driver.find(By::Css(css)).await.unwrap_or_else(|_| panic!("no {css}"));
        field.value().await.expect("a field").unwrap_or_default()
    }

    /// Presses an element.
    pub async fn click(&self, css: &str) {
        let element = self.driver.find(By::Css(css)).await.unwrap_or_else(|_| panic!("no {css}"));
        element.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, key: Key) {
        let chain = self.driver.action_chain().send_keys(key);
        chain.perform().await.expect("a key");
    }

    /// Runs a script in the page and returns its value.
    pub async fn run(&self, script: &str) -> Value {
        let found = self.driver.execute(script, Vec::new()).await;
        found.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Runs a script that ends by calling its last argument with a value.
    pub async fn run_to_end(&self, script: &str) -> Value {
        let found = self.driver.execute_async(script, Vec::new()).await;
        found.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Whether the page is wider than the screen.
    pub async fn overflows(&self) -> bool {
        let script =
            "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        self.run(script).await == true
    }

    /// The controls that are shown and lower than a finger needs, which is 44 pixels; links within sentences and
    /// boxes with a label are none.
    pub async fn low_controls(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll('.button, .link-button, .top a, .back a, summary, select, input:not([type=checkbox]):not([type=radio]):not([type=hidden]):not([type=file])')].filter((control) => control.checkVisibility() && control.offsetHeight > 1 && control.offsetHeight < 44).map((control) => control.outerHTML)";
        let found = self.run(script).await;
        let found = found.as_array().expect("a list").iter();
        found.map(|control| control.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The bytes that the page's files took, compressed: of those whose path ends so, or of all but what scripts
    /// asked the API for.
    pub async fn bytes(&self, ending: &str) -> u64 {
        let script = "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map((entry) => [new URL(entry.name).pathname, entry.encodedBodySize])";
        let files = self.run(script).await;
        let files = files.as_array().expect("a list").iter();
        let of_page = files.filter(|file| {
            let path = file[0].as_str().unwrap_or_default();
            !path.starts_with("/api/")
                && !path.starts_with("/console/live")
                && path.ends_with(ending)
        });
        of_page.map(|file| file[1].as_u64().unwrap_or_default()).sum()
    }

    /// Logs a buyer in whose password is `correct horse`.
    pub async fn log_in(&self, name: &str) {
        self.open_page("/en/login").await;
        self.fill("#user_name", name).await;
        self.fill("#password", "correct horse").await;
        self.click("main button").await;
        self.until_path("/en/").await;
    }

    /// Keeps a picture of what the screen shows for the documents, as `docs/pictures/{name}.webp`, if
    /// `SECKILL_PICTURES=1` asks for it: tests leave the sources as they are.
    pub async fn picture(&self, name: &str) {
        if std::env::var("SECKILL_PICTURES").is_ok_and(|value| value == "1") {
            let wanted = json!({ "format": "webp", "quality": 70 });
            let taken = self.command("Page.captureScreenshot", wanted).await;
            let bytes = STANDARD.decode(taken["data"].as_str().expect("a picture"));
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
            std::fs::create_dir_all(&folder).expect("a folder");
            let path = folder.join(name).with_extension("webp");
            std::fs::write(path, bytes.expect("base64")).expect("a picture");
        }
    }

    /// Keeps a picture of the whole page as `target/screenshots/{name}.png`, and returns where it is.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let size = self.run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]").await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.command("Page.captureScreenshot", wanted).await;
        let bytes = STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("base64");
        let path = target().join("screenshots").join(format!("{name}.png"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, bytes).expect("a picture");
        path
    }

    /// What the rules of accessibility of axe-core find wrong with the page; nothing where it was not fetched
    /// (`.ci/run` does).
    pub async fn accessibility(&self) -> Vec<String> {
        let path = target().join("axe-core/package/axe.min.js");
        let Ok(axe) = std::fs::read_to_string(&path) else {
            let is_required =
                std::env::var("SECKILL_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
            assert!(!is_required, "{} is missing, and SECKILL_REQUIRE_SERVICES=1", path.display());
            println!("skipped: {} is missing", path.display());
            return Vec::new();
        };
        let script = format!(
            "{axe}\nconst done = arguments[arguments.length - 1];\n\
             axe.run(document, {{ resultTypes: ['violations'] }}).then((found) => done(found.violations.map((rule) => \
             rule.id + ': ' + rule.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | '))), (error) => done([String(error)]));"
        );
        let found = self.run_to_end(&script).await;
        found
            .as_array()
            .expect("a list")
            .iter()
            .map(|rule| rule.as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process, kill_process_group};
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
        // The browser's own processes have left the driver's group; its profile is theirs alone.
        let profile = self.profile.path().display().to_string();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if String::from_utf8_lossy(&words).contains(&profile)
                && let Some(pid) = pid.and_then(Pid::from_raw)
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// Where builds and what tests leave behind are.
fn target() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(own, PathBuf::from)
}
