//! The accounts of operators: listed, disabled, enabled. For admins; a password is set by a one-time link
//! alone.

use crate::http::api::example;
use crate::http::auth::bearer::Admin;
use crate::http::auth::operator_name;
use crate::http::problem::{Code, Problem};
use crate::http::request::path::Segment;
use crate::http::state::Edge;
use crate::http::timestamp;
use crate::sales::operators::OperatorAccount;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// All accounts of operators.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorList {
    /// The accounts, by name.
    pub data: Vec<OperatorView>,
}

/// An operator's account.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorView {
    /// The operator's name.
    pub name: String,
    /// What the operator may do: of `viewer`, `operator`, `approver` and `admin`.
    pub roles: Vec<String>,
    /// Whether nobody may log in with the account.
    pub disabled: bool,
    /// When the account was changed last.
    #[schema(format = DateTime)]
    pub changed_at: String,
}

impl OperatorView {
    fn example(disabled: bool) -> Self {
        Self {
            name: example::APPROVER.to_owned(),
            roles: vec!["approver".to_owned()],
            disabled,
            changed_at: example::WRITTEN_AT.to_owned(),
        }
    }
}

impl From<&OperatorAccount> for OperatorView {
    fn from(account: &OperatorAccount) -> Self {
        Self {
            name: account.name.clone(),
            roles: account.roles.iter().map(|role| role.name().to_owned()).collect(),
            disabled: account.is_disabled,
            changed_at: timestamp::to_string(account.changed_at),
        }
    }
}

/// Lists the accounts of operators.
///
/// For admins: everybody who may log in to the console, and whose account is disabled.
#[utoipa::path(
    get, path = "/api/v1/admin/operators", tag = "operators",
    responses((status = 200, description = "All accounts", body = OperatorList,
        links(("disable" = (operation_id = "post_admin_operators_name_disable",
            parameters(("name" = "$response.body#/data/0/name")),
            description = "Disables the first of these accounts."))),
        example = json!(OperatorList { data: vec![OperatorView::example(false)] }))),
    security(("token" = []))
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    _admin: Admin,
) -> Result<Json<OperatorList>, Problem> {
    let accounts = edge.sales.operators().await?;
    Ok(Json(OperatorList { data: accounts.iter().map(OperatorView::from).collect() }))
}

/// Disables an operator's account.
///
/// For admins. Its sessions end with their next request, and tokens that were minted for this name until
/// now are not accepted any more. A name without an account gets a disabled one, which revokes its tokens.
#[utoipa::path(
    post, path = "/api/v1/admin/operators/{name}/disable", tag = "operators",
    params(("name" = String, Path, description = "The operator's name", example = "zhang.min")),
    responses(
        (status = 200, description = "The account", body = OperatorView,
            links(("enable" = (operation_id = "post_admin_operators_name_enable",
                parameters(("name" = "$response.body#/name"))))),
            example = json!(OperatorView::example(true))),
        (status = 409, description = "`state_conflict`: it is the account of the one who asks"),
    ),
    security(("token" = []))
)]
pub async fn disable(
    State(edge): State<Arc<Edge>>,
    admin: Admin,
    Segment(name): Segment,
) -> Result<Json<OperatorView>, Problem> {
    change(&edge, &admin, &name, true).await
}

/// Lets an operator's account be used again.
///
/// For admins. The password is the one of before; sessions and tokens that were revoked stay so.
#[utoipa::path(
    post, path = "/api/v1/admin/operators/{name}/enable", tag = "operators",
    params(("name" = String, Path, description = "The operator's name", example = "zhang.min")),
    responses(
        (status = 200, description = "The account", body = OperatorView,
            links(("disable" = (operation_id = "post_admin_operators_name_disable",
                parameters(("name" = "$response.body#/name"))))),
            example = json!(OperatorView::example(false))),
        (status = 404, description = "`not_found`: there is no such account"),
    ),
    security(("token" = []))
)]
pub async fn enable(
    State(edge): State<Arc<Edge>>,
    admin: Admin,
    Segment(name): Segment,
) -> Result<Json<OperatorView>, Problem> {
    change(&edge, &admin, &name, false).await
}

async fn change(
    edge: &Edge,
    Admin(operator): &Admin,
    name: &str,
    is_disabled: bool,
) -> Result<Json<OperatorView>, Problem> {
    let name = operator_name::canonical(name)
        .map_err(|error| Problem::new(Code::NotFound, error.to_string()))?;
    let now = edge.engine.now();
    let account = edge.sales.disable_operator(&name, is_disabled, &operator.name, now).await?;
    Ok(Json(OperatorView::from(&account)))
}
