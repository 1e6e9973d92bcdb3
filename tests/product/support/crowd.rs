//! Buyers who buy, repeat, pay, cancel and look, until they are sent home or the server is gone.

use super::sale::OpenSale;
use super::server::Server;
use super::witness::{Attempt, Witness};
use harness::Random;
use harness::http::Client;
use harness::{patiently, until};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What a purchase may be refused for while a drill is on.
pub const REFUSALS: &[&str] = &["sold_out", "limit_reached"];
/// Buyers at work at the same time, each over a connection of its own.
const CROWD: usize = 16;

/// What becomes of the crowd's orders.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purse {
    /// Some are paid: their units are gone for good.
    Full,
    /// None is paid: each unit comes back when its time is over.
    Empty,
}

/// Buyers at work until they are told to leave or the server is gone.
pub struct Crowd {
    people: JoinSet<()>,
    shared: Arc<Shared>,
}

struct Shared {
    shop: Arc<OpenSale>,
    witness: Arc<Witness>,
    answers: Semaphore,
    unavailable: AtomicU64,
    go_home: AtomicBool,
}

impl Crowd {
    /// Sends them in.
    pub fn enter(
        server: &Server,
        shop: &Arc<OpenSale>,
        witness: &Arc<Witness>,
        random: &mut Random,
    ) -> Self {
        Self::with(Purse::Full, server, shop, witness, random)
    }

    /// Sends in people who pay for nothing, so that little stock keeps moving however long it takes.
    pub fn enter_without_money(
        server: &Server,
        shop: &Arc<OpenSale>,
        witness: &Arc<Witness>,
        random: &mut Random,
    ) -> Self {
        Self::with(Purse::Empty, server, shop, witness, random)
    }

    fn with(
        purse: Purse,
        server: &Server,
        shop: &Arc<OpenSale>,
        witness: &Arc<Witness>,
        random: &mut Random,
    ) -> Self {
        let shared = Arc::new(Shared {
            shop: Arc::clone(shop),
            witness: Arc::clone(witness),
            answers: Semaphore::new(0),
            unavailable: AtomicU64::new(0),
            go_home: AtomicBool::new(false),
        });
        let mut people = JoinSet::new();
        for number in 0..CROWD {
            let shared = Arc::clone(&shared);
            let person = Person { number, purse, random: random.fork(), shared };
            let address = server.address();
            people.spawn(async move {
                if let Ok(client) = Client::open(address).await {
                    // It ends with the server, which is what the drill is about.
                    let _ = person.shop_around(client).await;
                }
            });
        }
        Self { people, shared }
    }

    /// Waits for so many more answers, or for the server's end.
    pub async fn answers(&mut self, count: u32) {
        let shared = Arc::clone(&self.shared);
        let all_gone = async {
            while self.people.join_next().await.transpose().expect("no buyer panics").is_some() {}
        };
        tokio::select! {
            permits = patiently("answers", shared.answers.acquire_many(count)) => {
                permits.expect("never closed").forget();
            }
            () = all_gone => {}
        }
    }

    /// How often they heard 503.
    pub fn unavailable(&self) -> u64 {
        self.shared.unavailable.load(Ordering::Relaxed)
    }

    /// Sends them home and waits until they have left.
    pub async fn leave(self) {
        self.shared.go_home.store(true, Ordering::Relaxed);
        self.gone().await;
    }

    /// Waits until they have left because the server is gone.
    pub async fn gone(mut self) {
        while let Some(left) = patiently("buyers to leave", self.people.join_next()).await {
            left.expect("no buyer saw anything wrong");
        }
    }
}

struct Person {
    number: usize,
    purse: Purse,
    random: Random,
    shared: Arc<Shared>,
}

