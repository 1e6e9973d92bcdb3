//! Settings that are changed while the shop runs: looked at by operators and admins, changed and set back by
//! admins.

use super::change::{Editor, SettingsEditor, etag};
use crate::actors::{SETTING_REASON_LENGTH_MAX, SettingChange, SettingsError, StoredSetting};
use crate::http::api::example;
use crate::http::apply;
use crate::http::auth::bearer::Reader;
use crate::http::live;
use crate::http::problem::{Code, FieldError, FieldErrors, Problem};
use crate::http::request::extract::{JsonObject, Parameters};
use crate::http::request::fields::{Body, body};
use crate::http::request::page::PageQuery;
use crate::http::request::path::Segment;
use crate::http::request::rules::{Integer, Rule, Text};
use crate::http::state::Edge;
use crate::http::timestamp;
use crate::sales::{Base, Change};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::ETAG;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, ToSchema};

/// The most a version can be.
const VERSION_MAX: u64 = 1 << 53;

/// What the log says of a change.
pub const CHANGE: &str = "change";
/// What the log says of settings that were set back.
pub const ROLLBACK: &str = "rollback";

body! {
    /// A change of settings.
    pub struct SettingRequest {
        /// The settings that differ from the file's. Those that are left out are as in the file.
        Required values: Values,
        /// Why, for those who read the log: at most 200 characters.
        Required reason: Text<SETTING_REASON_LENGTH_MAX>,
    }
}

body! {
    /// Which version of the settings is to count again.
    pub struct RollbackRequest {
        /// The version; 0 for what the file says.
        Required version: Integer<u64, 0, VERSION_MAX>,
        /// Why, for those who read the log: at most 200 characters.
        Required reason: Text<SETTING_REASON_LENGTH_MAX>,
    }
}

/// An object of settings by their keys; each is checked by its own rule.
pub struct Values;

impl Rule for Values {
    type Value = Map<String, Value>;

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into()
    }

    fn read(value: Value) -> Result<Self::Value, Cow<'static, str>> {
        match value {
            Value::Object(values) => Ok(values),
            _ => Err("must be an object".into()),
        }
    }
}

/// Settings as they are.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingsView {
    /// Which: the section of the file that they are in, such as `limits` or `risk`.
    pub name: String,
    /// How often they were changed; 0 if they are as in the file.
    pub version: u64,
    /// Every setting with its value.
    #[schema(value_type = Object)]
    pub values: Value,
    /// The settings that differ from the file's because they were changed.
    #[schema(value_type = Object)]
    pub changed: Value,
    /// Every setting in words.
    pub fields: Vec<SettingFieldView>,
    /// Who changed them last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// When they were changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub at: Option<String>,
    /// Why they were changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A setting in words.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingFieldView {
    /// The setting's key.
    pub key: String,
    /// What it is.
    pub about: String,
    /// What it may be.
    pub allowed: String,
    /// Its value in the file, in the environment, or by default.
    #[schema(value_type = Value)]
    pub file: Value,
    /// The environment variable that has set it: it counts before any change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
}

/// A page of the versions of settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingsHistory {
    /// The versions, newest first.
    pub data: Vec<SettingVersion>,
    /// Whether there are older ones: ask for them with `starting_after` the last one of this page.
    pub has_more: bool,
}

/// A version of settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingVersion {
    /// The version's number.
    pub version: u64,
    /// The settings that differed from the file's.
    #[schema(value_type = Object)]
    pub changed: Value,
    /// Who made it.
    pub actor: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub at: String,
    /// Why it was made.
    pub reason: String,
}

impl SettingsView {
    fn example() -> Self {
        Self {
            name: "limits".to_owned(),
            version: 3,
            values: json!({ "user_per_s": 5, "user_burst": 20 }),
            changed: json!({ "user_per_s": 5 }),
            fields: vec![SettingFieldView {
                key: "user_per_s".to_owned(),
                about: "Purchases of one user in a second, in the long run.".to_owned(),
                allowed: "a whole number from 0 to 1000".to_owned(),
                file: json!(10),
                pinned: None,
            }],
            actor: Some(example::APPROVER.to_owned()),
            at: Some(example::APPROVED_AT.to_owned()),
            reason: Some("双十一 begins".to_owned()),
        }
    }
}

