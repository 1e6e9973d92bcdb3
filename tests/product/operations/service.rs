//! What a service manager and a container engine have of the program: sockets that outlive it, words about
//! its start, signs of life, and an exit code for its health.

use crate::support::{
    Attempt, Client, Offer, OpenSale, Server, Site, Witness, must_sell, patiently, until,
};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::UnixDatagram;
use tokio::task::JoinSet;

const LASTING: Offer = Offer { allotted: 1_000_000, limit: 10_000, window_seconds: 600 };
/// Buyers who come at the same time.
const BUYERS: usize = 8;
/// Purchases that are confirmed between two ends of the process.
const BETWEEN_ENDS: usize = 20;

/// A socket that listens as long as the test does, as a service manager's does.
fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("its address");
    (socket, address)
}

/// Buyers who open a connection for each purchase, and repeat it on another one while its outcome is
/// unknown.
struct Buyers {
    people: JoinSet<()>,
    go_home: Arc<AtomicBool>,
}

impl Buyers {
    fn come(address: SocketAddr, shop: &Arc<OpenSale>, witness: &Arc<Witness>) -> Self {
        let go_home = Arc::new(AtomicBool::new(false));
        let mut people = JoinSet::new();
        for buyer in 0..BUYERS {
            let (shop, witness) = (Arc::clone(shop), Arc::clone(witness));
            let go_home = Arc::clone(&go_home);
            people.spawn(async move {
                let mut number = 0;
                while !go_home.load(Ordering::Relaxed) {
                    number += 1;
                    let (item, key) = (shop.items[0], format!("{buyer}-{number}"));
                    buy(address, &shop, &witness, Attempt { item, buyer, key }).await;
                }
            });
        }
        Self { people, go_home }
    }

    /// Waits until so many more purchases are confirmed.
    async fn confirmed(&mut self, witness: &Witness, more: usize) {
        let wanted = witness.confirmed() + more;
        until("confirmed purchases", async || {
            assert!(self.people.try_join_next().is_none(), "a buyer left");
            (witness.confirmed() >= wanted).then_some(())
        })
        .await;
    }

    async fn leave(mut self) {
        self.go_home.store(true, Ordering::Relaxed);
        while let Some(left) = patiently("buyers to leave", self.people.join_next()).await {
            left.expect("no buyer saw anything wrong");
        }
    }
}

/// Buys until the outcome is known.
async fn buy(address: SocketAddr, shop: &OpenSale, witness: &Witness, attempt: Attempt) {
    let Attempt { item, buyer, key } = &attempt;
    loop {
        let client = patiently("a connection", Client::open(address)).await;
        let mut client = client.expect("nobody is refused a connection");
        // The process that had accepted it may have ended.
        if let Ok(answer) = patiently("an answer", shop.buy(&mut client, *item, *buyer, key)).await
            && witness.bought(&attempt, &answer)
        {
            return;
        }
    }
}

async fn serving(site: &Site, server: &Server) {
    let listening = server.listens().await;
    assert!(listening.is_ok(), "{listening:?}\n{}", site.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_buyer_is_refused_a_connection_while_the_process_is_stopped_or_killed() {
    let mut site = Site::new();
    let (server, shop) = site.open_shop(BUYERS, &[LASTING]).await;
    server.stop().await;
    let (socket, address) = socket();
    site.set("HTTP__LISTEN", &address.to_string());
    let (shop, witness) = (Arc::new(shop), Arc::new(Witness::default()));
    let launch = || site.launch_managed(Some(&socket), &[("LISTEN_FDNAMES", "shop")]);
    let mut server = launch();
    // They come before it serves.
    let mut buyers = Buyers::come(address, &shop, &witness);
    for end in 0..10 {
        serving(&site, &server).await;
        assert_eq!(server.address(), address);
        buyers.confirmed(&witness, BETWEEN_ENDS).await;
        if end % 2 == 0 {
            server.stop().await;
        } else {
            server.kill().await;
        }
        server = launch();
    }
    serving(&site, &server).await;
    buyers.confirmed(&witness, BETWEEN_ENDS).await;
    buyers.leave().await;
    server.stop().await;
    site.set("HTTP__LISTEN", "127.0.0.1:0");
    witness.close(&site, &shop).await;
}

/// Starts it with this socket, which must be refused in these words.
async fn check_refused(site: &Site, variables: &[(&str, &str)], words: &str) {
    let (socket, _) = socket();
    let refused = site.launch_managed(Some(&socket), variables);
    let status = refused.listens().await.expect_err("it does not start");
    assert_eq!(status.code(), Some(5), "{}", site.log());
    site.logged(words).await;
    assert!(site.log().contains("FileDescriptorName=operations"), "{}", site.log());
    assert!(!site.data().exists(), "it touched the disk");
}

#[tokio::test]
async fn a_socket_that_is_not_what_the_settings_say_is_refused_by_name() {
    let elsewhere = Site::new().with("HTTP__LISTEN", "127.0.0.1:1");
    check_refused(&elsewhere, &[], ", and http.listen is 127.0.0.1:1").await;
    let elsewhere = Site::new().with("OPERATIONS__LISTEN", "127.0.0.2:0");
    let named = [("LISTEN_FDNAMES", "operations")];
    check_refused(&elsewhere, &named, ", and operations.listen is 127.0.0.2:0").await;
}

#[tokio::test]
async fn what_is_no_socket_that_listens_is_refused() {
    let site = Site::new();
    let refused = |descriptors: &str, count: &str| {
        let script = format!("exec {descriptors} && LISTEN_FDS={count} exec \"$0\" serve");
        let mut command = Command::new("/bin/bash");
        let program = site.command(&[]);
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_seckill")])
            .current_dir(site.path("."))
            .env_clear()
            .envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))))
            .stdin(Stdio::null());
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(5));
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(refused("3</dev/null", "1").contains("fd 3 is not a socket"));
    assert!(refused("3<&-", "3").contains("there are 3, and 2 are the most"));
    assert!(!site.data().exists(), "it touched the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_called_operations_is_for_those_who_run_the_shop() {
    let (socket, address) = socket();
    let site = Site::new().with("OPERATIONS__LISTEN", &address.to_string());
    let server = site.launch_managed(Some(&socket), &[("LISTEN_FDNAMES", "operations")]);
    serving(&site, &server).await;
    assert_eq!(server.operations(), address);
    assert_ne!(server.address(), address);
    assert_eq!(server.look("/livez").await.status, 200);
    server.stop().await;
}

