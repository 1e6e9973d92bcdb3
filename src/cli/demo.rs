//! `seckill demo`: sets up new sales of the demo and ends those of before, in a shop that runs or in one
//! that is stopped.
//!
//! It asks the shop as operators do, with tokens that it signs itself. A stopped shop is started for that
//! long, at an address that nobody knows. Must not know how a sale is stored.

use super::banner::{self, Offer, OfferItem};
use super::client::{Client, ClientError};
use super::failure::{Exit, Failure};
use super::{mint, process_limits, serve};
use crate::app::{App, AppError, StartOptions};
use crate::config::Config;
use crate::demo;
use crate::http::{Role, Signer, timestamp};
use crate::listening::PassedSockets;
use crate::opening::OpenError;
use crate::service_manager::ServiceManager;
use crate::store::data_dir::DataDirError;
use crate::telemetry;
use domain::catalogue::SaleDraft;
use domain::{Currency, Timestamp};
use serde_json::{Value, json};
use std::io::Write;
use std::net::Ipv4Addr;

/// How long the operators' tokens are good for: one command.
const TOKEN_SECONDS: u64 = 600;

/// Renews the demo's sales and says what there is to buy.
///
/// # Errors
/// Returns [`Failure`] if the configuration has no demo, the shop has sales of its own, or it cannot be
/// started or asked.
pub fn run(config: &Config, output: &mut impl Write) -> Result<(), Failure> {
    if config.cluster.is_set() {
        return Err(Failure {
            exit: Exit::Configuration,
            what: "this shop has no demo: it is a cluster".to_owned(),
            meaning: "nothing was changed".to_owned(),
            remedy: "try the demo in a shop of its own, without cluster.endpoints".to_owned(),
        });
    }
    if !config.demo.enabled {
        return Err(Failure {
            exit: Exit::Configuration,
            what: "this shop has no demo: demo.enabled is false".to_owned(),
            meaning: "nothing was changed".to_owned(),
            remedy: "set demo.enabled to true where the shop is only tried".to_owned(),
        });
    }
    process_limits::check_address_space()?;
    telemetry::log::start(config.log.format, &config.log.filter).map_err(|error| fault(&error))?;
    let metrics = telemetry::metrics::start().map_err(|error| fault(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let options = StartOptions {
        clock_ahead_max: serve::CLOCK_AHEAD_MAX,
        metrics,
        sockets: PassedSockets::default(),
        service_manager: ServiceManager::default(),
    };
    let started = runtime.block_on(App::start(&beside(config).into(), options));
    let renewed = match started {
        Ok(app) => {
            let client = Client::plain(app.address());
            let shop = Shop::new(client, app.signer().clone(), app.engine().now());
            let renewed = shop.renew();
            runtime.block_on(app.stop());
            renewed?;
            None
        }
        Err(AppError::Open(OpenError::DataDir(DataDirError::InUse { .. }))) => {
            let (signer, now) = mint::signer(config)?;
            Some(Shop::new(Client::of_shop(config)?, signer, now).renew()?)
        }
        Err(error) => return Err(error.into()),
    };
    runtime.shutdown_background();
    let text = match renewed {
        Some(renewed) => renewed.tell(config),
        None => "The demo's sales are new. Start `seckill serve`: it prints a line that buys.\n"
            .to_owned(),
    };
    output.write_all(text.as_bytes())?;
    Ok(())
}

/// The same shop where no buyer finds it, with nothing set up by itself.
fn beside(config: &Config) -> Config {
    let mut config = config.clone();
    config.http.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.operations.listen = (Ipv4Addr::LOCALHOST, 0).into();
    (config.http.tls_certificate_file, config.http.tls_key_file) = (None, None);
    config.demo.enabled = false;
    config
}

/// A shop that answers.
struct Shop {
    client: Client,
    signer: Signer,
    now: Timestamp,
    maker: String,
    checker: String,
}

/// What was set up.
struct Renewed {
    shop: Shop,
    draft: SaleDraft,
    /// The numbers of its items, in their order.
    items: Vec<u64>,
}

impl Shop {
    fn new(client: Client, signer: Signer, now: Timestamp) -> Self {
        Self {
            client,
            maker: signer.mint(demo::MAKER, Role::Operator, now, TOKEN_SECONDS),
            checker: signer.mint(demo::CHECKER, Role::Approver, now, TOKEN_SECONDS),
            signer,
            now,
        }
    }

    /// Sets up new sales, then ends those of before; returns the first of the new ones.
    fn renew(self) -> Result<Renewed, Failure> {
        let former = self.sales()?;
        if let Some(own) = former.iter().find(|sale| sale["created_by"] != demo::MAKER) {
            return Err(Failure {
                exit: Exit::Data,
                what: format!("this shop has a sale of its own: {}", own["title"]),
                meaning: "nothing was changed".to_owned(),
                remedy: "keep the demo to a data directory where the shop is only tried".to_owned(),
            });
        }
        let [first, second] = demo::drafts(self.engine_time()?);
        let items = self.set_up(&first)?;
        self.set_up(&second)?;
        for sale in former {
            if matches!(sale["status"].as_str(), Some("approved" | "preheated" | "live")) {
                self.step(&sale, "end", &self.maker)?;
            }
        }
        Ok(Renewed { shop: self, draft: first, items })
    }

    /// All sales, newest first.
    fn sales(&self) -> Result<Vec<Value>, ClientError> {
        const PAGE: usize = 100;
        let mut sales: Vec<Value> = Vec::new();
        loop {
            let before = sales.last().and_then(|sale| sale["sale_id"].as_str());
            let before = before.map(|sale| format!("&before={sale}")).unwrap_or_default();
            let path = format!("/api/v1/admin/sales?limit={PAGE}{before}");
            let mut page = self.client.ask("GET", &path, &self.maker, None)?;
            let has_more = page["has_more"] == true;
            match page["data"].as_array_mut() {
                Some(data) if !data.is_empty() => sales.append(data),
                _ => return Ok(sales),
            }
            if !has_more {
                return Ok(sales);
            }
        }
    }

    fn engine_time(&self) -> Result<Timestamp, ClientError> {
        let told = self.client.ask("GET", "/api/v1/time", &self.maker, None)?;
        let told = told["now"].as_str().and_then(|now| timestamp::parse(now).ok());
        Ok(told.unwrap_or(self.now))
    }

    /// Makes, submits and approves the sale, and returns its items' numbers.
    fn set_up(&self, draft: &SaleDraft) -> Result<Vec<u64>, ClientError> {
        let sale =
            self.client.ask("POST", "/api/v1/admin/sales", &self.maker, Some(&body(draft)))?;
        self.step(&sale, "submit", &self.maker)?;
        self.step(&sale, "approve", &self.checker)?;
        let items = sale["items"].as_array().into_iter().flatten();
        Ok(items.filter_map(|item| item["item_id"].as_str()?.parse().ok()).collect())
    }

    fn step(&self, sale: &Value, step: &str, token: &str) -> Result<(), ClientError> {
        let sale_id = sale["sale_id"].as_str().unwrap_or_default();
        let path = format!("/api/v1/admin/sales/{sale_id}/{step}");
        self.client.ask("POST", &path, token, None).map(drop)
    }
}

impl Renewed {
    /// What there is to buy, as the banner of a start has it.
    fn tell(&self, config: &Config) -> String {
        let Self { shop, draft, items } = self;
        let token_seconds = config.tokens.ttl_seconds;
        let place = match &config.http.public_url {
            // The certificate is good for that name alone.
            Some(url) if config.http.tls_certificate_file.is_some() => banner::Place::at(url),
            _ => banner::Place::of(config.http.listen),
        };
        let items = items.iter().zip(&draft.items).map(|(item_id, offer)| OfferItem {
            item_id: domain::ItemId(*item_id),
            title: offer.title.clone(),
            price: offer.price,
            currency: offer.currency,
            allotted: offer.allotted,
            available: offer.allotted,
            may_buy: true,
        });
        let buyer = serve::DEMO_USER.to_string();
        let offer = Offer {
            title: draft.title.clone(),
            starts_at: draft.starts_at,
            items: items.collect(),
            token: shop.signer.mint(&buyer, Role::Buyer, shop.now, token_seconds),
            token_seconds,
            reserved: None,
        };
        banner::banner(&place, Some(&offer), &banner::Console::default(), shop.now)
    }
}

/// The sale as operators write it.
fn body(draft: &SaleDraft) -> Value {
    let currency = |currency: &Currency| currency.as_str().to_owned();
    json!({
        "title": draft.title,
        "starts_at": timestamp::to_string(draft.starts_at),
        "ends_at": timestamp::to_string(draft.ends_at),
        "items": draft.items.iter().map(|offer| json!({
            "product_id": offer.product_id,
            "title": offer.title,
            "price": offer.price,
            "list_price": offer.list_price,
            "currency": currency(&offer.currency),
            "allotted": offer.allotted,
            "limit_per_user": offer.limit_per_user,
            "payment_window_seconds": offer.payment_window_milliseconds / 1000,
        })).collect::<Vec<_>>(),
    })
}

fn fault(error: &dyn std::error::Error) -> Failure {
    Failure {
        exit: Exit::Fault,
        what: format!("the command cannot be set up: {error}"),
        meaning: "nothing was changed".to_owned(),
        remedy: "see what limits this user's threads and open files, then repeat".to_owned(),
    }
}