impl Person {
    /// An error means that the server is gone.
    async fn shop_around(mut self, mut client: Client) -> io::Result<()> {
        let number = self.number;
        let mut unknown = self.shared.witness.take_unknown(|buyer| buyer % CROWD == number);
        let orders = self.shared.witness.orders();
        let mut own: Vec<(u64, Attempt)> = orders
            .into_iter()
            .filter(|(_, seen)| seen.attempt.buyer % CROWD == number)
            .map(|(order, seen)| (order, seen.attempt))
            .collect();
        while let Some(attempt) = unknown.pop() {
            if let Err(error) = self.buy(&mut client, attempt, &mut own).await {
                unknown.into_iter().for_each(|attempt| self.shared.witness.lost(attempt));
                return Err(error);
            }
        }
        while !self.shared.go_home.load(Ordering::Relaxed) {
            let of_own = self.random.pick(&own).cloned();
            match (self.random.below(10), of_own) {
                (0, Some((_, attempt))) => self.buy(&mut client, attempt, &mut own).await?,
                (1 | 2, Some((order, attempt))) if self.purse == Purse::Full => {
                    self.step(&mut client, order, &attempt, "pay").await?;
                }
                (3, Some((order, attempt))) => {
                    self.step(&mut client, order, &attempt, "cancel").await?;
                }
                (4, Some((order, attempt))) => {
                    let answer = self.shared.shop.order(&mut client, order, attempt.buyer).await?;
                    self.shared.witness.looked(order, &attempt, &answer);
                    self.heard(answer.status);
                }
                _ => {
                    let attempt = self.think_of_something();
                    self.buy(&mut client, attempt, &mut own).await?;
                }
            }
        }
        Ok(())
    }

    fn think_of_something(&mut self) -> Attempt {
        let shop = &self.shared.shop;
        let crowd = u64::try_from(CROWD).expect("a few");
        let buyers = u64::try_from(shop.tokens.len()).expect("a count") / crowd;
        let buyer = usize::try_from(self.random.below(buyers) * crowd).expect("a count");
        let item = *self.random.pick(&shop.items).expect("a shop has items");
        let key = format!("{}-{:016x}", self.number, self.random.any());
        Attempt { item, buyer: buyer + self.number, key }
    }

    /// Buys, and repeats while the outcome is unknown.
    async fn buy(
        &mut self,
        client: &mut Client,
        attempt: Attempt,
        own: &mut Vec<(u64, Attempt)>,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let Attempt { item, buyer, key } = &attempt;
        loop {
            let answer = match shared.shop.buy(client, *item, *buyer, key).await {
                Ok(answer) => answer,
                Err(error) => {
                    shared.witness.lost(attempt);
                    return Err(error);
                }
            };
            let settled = shared.witness.bought(&attempt, &answer);
            self.heard(answer.status);
            if settled {
                if answer.status == 201 {
                    own.push((answer.id("order_id"), attempt));
                }
                return Ok(());
            }
            if shared.go_home.load(Ordering::Relaxed) {
                shared.witness.lost(attempt);
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    async fn step(
        &self,
        client: &mut Client,
        order: u64,
        attempt: &Attempt,
        step: &str,
    ) -> io::Result<()> {
        let answer = self.shared.shop.step(client, order, attempt.buyer, step).await?;
        self.shared.witness.looked(order, attempt, &answer);
        self.heard(answer.status);
        Ok(())
    }

    fn heard(&self, status: u16) {
        self.shared.answers.add_permits(1);
        if status == 503 {
            self.shared.unavailable.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A purchase that succeeds at once: its order.
pub async fn sell(server: &Server, shop: &OpenSale, witness: &Witness, attempt: Attempt) -> u64 {
    let mut client = server.client().await;
    let answer = shop.buy(&mut client, attempt.item, attempt.buyer, &attempt.key).await;
    let answer = answer.expect("it answers");
    assert!(witness.bought(&attempt, &answer) && answer.status == 201, "{answer:?}");
    answer.id("order_id")
}

/// Waits until a purchase succeeds (I16).
pub async fn must_sell(server: &Server, shop: &OpenSale, witness: &Witness, attempt: Attempt) {
    let mut client = server.client().await;
    until("a purchase to succeed", async || {
        let Attempt { item, buyer, key } = &attempt;
        let answer = shop.buy(&mut client, *item, *buyer, key).await.expect("it answers");
        let settled = witness.bought(&attempt, &answer);
        assert!(!settled || answer.status == 201, "{answer:?}");
        settled.then_some(())
    })
    .await;
}
