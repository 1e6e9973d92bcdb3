//! The client: one call a method, each with a limit of time.

use super::endpoints::{Chosen, Endpoints, EtcdAddress, EtcdAddressError, EtcdLogin};
use super::error::EtcdError;
use super::proto::auth_client::AuthClient;
use super::proto::kv_client::KvClient;
use super::proto::lease_client::LeaseClient;
use super::proto::maintenance_client::MaintenanceClient;
use super::proto::watch_client::WatchClient;
use super::proto::{
    AlarmRequest, AlarmType, AuthenticateRequest, CompactionRequest, LeaseGrantRequest,
    LeaseKeepAliveRequest, LeaseRevokeRequest, RangeRequest, StatusRequest, TxnRequest,
    WatchCreateRequest, WatchRequest, alarm_request, watch_request,
};
use super::stored::Stored;
use super::transaction::{Transaction, TransactionAnswer};
use super::watch::Watch;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// The largest answer that is read, in bytes. A page of a log is far below it.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Where etcd looks for the token that a log-in got.
const TOKEN_KEY: &str = "token";
/// Asks a member to end a watch once it has lost its leader, and not to go on in silence.
const LEADER_KEY: &str = "hasleader";

/// A client of etcd. Cheap to clone; clones share connections, the endpoint that is asked, and the
/// log-in.
#[derive(Clone, Debug)]
pub struct Etcd {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoints: Endpoints,
    login: Option<EtcdLogin>,
    token: Mutex<Option<AsciiMetadataValue>>,
    call_timeout: Duration,
}

/// Keys in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPage {
    /// The keys that were found.
    pub keys: Vec<Stored>,
    /// Whether there are more behind them.
    pub has_more: bool,
    /// The revision that was read.
    pub revision: i64,
}

/// A lease as etcd granted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The number that etcd gave it.
    pub id: i64,
    /// How long it lasts without being renewed.
    pub time_to_live: Duration,
}

/// How etcd's members are, as the one that was asked sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EtcdStatus {
    /// The version of the member that was asked.
    pub version: String,
    /// The size of its database file in bytes, which the quota counts.
    pub file_bytes: u64,
    /// How much of the file is in use.
    pub used_bytes: u64,
    /// The newest revision.
    pub revision: i64,
    /// Whether it has a leader.
    pub has_leader: bool,
    /// Whether some member has raised the alarm that its database is full.
    pub is_full: bool,
}

impl Etcd {
    /// Prepares a client; the first call connects. `call_timeout` bounds each call. Must be called
    /// within a Tokio runtime.
    ///
    /// # Errors
    /// Returns [`EtcdAddressError`] if the address cannot be used.
    pub fn prepare(
        address: &EtcdAddress,
        call_timeout: Duration,
    ) -> Result<Self, EtcdAddressError> {
        let endpoints = Endpoints::prepare(address)?;
        let login = address.login.clone();
        let shared = Shared { endpoints, login, token: Mutex::new(None), call_timeout };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads one key, as the last acknowledged change left it.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if no endpoint answers or etcd refuses.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Stored>, EtcdError> {
        let request = RangeRequest { key: key.to_vec(), ..RangeRequest::default() };
        Ok(self.read(request).await?.keys.pop())
    }

    /// Reads the keys from `start` to before `end` in their order, at most `limit` of them, at a revision
    /// or, with 0, at the newest one.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if no endpoint answers or etcd refuses; [`EtcdError::Compacted`] if the
    /// revision is too old.
    pub async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: u32,
        revision: i64,
    ) -> Result<StoredPage, EtcdError> {
        self.read(RangeRequest {
            key: start.to_vec(),
            range_end: end.to_vec(),
            limit: i64::from(limit),
            revision,
            ..RangeRequest::default()
        })
        .await
    }

    /// Does a transaction at one endpoint, once.
    ///
    /// # Errors
    /// Returns [`EtcdError`]; whether it may have happened, the error says.
    pub async fn commit(&self, transaction: Transaction) -> Result<TransactionAnswer, EtcdError> {
        let request = TxnRequest::from(transaction);
        let answer = self
            .call(|channel, token| {
                let request = self.request(request.clone(), token);
                async move { keys(channel).txn(request).await }
            })
            .await?;
        answer.try_into()
    }

