//! Clients that are slow, large or talk nonsense, while others buy. Drills 39 to 42.

use std::net::SocketAddr;
use std::time::Duration;

use harness::hostile;
use harness::http::{Answer, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::audit::ItemStanding;
use crate::drills::evidence::{Evidence, wants};
use crate::drills::load::Load;
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::drive::Record;
use crate::outcome::Class;
use crate::report::Judged;
use crate::stage::Sampler;
use crate::{Error, Result};

/// A server that is short of patience.
const IMPATIENT: [(&str, &str); 4] = [
    ("HTTP__HEADER_TIMEOUT_MS", "1000"),
    ("HTTP__BODY_TIMEOUT_MS", "1000"),
    ("HTTP__WRITE_TIMEOUT_MS", "1000"),
    ("HTTP__IDLE_TIMEOUT_MS", "3000"),
];
/// Hostile clients of one kind at the same time.
const HOSTILE: usize = 100;
/// What they may cost in memory, with buffers and an allocator's generosity.
const GROWN_MIB_MAX: f64 = 64.0;
/// Rounds until others wait no longer than alone.
const ROUNDS: usize = 4;
/// Between two of them that come.
const BETWEEN: Duration = Duration::from_millis(8);
const CLOSED_WITHIN: Duration = Duration::from_secs(20);
/// How much longer others may wait: a tenth, or what a busy machine makes of it anyway.
const P99_MORE: f64 = 0.1;
const P99_NOISE_MS: f64 = 50.0;
const STREAMS: u32 = 10_000;

/// 39: slow heads, slow bodies, slow readers.
pub async fn slow_clients(setting: &Setting) -> Result<Evidence> {
    let (mut shop, before) = open(setting).await?;
    let load = Load::of(setting.of(60.0, 400.0), 3.0);
    let (mut left, mut turned_away, mut waits) = (0, 0, Waits::default());
    // Whatever else the machine does can only make it worse: the best round counts.
    for _ in 0..ROUNDS {
        let alone = shop.carry(load).await?;
        let clients = send_slow_clients(&mut shop);
        let beside = shop.carry(load).await?;
        left += clients.join_all().await.into_iter().filter(|closed| !closed).count();
        turned_away += beside.of_class(Class::Unavailable) + beside.of_class(Class::Unknown);
        waits = waits.better(Waits { alone_ms: p99_ms(&alone), beside_ms: p99_ms(&beside) });
        if waits.are_equal() {
            break;
        }
    }
    shop.repaired();
    let (most, found) = (waits.most_ms(), waits.beside_ms);
    let own = vec![
        wants("hostile connections that stay open", "0", left, left == 0),
        wants("others turned away", "0", turned_away, turned_away == 0),
        wants(
            "others' p99",
            format!("≤ {most:.1} ms"),
            format!("{found:.1} ms"),
            waits.are_equal(),
        ),
        memory(&mut shop, before),
    ];
    shop.close(own).await
}

/// How long buyers wait, 99 of a hundred, alone and beside hostile clients.
#[derive(Debug, Clone, Copy)]
struct Waits {
    alone_ms: f64,
    beside_ms: f64,
}

impl Default for Waits {
    fn default() -> Self {
        Self { alone_ms: 0.0, beside_ms: f64::INFINITY }
    }
}

impl Waits {
    fn most_ms(self) -> f64 {
        (self.alone_ms * (1.0 + P99_MORE)).max(self.alone_ms + P99_NOISE_MS)
    }

    fn are_equal(self) -> bool {
        self.beside_ms <= self.most_ms()
    }

    fn better(self, other: Self) -> Self {
        if other.beside_ms - other.alone_ms < self.beside_ms - self.alone_ms { other } else { self }
    }
}

fn p99_ms(record: &Record) -> f64 {
    record.latency.value_at_quantile(0.99) as f64 / 1e3
}

fn send_slow_clients(shop: &mut Shop) -> JoinSet<bool> {
    let address = shop.engine().address();
    let (buy, token) = buy_path(shop, 0);
    let slow = hostile::slow_requests(&buy, &token);
    let mut clients = JoinSet::new();
    for number in 0..3 * HOSTILE {
        let words = slow[number % 3].clone();
        // One after another: what is tried is that they are slow, and not that they come at once.
        let wait = BETWEEN * u32::try_from(number).unwrap_or(u32::MAX);
        clients.spawn(async move {
            tokio::time::sleep(wait).await;
            is_closed(address, words.as_bytes(), number % 3 == 2).await
        });
    }
    clients
}

/// 40: bodies of a gigabyte, 10,000 headers, compressed bodies, streams opened and reset.
pub async fn oversized_clients(setting: &Setting) -> Result<Evidence> {
    let (mut shop, before) = open(setting).await?;
    let address = shop.engine().address();
    let (buy, token) = buy_path(&shop, 0);
    let mut clients = JoinSet::new();
    for (bytes, statuses) in hostile::oversized_requests(&buy, &token) {
        for _ in 0..HOSTILE / 10 {
            let bytes = bytes.clone();
            clients.spawn(async move { is_refused(address, &bytes, statuses).await });
        }
    }
    let wrong = clients.join_all().await.into_iter().filter(|refused| !refused).count();
    let reset = is_closed(address, &hostile::rapid_resets(STREAMS), false).await;
    let own = vec![
        wants("taken though too large", "0", wrong, wrong == 0),
        wants("streams opened and reset", "closed", closed(reset), reset),
        memory(&mut shop, before),
    ];
    shop.close(own).await
}

/// 41: malformed, deep and repeated JSON, bad UTF-8, what is no HTTP.
pub async fn nonsense(setting: &Setting) -> Result<Evidence> {
    let (mut shop, before) = open(setting).await?;
    let standings = shop.standings().await?;
    let address = shop.engine().address();
    let (buy, token) = buy_path(&shop, 0);
    let mut wrong = Vec::new();
    for (body, code) in hostile::nonsense_bodies() {
        let answer = exchange(address, &hostile::purchase(&buy, &token, &body)).await?;
        note(&mut wrong, &answer, code);
    }
    for bytes in hostile::MALFORMED_HEADS {
        if !is_refused(address, bytes, &["400", "405", "505"]).await {
            wrong.push(String::from_utf8_lossy(bytes).into_owned());
        }
    }
    close_as_before(shop, &wrong, &standings, before).await
}

/// 42: quantities and prices that cannot be.
pub async fn impossible_numbers(setting: &Setting) -> Result<Evidence> {
    let (mut shop, before) = open(setting).await?;
    let standings = shop.standings().await?;
    let address = shop.engine().address();
    let (buy, token) = buy_path(&shop, 0);
    let mut wrong = Vec::new();
    for body in hostile::IMPOSSIBLE_QUANTITIES {
        let answer = exchange(address, &hostile::purchase(&buy, &token, body.as_bytes())).await?;
        note(&mut wrong, &answer, "invalid_field");
    }
    for body in hostile::impossible_sales() {
        let mut client = client(address).await?;
        let path = "/api/v1/admin/sales";
        let answer = client.send("POST", path, shop.operator(), &[], &body).await;
        note(&mut wrong, &answer.map_err(Error::io("making an impossible sale"))?, "invalid_field");
    }
    close_as_before(shop, &wrong, &standings, before).await
}

/// A shop that is short of patience, and its memory in MiB.
async fn open(setting: &Setting) -> Result<(Shop, f64)> {
    let opening = Opening { environment: &IMPATIENT, ..Opening::default() };
    let mut shop = Shop::open(setting, opening).await?;
    shop.trade().await?;
    let before = resident_mib(&mut shop);
    Ok((shop, before))
}

/// Where an item is bought, and a user's token.
fn buy_path(shop: &Shop, item: usize) -> (String, String) {
    let path = format!("/api/v1/items/{}/buy", shop.items()[item]);
    (path, shop.crowd().token(shop.own_user(0)).to_owned())
}

/// What was sent to a shop has all been refused, and has changed nothing.
async fn close_as_before(
    mut shop: Shop,
    wrong: &[String],
    standings: &[ItemStanding],
    before: f64,
) -> Result<Evidence> {
    let unchanged = shop.standings().await? == *standings;
    let own = vec![
        all_refused(wrong),
        wants("counters", "unchanged", if unchanged { "unchanged" } else { "changed" }, unchanged),
        memory(&mut shop, before),
    ];
    shop.close(own).await
}

fn resident_mib(shop: &mut Shop) -> f64 {
    Sampler::new(vec![shop.engine().process()]).sample(0.0).resident_mib
}

fn memory(shop: &mut Shop, before: f64) -> Judged {
    let grown = resident_mib(shop) - before;
    let found = format!("{grown:.0} MiB more");
    wants("memory", format!("≤ {GROWN_MIB_MAX:.0} MiB more"), found, grown <= GROWN_MIB_MAX)
}

fn all_refused(wrong: &[String]) -> Judged {
    let found = wrong.first().map_or("all".to_owned(), |first| format!("not {first}"));
    wants("refused with 4xx and the reason's code", "all", found, wrong.is_empty())
}

fn note(wrong: &mut Vec<String>, answer: &Answer, code: &str) {
    let said = String::from_utf8_lossy(&answer.body);
    let has_code = said.contains(&format!("\"code\":\"{code}\""));
    if !((400..500).contains(&answer.status) && has_code) {
        wrong.push(format!("{}: {said}", answer.status));
    }
}

fn closed(closed: bool) -> &'static str {
    if closed { "closed" } else { "open" }
}

