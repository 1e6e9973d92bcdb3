//! A process of the program on a directory of its own, and sales for it.

use harness::http::{Answer, Client};
use harness::patiently;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A running shop. Killed when dropped.
pub struct Shop {
    process: Child,
    address: SocketAddr,
    operator: String,
    admin: String,
    approver: String,
    directory: TempDir,
    settings: Vec<(String, String)>,
}

impl Shop {
    /// Starts a shop without the demo's sales.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a shop with these settings, such as `("SECKILL__TOKENS__TTL_SECONDS", "60")`.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let base = [
            ("SECKILL__HTTP__LISTEN", "127.0.0.1:0"),
            ("SECKILL__OPERATIONS__LISTEN", "127.0.0.1:0"),
            ("SECKILL__DEMO__ENABLED", "false"),
        ];
        let settings: Vec<(String, String)> = [&base, settings]
            .concat()
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let (process, address) = serve(program(&directory, &settings), &directory).await;
        let mut shop = Self {
            process,
            address,
            operator: String::new(),
            admin: String::new(),
            approver: String::new(),
            directory,
            settings,
        };
        shop.operator = shop.run(&["mint", "--operator", "eva"]);
        shop.admin = shop.run(&["mint", "--admin", "eva"]);
        shop.approver = shop.run(&["mint", "--approver", "bo"]);
        shop
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.address.port())
    }

    /// Runs a command of the program beside it, and returns what it prints.
    pub fn run(&self, words: &[&str]) -> String {
        let output =
            program(&self.directory, &self.settings).args(words).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Starts a command of the program beside it, and lets it run.
    pub fn begin(&self, words: &[&str]) -> Running {
        let mut command = program(&self.directory, &self.settings);
        Running(command.args(words).stdout(Stdio::null()).spawn().expect("it runs"))
    }

    /// Starts it again where it was, after it was killed.
    pub async fn restart(&mut self) {
        let mut command = program(&self.directory, &self.settings);
        command.env("SECKILL__HTTP__LISTEN", self.address.to_string());
        (self.process, self.address) = serve(command, &self.directory).await;
    }

    /// Tokens of so many buyers who are known by them alone.
    pub fn buyers(&self, count: usize) -> Vec<String> {
        self.buyers_from(1_000_000, count)
    }

    /// Tokens of so many buyers, the first of whom has this number.
    pub fn buyers_from(&self, first: u64, count: usize) -> Vec<String> {
        let (first, count) = (first.to_string(), count.to_string());
        let lines = self.run(&["mint", "--users", &count, "--first", &first]);
        let token = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["token"].as_str().expect("a token").to_owned()
        };
        lines.lines().map(token).collect()
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Asks the API.
    pub async fn ask(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let mut client = Client::open(self.address).await.expect("it listens");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        client.send(method, path, token, &[], &body).await.expect("it answers")
    }

    /// Asks the API as an operator, who must be obeyed.
    pub async fn operate(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.ask(method, path, &self.operator, body).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        answer.json()
    }

    /// Changes something as an admin, who names the version that is meant.
    pub async fn change(&self, method: &str, path: &str, version: &str, body: Value) -> Answer {
        let mut client = Client::open(self.address).await.expect("it listens");
        let headers = [("if-match", version)];
        let body = body.to_string();
        client.send(method, path, &self.admin, &headers, &body).await.expect("it answers")
    }

    /// Has the shop keep a PNG picture, and returns its name.
    pub async fn keep_picture(&self, png: &[u8]) -> String {
        let head = format!(
            "POST /api/v1/admin/media HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n\
             content-type: image/png\r\ncontent-length: {}\r\n\r\n",
            self.operator,
            png.len()
        );
        let mut client = Client::open(self.address).await.expect("it listens");
        let kept = client.exchange(&[head.as_bytes(), png].concat()).await.expect("it answers");
        assert_eq!(kept.status, 201, "{}", kept.text());
        kept.json()["picture"].as_str().expect("a name").to_owned()
    }

    /// Makes a sale, has it approved, and returns its identity and those of its items.
    pub async fn sale(
        &self,
        title: &str,
        starts_at: u64,
        items: Vec<Value>,
    ) -> (String, Vec<String>) {
        let text = |at: u64| seckill::http::timestamp::to_string(domain::Timestamp(at));
        let draft = json!({
            "title": title, "starts_at": text(starts_at), "ends_at": text(starts_at + 3_600_000),
            "items": items,
        });
        let made = self.operate("POST", "/api/v1/admin/sales", Some(draft)).await;
        let sale = made["sale_id"].as_str().expect("an identity").to_owned();
        let path = format!("/api/v1/admin/sales/{sale}");
        self.operate("POST", &format!("{path}/submit"), None).await;
        let approved = self.ask("POST", &format!("{path}/approve"), &self.approver, None).await;
        assert_eq!(approved.status, 200, "{}", approved.text());
        let items = made["items"].as_array().expect("items").iter();
        (
            sale,
            items.map(|item| item["item_id"].as_str().expect("an identity").to_owned()).collect(),
        )
    }

    /// Buys an item and has its money taken twice: the payment whose money has to go back, once it is listed.
    pub async fn paid_twice(&self, item: &str, buyer: &str) -> String {
        let token = self.buyer(buyer).await;
        let bought = self.ask("POST", &format!("/api/v1/items/{item}/buy"), &token, None).await;
        assert_eq!(bought.status, 201, "{}", bought.text());
        let order = bought.json()["order_id"].as_str().expect("an identity").to_owned();
        let body = json!({ "payment": { "outcome": "twice" } });
        let path = format!("/api/v1/orders/{order}/pay");
        let paid = self.ask("POST", &path, &token, Some(body)).await;
        assert_eq!(paid.status, 200, "{}", paid.text());
        let payment = format!("{order}-2");
        harness::until("the refund in the list", async || {
            let due = self.operate("GET", "/api/v1/admin/refunds", None).await;
            let rows = due["data"].as_array().expect("rows").iter();
            rows.clone().any(|row| row["payment_id"] == payment.as_str()).then_some(())
        })
        .await;
        payment
    }

    /// The time of its clock, in milliseconds since 1970.
    pub async fn now(&self) -> u64 {
        let time = self.ask("GET", "/api/v1/time", "", None).await.json();
        time["unix_ms"].as_u64().expect("a number")
    }

    /// Registers a buyer with the password `correct horse`, and returns a token.
    pub async fn buyer(&self, name: &str) -> String {
        let body = json!({ "user_name": name, "password": "correct horse" });
        let registered = self.ask("POST", "/api/v1/users", "", Some(body.clone())).await;
        assert_eq!(registered.status, 201, "{}", registered.text());
        let login = self.ask("POST", "/api/v1/login", "", Some(body)).await.json();
        login["token"].as_str().expect("a token").to_owned()
    }
}