    /// Grants a lease of this length, rounded up to seconds.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if the endpoint does not answer or etcd refuses.
    pub async fn grant(&self, time_to_live: Duration) -> Result<Lease, EtcdError> {
        let seconds = time_to_live.as_millis().div_ceil(1_000);
        let request = LeaseGrantRequest { ttl: i64::try_from(seconds).unwrap_or(i64::MAX), id: 0 };
        let granted = self
            .call(|channel, token| {
                let request = self.request(request, token);
                async move { LeaseClient::new(channel).lease_grant(request).await }
            })
            .await?;
        Ok(Lease { id: granted.id, time_to_live: seconds_of(granted.ttl) })
    }

    /// Renews a lease once. Returns how long it lasts from when this was called.
    ///
    /// # Errors
    /// Returns [`EtcdError::LeaseEnded`] if it has ended, and otherwise another [`EtcdError`].
    pub async fn keep_alive(&self, lease: i64) -> Result<Duration, EtcdError> {
        let renewed = self
            .call(|channel, token| {
                let once = stream::iter([LeaseKeepAliveRequest { id: lease }]);
                let request = self.request(once, token);
                async move {
                    let answers = LeaseClient::new(channel).lease_keep_alive(request).await?;
                    let (metadata, mut answers, extensions) = answers.into_parts();
                    let answer = answers.message().await?;
                    let answer = answer
                        .ok_or_else(|| Status::unavailable("the stream of renewals ended"))?;
                    Ok(Response::from_parts(metadata, answer, extensions))
                }
            })
            .await?;
        if renewed.ttl <= 0 { Err(EtcdError::LeaseEnded) } else { Ok(seconds_of(renewed.ttl)) }
    }

