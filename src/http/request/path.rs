//! The identities in a request's path.

use super::rules::Identity;
use crate::http::api::example;
use crate::http::problem::Problem;
use axum::extract::{FromRequestParts, Path};
use domain::{ItemId, OrderId, SaleId};
use hyper::http::request::Parts;
use std::str::FromStr;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::{IntoParams, PartialSchema};

/// An identity that a path may hold.
pub trait Named: FromStr {
    /// The parameter's name in the path.
    const PARAMETER: &'static str;
    /// What it identifies, for the OpenAPI document.
    const DESCRIPTION: &'static str;
    /// One such identity, for the OpenAPI document.
    const EXAMPLE: &'static str;

    /// Makes the problem of an identity that names nothing.
    fn missing() -> Problem;
}

impl Named for OrderId {
    const PARAMETER: &'static str = "order";
    const DESCRIPTION: &'static str = "The order's identity, from the purchase";
    const EXAMPLE: &'static str = example::ORDER_ID;

    fn missing() -> Problem {
        Problem::order_not_found()
    }
}

impl Named for ItemId {
    const PARAMETER: &'static str = "item";
    const DESCRIPTION: &'static str = "The item's identity, from its sale";
    const EXAMPLE: &'static str = example::ITEM_ID;

    fn missing() -> Problem {
        Problem::item_not_found()
    }
}

impl Named for SaleId {
    const PARAMETER: &'static str = "sale";
    const DESCRIPTION: &'static str = "The sale's identity";
    const EXAMPLE: &'static str = example::SALE_ID;

    fn missing() -> Problem {
        Problem::sale_not_found()
    }
}

fn parameter<T: Named>() -> Parameter {
    ParameterBuilder::new()
        .name(T::PARAMETER)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(T::DESCRIPTION))
        .schema(Some(Identity::schema()))
        .example(Some(T::EXAMPLE.into()))
        .build()
}

/// The identity in a path that has one.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

impl<S: Sync, T: Named> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, &()).await.map_err(|_| T::missing())?;
        text.parse().map(Self).map_err(|_| T::missing())
    }
}

impl<T: Named> IntoParams for Id<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::<T>()]
    }
}

/// The name in a path that has one; what is not UTF-8 names nothing.
#[derive(Clone, Debug)]
pub struct Segment(pub String);

impl<S: Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, &()).await;
        path.map(|Path(name)| Self(name)).map_err(|_| Problem::not_found())
    }
}

/// The sale and the item in a path that has both.
#[derive(Clone, Copy, Debug)]
pub struct SaleAndItem(pub SaleId, pub ItemId);

impl<S: Sync> FromRequestParts<S> for SaleAndItem {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Path((sale, item)) = Path::<(String, String)>::from_request_parts(parts, &())
            .await
            .map_err(|_| Problem::sale_not_found())?;
        let sale = sale.parse().map_err(|_| Problem::sale_not_found())?;
        let item = item.parse().map_err(|_| Problem::item_not_found())?;
        Ok(Self(sale, item))
    }
}

impl IntoParams for SaleAndItem {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter::<SaleId>(), parameter::<ItemId>()]
    }
}