impl SettingsHistory {
    fn example() -> Self {
        let version = SettingVersion {
            version: 3,
            changed: json!({ "user_per_s": 5 }),
            actor: example::APPROVER.to_owned(),
            at: example::APPROVED_AT.to_owned(),
            reason: "双十一 begins".to_owned(),
        };
        Self { data: vec![version], has_more: false }
    }
}

/// The name of settings in a path.
pub struct Name;

impl IntoParams for Name {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(live::NAMES));
        let parameter = ParameterBuilder::new()
            .name("name")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("Which settings"))
            .schema(Some(Schema::Object(schema.build())))
            .example(Some(live::NAMES[0].into()));
        vec![parameter.build()]
    }
}

/// The `If-Match` header of a change of settings, as the OpenAPI document shows it.
pub struct IfMatchVersion;

impl IntoParams for IfMatchVersion {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        let parameter = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The `ETag` of the settings that you looked at, which is their version in quotes. If \
                 they have another one, nothing is done: 412 `revision_conflict`. It has to be sent: \
                 428 `revision_required`. `*` means whatever is there.",
            ))
            .schema(Some(Schema::Object(schema.build())))
            .example(Some("*".into()));
        vec![parameter.build()]
    }
}

/// Shows settings.
///
/// Every setting of a kind with its value, what it is and may be, and who changed it last and why.
#[utoipa::path(
    get, path = "/api/v1/admin/settings/{name}", tag = "operators",
    params(Name),
    responses((status = 200, description = "The settings", body = SettingsView,
        headers(("ETag" = String, description = "Their version, for `If-Match`")),
        example = json!(SettingsView::example()))),
    security(("token" = []))
)]
pub async fn show(
    State(edge): State<Arc<Edge>>,
    _reader: Reader,
    Segment(name): Segment,
) -> Result<Response, Problem> {
    answer(&edge, known(&name)?)
}