/// A process that is killed when it is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the command's server, and returns it once it listens.
async fn serve(mut command: Command, directory: &TempDir) -> (Child, SocketAddr) {
    let log = std::fs::File::create(directory.path().join("log")).expect("a log");
    let mut process =
        command.arg("serve").stdout(Stdio::piped()).stderr(log).spawn().expect("the program runs");
    let output = BufReader::new(process.stdout.take().expect("its output"));
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut lines = output.lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            line.strip_prefix("listening on http://").and_then(|address| address.parse().ok())
        });
        let _ = address.map(|address: SocketAddr| tell.send(address));
        // What is not read would block the process one day.
        lines.for_each(drop);
    });
    let address = patiently("the shop to listen", told).await.expect("it listens");
    (process, address)
}

fn program(directory: &TempDir, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seckill"));
    command
        .current_dir(directory.path())
        .env_clear()
        .env("SECKILL__DATA__DIR", directory.path().join("data"))
        .envs(settings.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null());
    command
}

/// An item of a draft, in yuan.
pub fn offer(product: &str, title: &str, allotted: u32) -> Value {
    json!({
        "product_id": product, "title": title, "price": 990, "list_price": 2_900, "currency": "CNY",
        "allotted": allotted, "limit_per_user": 1, "payment_window_seconds": 600,
    })
}

/// The instant so many seconds after another, in milliseconds.
pub fn in_seconds(now: u64, seconds: i64) -> u64 {
    now.saturating_add_signed(seconds * 1_000)
}
