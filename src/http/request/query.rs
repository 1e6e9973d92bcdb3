//! The names in a request's query: a route has those that its handler declares for the OpenAPI document,
//! and a name that it does not have is refused, because a misspelt cursor would begin at page 1 for ever.

use crate::http::problem::{FieldError, FieldErrors, Problem, shortened};
use axum::extract::{MatchedPath, Query, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::{Method, Uri};
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

/// The parameters of each documented route, by its path.
#[derive(Clone, Debug)]
pub struct Declared(Arc<HashMap<String, OfPath>>);

/// The parameters of each method of a path.
type OfPath = Vec<(Method, Vec<String>)>;

impl Declared {
    /// Reads them from the document.
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter().map(|(path, item)| {
            let operations = [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::DELETE, &item.delete),
            ];
            let operations = operations
                .into_iter()
                .filter_map(|(method, operation)| Some((method, names_of(operation.as_ref()?))));
            (path.clone(), operations.collect())
        });
        Self(Arc::new(paths.collect()))
    }

    /// Answers a request whose query its route does not have, and hands on every other.
    pub async fn check(self, request: Request, next: Next) -> Response {
        let method = match request.method() {
            &Method::HEAD => &Method::GET,
            method => method,
        };
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let operations = path.and_then(|path| self.0.get(path)).map_or(&[][..], Vec::as_slice);
        let operation = operations.iter().find(|(declared, _)| declared == method);
        match operation.map_or(Ok(()), |(_, names)| check(request.uri(), names)) {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        }
    }
}

fn names_of(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let names = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
            Some(parameter.name.clone())
        }
        _ => None,
    });
    names.collect()
}

/// Checks that the query has none but these names, and each once.
///
/// # Errors
/// Returns an `invalid_field` problem if it does not.
pub fn check(uri: &Uri, names: &[String]) -> Result<(), Problem> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(());
    }
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Err(Problem::field("query", "must be pairs of a name and a value"));
    };
    let mut errors = FieldErrors::default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, _) in &pairs {
        if !names.contains(name) {
            let detail = match names {
                [] => "is no parameter of this request, which has none".to_owned(),
                names => format!("is no parameter of this request, which has {}", names.join(", ")),
            };
            errors.push(FieldError::new(shortened(name), detail));
        } else if seen.contains(&name.as_str()) {
            errors.push(FieldError::new(name, "is there twice"));
        } else {
            seen.push(name);
        }
    }
    errors.or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declared_names_are_accepted_and_each_once() {
        let names = ["limit".to_owned(), "starting_after".to_owned()];
        for (query, wrong) in [
            ("", &[][..]),
            ("?", &[]),
            ("?limit=1&starting_after=x", &[]),
            ("?%6Cimit=1", &[]),
            ("?limit=1&limit=2", &["limit"]),
            ("?after=1&limit=1&x", &["after", "x"]),
            ("?Limit=1", &["Limit"]),
        ] {
            let uri: Uri = format!("/api/v1/orders{query}").parse().unwrap();
            let found: Vec<String> = match check(&uri, &names) {
                Ok(()) => Vec::new(),
                Err(problem) => problem.errors.shown.into_iter().map(|e| e.pointer).collect(),
            };
            assert_eq!(found, wrong, "{query}");
        }
        let many: Uri = format!("/?{}", "a&".repeat(1_000)).parse().unwrap();
        assert_eq!(check(&many, &names).unwrap_err().errors.more, 980);
    }
}