/// Changes settings.
///
/// They hold at once here, and on other nodes within a second. What `values` leaves out is as in the file.
#[utoipa::path(
    put, path = "/api/v1/admin/settings/{name}", tag = "operators",
    params(Name, IfMatchVersion),
    request_body(content = SettingRequest, content_type = "application/json",
        example = json!({ "values": { "user_per_s": 5 }, "reason": "双十一 begins" })),
    responses(
        (status = 200, description = "The settings", body = SettingsView,
            headers(("ETag" = String, description = "Their version, for `If-Match`")),
            example = json!(SettingsView::example())),
        (status = 412, description = "`revision_conflict`: they were changed since"),
        (status = 428, description = "`revision_required`: send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn replace(
    State(edge): State<Arc<Edge>>,
    SettingsEditor(editor): SettingsEditor,
    Segment(name): Segment,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    change(&edge, &editor, known(&name)?, body).await
}

/// Lists what settings were.
///
/// Every version of them with its author and reason, newest first, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/admin/settings/{name}/history", tag = "operators",
    params(Name, PageQuery),
    responses((status = 200, description = "A page of versions", body = SettingsHistory,
        example = json!(SettingsHistory::example()))),
    security(("token" = []))
)]
pub async fn history(
    State(edge): State<Arc<Edge>>,
    _reader: Reader,
    Segment(name): Segment,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<SettingsHistory>, Problem> {
    let (limit, before) = query.read::<u64>()?;
    let mut versions = edge.settings.history(known(&name)?, before, limit + 1).await?;
    let has_more = versions.len() > limit;
    versions.truncate(limit);
    let data = versions.into_iter().map(|stored| SettingVersion {
        version: stored.version,
        changed: Value::Object(stored.content),
        actor: stored.actor,
        at: timestamp::to_string(stored.at),
        reason: stored.reason,
    });
    Ok(Json(SettingsHistory { data: data.collect(), has_more }))
}

/// Sets settings back.
///
/// To what they were in a version, which makes a new one; to the file's with version 0.
#[utoipa::path(
    post, path = "/api/v1/admin/settings/{name}/rollback", tag = "operators",
    params(Name, IfMatchVersion),
    request_body(content = RollbackRequest, content_type = "application/json",
        example = json!({ "version": 2, "reason": "too tight" })),
    responses(
        (status = 200, description = "The settings", body = SettingsView,
            headers(("ETag" = String, description = "Their version, for `If-Match`")),
            example = json!(SettingsView::example())),
        (status = 412, description = "`revision_conflict`: they were changed since"),
        (status = 428, description = "`revision_required`: send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn rollback(
    State(edge): State<Arc<Edge>>,
    SettingsEditor(editor): SettingsEditor,
    Segment(name): Segment,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    let name = known(&name)?;
    let RollbackRequest { version, reason } = RollbackRequest::parse(body)?;
    // Both are required.
    let (version, reason) = (version.unwrap_or_default(), reason.unwrap_or_default());
    let content = content_of(&edge, name, version).await?;
    let asked = editor.change(edge.engine.now());
    store(&edge, asked, name, &content, &reason, ROLLBACK).await?;
    answer(&edge, name)
}

/// Returns what differed from the file's in a version of settings.
///
/// # Errors
/// Returns an `invalid_field` problem if there is no such version, or that the settings do not answer.
pub async fn content_of(
    edge: &Edge,
    name: &str,
    version: u64,
) -> Result<Map<String, Value>, Problem> {
    if version == 0 {
        return Ok(Map::new());
    }
    let found = edge.settings.history(name, Some(version.saturating_add(1)), 1).await?;
    let found = found.into_iter().find(|stored| stored.version == version);
    Ok(found.ok_or_else(|| Problem::field("/version", "there is no such version"))?.content)
}

/// Shows the risk rules.
///
/// The settings `risk`: every rule with its mode, action and thresholds.
#[utoipa::path(
    get, path = "/api/v1/admin/risk/rules", tag = "operators",
    responses((status = 200, description = "The rules", body = SettingsView,
        headers(("ETag" = String, description = "Their version, for `If-Match`")),
        example = json!(SettingsView::example()))),
    security(("token" = []))
)]
pub async fn show_rules(
    State(edge): State<Arc<Edge>>,
    _reader: Reader,
) -> Result<Response, Problem> {
    answer(&edge, "risk")
}

/// Changes the risk rules.
///
/// The settings `risk`: what `values` leaves out is as in the file.
#[utoipa::path(
    put, path = "/api/v1/admin/risk/rules", tag = "operators",
    params(IfMatchVersion),
    request_body(content = SettingRequest, content_type = "application/json", example = json!({
        "values": { "accounts_per_address_mode": "enforce" }, "reason": "it hit scripts alone",
    })),
    responses(
        (status = 200, description = "The rules", body = SettingsView,
            headers(("ETag" = String, description = "Their version, for `If-Match`")),
            example = json!(SettingsView::example())),
        (status = 412, description = "`revision_conflict`: they were changed since"),
        (status = 428, description = "`revision_required`: send `If-Match`"),
    ),
    security(("token" = []))
)]
pub async fn replace_rules(
    State(edge): State<Arc<Edge>>,
    SettingsEditor(editor): SettingsEditor,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    change(&edge, &editor, "risk", body).await
}

/// Returns the name if there are such settings.
///
/// # Errors
/// Returns a `not_found` problem if not.
pub fn known(name: &str) -> Result<&'static str, Problem> {
    live::NAMES.into_iter().find(|known| *known == name).ok_or_else(Problem::not_found)
}

