//! Where the stores of the configured data directory are, for commands that look at them.

use crate::config::Config;
use crate::store::broker::{BrokerAddress, BrokerError};
use crate::store::data_dir::DataDir;
use crate::store::database::StoreError;
use crate::store::orders::OrderStore;
use std::time::Duration;

/// The order store, if there is one.
///
/// # Errors
/// Returns [`StoreError`] if it cannot be opened.
pub async fn orders(config: &Config, data_dir: &DataDir) -> Result<Option<OrderStore>, StoreError> {
    if let Some(url) = &config.orders.mysql_url {
        return Ok(Some(OrderStore::open_mysql(url.secret(), config.orders.connections)?));
    }
    let path = data_dir.orders();
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(OrderStore::open_sqlite(&path).await?))
}

/// The broker that has the dead letters, if one is configured.
///
/// # Errors
/// Returns [`BrokerError`] if the certificate that it is trusted by cannot be read.
pub fn broker_address(config: &Config) -> Result<Option<BrokerAddress>, BrokerError> {
    let Some(url) = &config.broker.amqp_url else { return Ok(None) };
    let certificate = config.broker.amqp_ca_file.as_ref().map(std::fs::read_to_string).transpose();
    Ok(Some(BrokerAddress {
        url: url.secret().clone(),
        root_certificate: certificate
            .map_err(|error| BrokerError::Refused(format!("broker.amqp_ca_file: {error}")))?,
        confirm_timeout: Duration::from_millis(config.broker.confirm_timeout_ms),
    }))
}