/// Sockets that were meant for another process are none of this one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_another_process_are_left_alone() {
    let site = Site::new();
    let meant = [("LISTEN_FDS", "9"), ("LISTEN_PID", "1"), ("LISTEN_FDNAMES", "shop")];
    let server = site.launch_managed(None, &meant);
    serving(&site, &server).await;
    server.stop().await;
}

/// What a service manager hears, a datagram after the other.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn listen(site: &Site) -> Self {
        let path = site.path("manager");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Self { socket, path: path.to_str().expect("UTF-8").to_owned() }
    }

    /// Hears on until a message has a line that begins with this, and returns that message.
    async fn hears(&self, beginning: &str) -> String {
        // Of the whole: signs of life come for ever.
        patiently(beginning, async {
            let mut bytes = [0; 4_096];
            loop {
                let length = self.socket.recv(&mut bytes).await.expect("words");
                let message = std::str::from_utf8(&bytes[..length]).expect("text");
                if message.lines().any(|line| line.starts_with(beginning)) {
                    return message.to_owned();
                }
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_hears_how_the_start_goes_on_and_the_end_begins() {
    let site = Site::new();
    let (server, shop) = site.open_shop(1, &[LASTING]).await;
    let witness = Witness::default();
    let attempt = Attempt { item: shop.items[0], buyer: 0, key: "before".to_owned() };
    must_sell(&server, &shop, &witness, attempt).await;
    server.kill().await;

    let manager = Manager::listen(&site);
    let variables = [("NOTIFY_SOCKET", manager.path.as_str()), ("WATCHDOG_USEC", "1000000")];
    let server = site.launch_managed(None, &variables);
    manager.hears("STATUS=recovering: ").await;
    let recovered = manager.hears("STATUS=recovered ").await;
    let records = recovered.split(' ').nth(1).and_then(|count| count.parse::<u64>().ok());
    // The sale's items and the order.
    assert!(records.is_some_and(|records| records >= 2), "{recovered}");
    let ready = manager.hears("READY=1").await;
    serving(&site, &server).await;
    let words = format!("READY=1\nSTATUS=serving on http://{}\n", server.address());
    assert_eq!(ready, words);
    for _ in 0..2 {
        manager.hears("WATCHDOG=1").await;
    }
    server.signal(rustix::process::Signal::TERM);
    manager.hears("STOPPING=1").await;
    assert_eq!(server.ended().await.code(), Some(0));
    witness.close(&site, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_service_manager_that_does_not_listen() {
    let site = Site::new();
    // Asks for a sign of life every half a millisecond, which nobody takes.
    let variables = [("NOTIFY_SOCKET", "nowhere"), ("WATCHDOG_USEC", "1000")];
    let server = site.launch_managed(None, &variables);
    serving(&site, &server).await;
    site.logged("the service manager cannot be told").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_says_whether_the_shop_sells() {
    let mut site = Site::new();
    let server = site.start().await;
    let health = |site: &Site| {
        let output = site.run(&["health"]);
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8(said).expect("text"));
        (output.status.code(), said.concat())
    };
    let (code, said) = health(&site);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("operations.listen does not say at which port"), "{said}");
    site.set("OPERATIONS__LISTEN", &server.operations().to_string());
    let (code, said) = health(&site);
    assert_eq!(code, Some(0), "{said}");
    assert!(["ok\n", "degraded\n"].contains(&said.as_str()), "{said}");
    server.stop().await;
    site.set("OPERATIONS__LISTEN", "127.0.0.1:1");
    let (code, said) = health(&site);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("127.0.0.1:1 does not answer"), "{said}");
}