async fn change(
    edge: &Edge,
    editor: &Editor,
    name: &'static str,
    body: Map<String, Value>,
) -> Result<Response, Problem> {
    let SettingRequest { values, reason } = SettingRequest::parse(body)?;
    // Both are required.
    let (values, reason) = (values.unwrap_or_default(), reason.unwrap_or_default());
    store(edge, editor.change(edge.engine.now()), name, &values, &reason, CHANGE).await?;
    answer(edge, name)
}

/// Checks the settings, keeps them and lets them hold.
///
/// # Errors
/// Returns an `invalid_field` problem with every key that is not as it may be, and a `revision_conflict`
/// one if they have another version than the change is made from.
pub async fn store(
    edge: &Edge,
    asked: Change<'_>,
    name: &'static str,
    content: &Map<String, Value>,
    reason: &str,
    action: &'static str,
) -> Result<(), Problem> {
    let present = edge.settings.document(name);
    let (version, present) =
        present.map(|stored| (stored.version, stored.content)).unwrap_or_default();
    if let Err(refused) = edge.settings_rules.check(name, content, &present) {
        let errors = refused.into_iter().map(|refused| {
            let key = refused.key.replace('~', "~0").replace('/', "~1");
            FieldError::new(format!("/values/{key}"), refused.detail)
        });
        return Err(Problem::fields(errors.collect::<FieldErrors>()));
    }
    let base = match asked.base {
        Base::Revision(version) => version,
        Base::Any => version,
        Base::Unsaid => {
            let detail = "send the ETag of the settings that you looked at in If-Match";
            let problem = Problem::new(Code::RevisionRequired, detail);
            return Err(Problem { revision: Some(version), ..problem });
        }
    };
    let change =
        SettingChange { name, base, content, actor: asked.operator, at: asked.at, reason, action };
    edge.settings.change(change).await?;
    apply::all(edge);
    Ok(())
}

fn answer(edge: &Edge, name: &str) -> Result<Response, Problem> {
    let fields = edge.settings_rules.fields(name).ok_or_else(Problem::not_found)?;
    let stored = edge.settings.document(name);
    let version = stored.as_ref().map_or(0, |stored| stored.version);
    let view = view(name, fields, stored);
    Ok(([(ETAG, etag(version))], Json(view)).into_response())
}

fn view(
    name: &str,
    fields: Vec<live::SettingField>,
    stored: Option<StoredSetting>,
) -> SettingsView {
    let changed = stored.as_ref().map(|stored| stored.content.clone()).unwrap_or_default();
    let values = fields.iter().map(|field| {
        let changed = changed.get(field.key).filter(|_| field.pinned.is_none());
        let value = changed.unwrap_or(&field.value);
        (field.key.to_owned(), value.clone())
    });
    SettingsView {
        name: name.to_owned(),
        version: stored.as_ref().map_or(0, |stored| stored.version),
        values: Value::Object(values.collect()),
        changed: Value::Object(changed),
        fields: fields
            .into_iter()
            .map(|field| SettingFieldView {
                key: field.key.to_owned(),
                about: field.about,
                allowed: field.allowed,
                file: field.value,
                pinned: field.pinned,
            })
            .collect(),
        actor: stored.as_ref().map(|stored| stored.actor.clone()),
        at: stored.as_ref().map(|stored| timestamp::to_string(stored.at)),
        reason: stored.map(|stored| stored.reason),
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::OtherVersion { present } => Self {
                revision: Some(present),
                ..Self::new(Code::RevisionConflict, error.to_string())
            },
            SettingsError::NotFound => Self::not_found(),
            SettingsError::TooLarge { .. } => Self::field("/values", error.to_string()),
            SettingsError::Store(_) => {
                tracing::warn!(%error, "the settings did not answer");
                Self::new(Code::RecordsUnavailable, "the settings cannot be reached at the moment")
            }
            SettingsError::Centre(_) => {
                tracing::warn!(%error, "the settings did not answer");
                let detail = "etcd, which has the settings, does not answer: look at them before you repeat a \
                              change, which may have been made";
                Self::new(Code::LogUnavailable, detail)
            }
        }
    }
}
