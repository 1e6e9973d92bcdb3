//! Who is told the shop's events by webhooks, as the configuration says.

use super::background::Background;
use super::error::AppError;
use super::signer::seal_key;
use crate::actors::{Engine, EventReaders, WebhookOptions, Webhooks};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::plain_file;
use crate::secrets;
use crate::store::orders::OrderStore;
use crate::store::outbound::{Guard, GuardedOptions, GuardedOutbound, SystemResolver};
use crate::store::webhooks::WebhookStore;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Starts telling endpoints what happens, on the background threads. On return the journal keeps what they are still to
/// be told, unless the database does not answer: then nothing is deleted from it anyway.
///
/// # Errors
/// Returns [`AppError`] if the authority's certificate or the signing secret cannot be read.
pub(super) async fn start(
    background: &Background,
    config: &Config,
    (engine, orders, data_dir): (&Engine, &OrderStore, &Path),
    readers: EventReaders,
) -> Result<(Webhooks, JoinHandle<()>), AppError> {
    let seal = seal_key(&config.tokens, || secrets::signing_secret(data_dir))?;
    let outbound = outbound(&config.webhooks, engine.clock())?;
    let store = WebhookStore::new(orders.database());
    let webhooks = Webhooks::new(engine, store, (seal, outbound), readers, options(config));
    let following = {
        let _on_background = background.handle().enter();
        webhooks.follow()
    };
    let followed = webhooks.clone();
    background.run(async move { followed.begun().await }).await?;
    Ok((webhooks, following))
}

/// Returns how webhooks are sent.
fn options(config: &Config) -> WebhookOptions {
    let settings = &config.webhooks;
    WebhookOptions {
        endpoints_max: settings.endpoints_max as usize,
        lanes: settings.lanes as usize,
        disable_after: Duration::from_secs(settings.disable_after_h * 3_600),
        source: config.events.source.clone(),
        second: Duration::from_secs(1),
    }
}

/// Returns the client that goes where endpoints may be.
fn outbound(settings: &config::Webhooks, clock: Clock) -> Result<GuardedOutbound, AppError> {
    let networks = settings.allow_private.split_ascii_whitespace();
    // The configuration was checked.
    let guard = Guard::new(networks.filter_map(|network| network.parse().ok()));
    let authority = settings.ca_file.as_ref().map(|path| {
        plain_file::read(path)
            .map_err(|error| AppError::Webhooks(format!("{}: {error}", path.display())))
    });
    let authority = authority.transpose()?;
    let options = GuardedOptions {
        timeout: Duration::from_millis(settings.timeout_ms),
        idle_max: settings.lanes as usize,
    };
    GuardedOutbound::new(guard, Arc::new(SystemResolver), authority.as_deref(), options, clock)
        .map_err(|error| AppError::Webhooks(format!("webhooks.ca_file: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    #[test]
    fn private_networks_are_reached_as_they_are_named() {
        let clock = Clock::start(Timestamp(0));
        let none = config::Webhooks::default();
        let allowed = |settings: &config::Webhooks, url: &str| {
            let outbound = outbound(settings, clock.clone()).expect("a client");
            outbound.target(url).is_ok()
        };
        let some =
            config::Webhooks { allow_private: "10.0.0.0/16 127.0.0.1".to_owned(), ..none.clone() };
        for (url, expected) in
            [("https://erp.example/", [true; 2]), ("http://10.0.0.9:81/", [false, true])]
        {
            assert_eq!([allowed(&none, url), allowed(&some, url)], expected, "{url}");
        }
        let missing = config::Webhooks { ca_file: Some("/nowhere/ca.pem".into()), ..none };
        assert!(matches!(outbound(&missing, clock.clone()), Err(AppError::Webhooks(_))));
    }
}