async fn client(address: SocketAddr) -> Result<Client> {
    Client::open(address).await.map_err(Error::io("connecting"))
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> Result<Answer> {
    client(address).await?.exchange(bytes).await.map_err(Error::io("talking nonsense"))
}

/// Whether these bytes are answered with one of these statuses, or not at all and the connection closed.
async fn is_refused(address: SocketAddr, bytes: &[u8], statuses: &[&str]) -> bool {
    let Ok(mut client) = Client::open(address).await else { return false };
    match tokio::time::timeout(CLOSED_WITHIN, client.exchange(bytes)).await {
        Ok(Ok(answer)) => statuses.contains(&answer.status.to_string().as_str()),
        Ok(Err(_)) => true,
        Err(_) => false,
    }
}

/// Whether a connection on which this is said is closed in time; `deaf` clients read nothing until then.
async fn is_closed(address: SocketAddr, bytes: &[u8], deaf: bool) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    // A client that does not listen may be cut off while still talking.
    let talking = tokio::time::timeout(CLOSED_WITHIN, stream.write_all(bytes)).await;
    if deaf && talking.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut heard = Vec::new();
    // A reset is a closed connection too.
    tokio::time::timeout(CLOSED_WITHIN, stream.read_to_end(&mut heard)).await.is_ok()
}
