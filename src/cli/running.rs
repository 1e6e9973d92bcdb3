//! The shop that runs on this machine, asked as an admin or an operator.
//!
//! The tokens are made for the one command, with the key that the shop signs with. Must not know what is asked.

use super::client::{Client, ClientError};
use super::failure::Failure;
use super::mint;
use crate::config::Config;
use crate::http::Role;
use domain::operation::COMMAND_LINE_ACTOR;
use serde_json::Value;

/// How long the admin's token is good for: one command.
const TOKEN_SECONDS: u64 = 60;

/// The shop that answers here, with an admin's token for it and one of an operator, who may look where an admin as such
/// may not.
pub struct RunningShop {
    client: Client,
    token: String,
    operator_token: String,
}

impl RunningShop {
    /// The shop that runs with this configuration.
    ///
    /// # Errors
    /// Returns [`Failure`] if the configuration says nothing that can be asked, or its key is not there.
    pub fn of(config: &Config) -> Result<Self, Failure> {
        let client = Client::of_shop(config)?;
        let (signer, now) = mint::signer(config)?;
        let token = signer.mint(COMMAND_LINE_ACTOR, Role::Admin, now, TOKEN_SECONDS);
        let operator_token = signer.mint(COMMAND_LINE_ACTOR, Role::Operator, now, TOKEN_SECONDS);
        Ok(Self { client, token, operator_token })
    }

    /// Looks at what operators may see, and returns the answer's body. Blocks.
    ///
    /// # Errors
    /// Returns [`ClientError`] as [`Self::ask`] does.
    pub fn look(&self, path: &str) -> Result<Value, ClientError> {
        self.client.ask("GET", path, &self.operator_token, None)
    }

    /// Asks, and returns the answer's body. Blocks.
    ///
    /// # Errors
    /// Returns [`ClientError`] if there is no answer, or it is not one of success.
    pub fn ask(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        self.client.ask(method, path, &self.token, body)
    }

    /// Changes what was looked at, if it is at this revision yet. Blocks.
    ///
    /// # Errors
    /// Returns [`ClientError`] as [`Self::ask`] does.
    pub fn change(
        &self,
        method: &'static str,
        path: &str,
        revision: u64,
        body: &Value,
    ) -> Result<Value, ClientError> {
        self.client.change(method, path, &self.token, revision, body)
    }
}
