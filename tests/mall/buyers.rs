//! Who buys: so many orders and no more, each until it is known what became of it, whatever becomes of the shop.

use crate::support::{Client, OpenSale, Random, patiently};
use harness::http::Answer;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Buyers at work at the same time, each over a connection of its own.
const CROWD: usize = 8;
/// How far they may be ahead of what the mall has heard. The shop's background has the lowest priority, so that without
/// this a small machine would tell nobody before the last order.
const AHEAD_MAX: usize = 300;
/// How much later some pay: when their orders may have expired, and other people's have.
const LATER: usize = 40;

/// Buyers at work.
pub struct Buyers {
    people: JoinSet<()>,
    bought: Arc<Semaphore>,
    shop_at: watch::Sender<SocketAddr>,
}

/// One of them.
struct Buyer {
    shop: Arc<OpenSale>,
    random: Random,
    people: usize,
    shop_at: watch::Receiver<SocketAddr>,
    /// Of how many orders the mall has heard.
    heard: watch::Receiver<usize>,
    client: Option<Client>,
    /// Orders that are to be paid later, and whose they are.
    unpaid: Vec<(u64, usize)>,
}

impl Buyers {
    /// Sends them in, to place so many orders for so many people, not far ahead of what the mall has heard.
    pub fn enter(
        (shop_at, heard): (SocketAddr, &watch::Receiver<usize>),
        shop: &Arc<OpenSale>,
        (orders, people): (usize, usize),
        random: &mut Random,
    ) -> Self {
        let (bought, shop_at) = (Arc::new(Semaphore::new(0)), watch::Sender::new(shop_at));
        let mut crowd = JoinSet::new();
        for first in 0..CROWD {
            let mut buyer = Buyer {
                shop: Arc::clone(shop),
                random: random.fork(),
                people,
                shop_at: shop_at.subscribe(),
                heard: heard.clone(),
                client: None,
                unpaid: Vec::new(),
            };
            let bought = Arc::clone(&bought);
            crowd.spawn(async move {
                for number in (first..orders).step_by(CROWD) {
                    buyer.wait_for_the_mall(number).await;
                    buyer.place(number).await;
                    bought.add_permits(1);
                }
                buyer.pay_later(0).await;
            });
        }
        Self { people: crowd, bought, shop_at }
    }

    /// Waits until they have placed so many more orders.
    pub async fn bought(&self, orders: u32) {
        let bought = patiently("orders", self.bought.acquire_many(orders)).await;
        bought.expect("never closed").forget();
    }

    /// Tells them where the shop is now.
    pub fn go_to(&self, shop_at: SocketAddr) {
        self.shop_at.send_replace(shop_at);
    }

    /// Waits until they have done all that they came for.
    pub async fn have_all(&mut self) {
        while let Some(left) = patiently("buyers to leave", self.people.join_next()).await {
            left.expect("no buyer saw anything wrong");
        }
    }
}

impl Buyer {
    /// Waits until the mall has heard of nearly so many orders.
    async fn wait_for_the_mall(&mut self, number: usize) {
        let is_near = |heard: &usize| number < *heard + AHEAD_MAX;
        self.heard.wait_for(is_near).await.expect("the mall is there");
    }

    /// Places an order, and pays it, gives it up, or lets it be, for now or for good.
    async fn place(&mut self, number: usize) {
        let item = *self.random.pick(&self.shop.items).expect("an item");
        let buyer = usize::try_from(self.random.any() % self.people as u64).expect("a place");
        let key = format!("order-{number}");
        let path = format!("/api/v1/items/{item}/buy");
        let bought = self.ask(&path, buyer, &key).await;
        assert!(matches!(bought.status, 200 | 201), "{}", bought.text());
        let order = bought.id("order_id");
        match self.random.below(10) {
            0..6 => self.step(order, buyer, "pay").await,
            6 => self.step(order, buyer, "cancel").await,
            7 => self.unpaid.push((order, buyer)),
            _ => {}
        }
        self.pay_later(LATER).await;
    }

    /// Pays all that is to be paid later but for so many.
    async fn pay_later(&mut self, left: usize) {
        while self.unpaid.len() > left {
            let (order, buyer) = self.unpaid.remove(0);
            self.step(order, buyer, "pay").await;
        }
    }

    async fn step(&mut self, order: u64, buyer: usize, step: &str) {
        let path = format!("/api/v1/orders/{order}/{step}");
        let answer = self.ask(&path, buyer, &format!("{step}-{order}")).await;
        // It may have expired meanwhile, so that it cannot be given up any more.
        assert!(matches!(answer.status, 200 | 409), "{path}: {}", answer.text());
    }

    /// Asks until it is answered, wherever the shop is by then.
    async fn ask(&mut self, path: &str, buyer: usize, key: &str) -> Answer {
        loop {
            if self.client.is_none() {
                let shop_at = *self.shop_at.borrow_and_update();
                self.client = Client::open(shop_at).await.ok();
            }
            let Some(client) = &mut self.client else {
                self.shop_at.changed().await.expect("the test goes on");
                continue;
            };
            let key = [("idempotency-key", key)];
            match client.send("POST", path, &self.shop.tokens[buyer], &key, "").await {
                Ok(answer) if answer.status == 503 => tokio::task::yield_now().await,
                Ok(answer) => return answer,
                Err(_) => self.client = None,
            }
        }
    }
}