    /// Ends a lease, and with it the keys that end with it.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if the endpoint does not answer or etcd refuses. That the lease has ended
    /// already is none.
    pub async fn revoke(&self, lease: i64) -> Result<(), EtcdError> {
        let request = LeaseRevokeRequest { id: lease };
        let revoked = self
            .call(|channel, token| {
                let request = self.request(request, token);
                async move { LeaseClient::new(channel).lease_revoke(request).await }
            })
            .await;
        match revoked {
            Ok(_) | Err(EtcdError::LeaseEnded) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Watches the keys from `start` to before `end`, from a revision on.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if the endpoint does not answer or etcd refuses.
    pub async fn watch(
        &self,
        start: &[u8],
        end: &[u8],
        from_revision: i64,
    ) -> Result<Watch, EtcdError> {
        let create = WatchCreateRequest {
            key: start.to_vec(),
            range_end: end.to_vec(),
            start_revision: from_revision,
            progress_notify: true,
        };
        let create = WatchRequest {
            request_union: Some(watch_request::RequestUnion::CreateRequest(create)),
        };
        self.call(|channel, token| {
            // The stream stays open: etcd ends a watch whose requests end.
            let requests = stream::iter([create.clone()]).chain(stream::pending());
            // No limit of time: that would end the watch.
            let mut request = signed(requests, token);
            request.metadata_mut().insert(LEADER_KEY, MetadataValue::from_static("true"));
            async move {
                let mut client =
                    WatchClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
                let (metadata, answers, extensions) = client.watch(request).await?.into_parts();
                let watch = Watch::begin(answers).await?;
                Ok(Response::from_parts(metadata, watch, extensions))
            }
        })
        .await
    }

    /// Forgets all revisions before this one.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if the endpoint does not answer or etcd refuses. That it was done already
    /// is none.
    pub async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        let request = CompactionRequest { revision, physical: false };
        let compacted = self
            .call(|channel, token| {
                let request = self.request(request, token);
                async move { keys(channel).compact(request).await }
            })
            .await;
        match compacted {
            Ok(_) | Err(EtcdError::Compacted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How etcd is.
    ///
    /// # Errors
    /// Returns [`EtcdError`] if no endpoint answers or etcd refuses.
    pub async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        let alarms = AlarmRequest {
            action: alarm_request::AlarmAction::Get.into(),
            member_id: 0,
            alarm: AlarmType::None.into(),
        };
        let status = self
            .call(|channel, token| {
                let request = self.request(StatusRequest {}, token);
                async move { MaintenanceClient::new(channel).status(request).await }
            })
            .await?;
        let raised = self
            .call(|channel, token| {
                let request = self.request(alarms, token);
                async move { MaintenanceClient::new(channel).alarm(request).await }
            })
            .await?;
        Ok(EtcdStatus {
            version: status.version,
            file_bytes: u64::try_from(status.db_size).unwrap_or(0),
            used_bytes: u64::try_from(status.db_size_in_use).unwrap_or(0),
            revision: status.header.map_or(0, |header| header.revision),
            has_leader: status.leader != 0,
            is_full: raised.alarms.iter().any(|raised| raised.alarm() == AlarmType::Nospace),
        })
    }

    /// The endpoint that is asked now.
    pub fn endpoint(&self) -> &str {
        self.shared.endpoints.chosen().url
    }

    /// Reads, at each endpoint in turn until one answers: reading twice does no harm.
    async fn read(&self, request: RangeRequest) -> Result<StoredPage, EtcdError> {
        let mut last = EtcdError::Unexpected("no endpoint");
        for _ in 0..self.shared.endpoints.count() {
            let answer = self
                .call(|channel, token| {
                    let request = self.request(request.clone(), token);
                    async move { keys(channel).range(request).await }
                })
                .await;
            match answer {
                Ok(found) => {
                    let header = found.header.ok_or(EtcdError::Unexpected("no header"))?;
                    return Ok(StoredPage {
                        keys: found.kvs.into_iter().map(Stored::from).collect(),
                        has_more: found.more,
                        revision: header.revision,
                    });
                }
                Err(error @ EtcdError::Unknown(_)) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Makes a call at the endpoint that is asked now, within the limit of time, and leaves that
    /// endpoint if it does not answer. A log-in that etcd has forgotten is made anew, once: etcd refuses
    /// before it does anything.
    async fn call<T, F>(
        &self,
        call: impl Fn(Channel, Option<&AsciiMetadataValue>) -> F,
    ) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let chosen = self.shared.endpoints.chosen();
        let attempt = async {
            let token = self.token(&chosen.channel, None).await?;
            match call(chosen.channel.clone(), token.as_ref()).await {
                Err(status) if token.is_some() && forgets_token(&status) => {
                    let token = self.token(&chosen.channel, token).await?;
                    call(chosen.channel.clone(), token.as_ref()).await
                }
                answer => answer,
            }
        };
        let answer = tokio::time::timeout(self.shared.call_timeout, attempt).await;
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => name_endpoint(EtcdError::from(status), &chosen),
            Err(_) => chosen.silent(self.shared.call_timeout),
        };
        if matches!(error, EtcdError::Unknown(_)) {
            self.shared.endpoints.leave(&chosen);
        }
        Err(error)
    }

    /// The token that calls carry, if there is a log-in: the one that is known unless it is `refused`.
    async fn token(
        &self,
        channel: &Channel,
        refused: Option<AsciiMetadataValue>,
    ) -> Result<Option<AsciiMetadataValue>, Status> {
        let Some(login) = &self.shared.login else { return Ok(None) };
        let known = self.shared.token.lock().clone();
        if known.is_some() && known != refused {
            return Ok(known);
        }
        let request = AuthenticateRequest {
            name: login.name.clone(),
            password: login.password.expose_secret().to_owned(),
        };
        let answer = AuthClient::new(channel.clone()).authenticate(request).await?;
        let token = AsciiMetadataValue::try_from(answer.into_inner().token)
            .map_err(|_| Status::unauthenticated("etcd's token is no header"))?;
        *self.shared.token.lock() = Some(token.clone());
        Ok(Some(token))
    }

    fn request<T>(&self, message: T, token: Option<&AsciiMetadataValue>) -> Request<T> {
        let mut request = signed(message, token);
        // So that the server gives up as well.
        request.set_timeout(self.shared.call_timeout);
        request
    }
}

fn signed<T>(message: T, token: Option<&AsciiMetadataValue>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert(TOKEN_KEY, token.clone());
    }
    request
}

fn keys(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

fn forgets_token(status: &Status) -> bool {
    status.code() == tonic::Code::Unauthenticated
}

fn name_endpoint(error: EtcdError, chosen: &Chosen<'_>) -> EtcdError {
    match error {
        EtcdError::Unknown(text) => EtcdError::Unknown(format!("{}: {text}", chosen.url)),
        error => error,
    }
}

fn seconds_of(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
