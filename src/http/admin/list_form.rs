//! In which form a list for operators is asked for: a page as JSON, or all of it as a file.

use crate::http::problem::Problem;
use crate::http::request::page::{PageQuery, query_parameter};
use std::str::FromStr;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// Names of the forms.
const JSON: &str = "json";
const CSV: &str = "csv";

/// In which form a list is asked for, whose entries are named by a `T`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListForm<T> {
    /// A page as JSON, with this many entries at most, behind the entry of this name.
    Page(usize, Option<T>),
    /// All of them as a file.
    File {
        /// Whether Excel opens it as it is meant.
        for_excel: bool,
    },
}

impl<T: FromStr> ListForm<T> {
    /// Reads the page and the parameters `format` and `excel`.
    ///
    /// # Errors
    /// Returns an `invalid_field` problem if one of them is not valid.
    pub fn read(
        page: &PageQuery,
        format: Option<&str>,
        excel: Option<&str>,
    ) -> Result<Self, Problem> {
        let (limit, after) = page.read()?;
        let for_excel = for_excel(excel)?;
        match format {
            Some(CSV) => Ok(Self::File { for_excel }),
            None | Some(JSON) if for_excel => Err(Problem::field("excel", "only with format=csv")),
            None | Some(JSON) => Ok(Self::Page(limit, after)),
            Some(_) => Err(Problem::field("format", "must be json or csv")),
        }
    }
}

/// Reads the parameter `excel`: whether Excel opens the file as it is meant.
///
/// # Errors
/// Returns an `invalid_field` problem if it is neither `true` nor `false`.
pub fn for_excel(excel: Option<&str>) -> Result<bool, Problem> {
    match excel {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::field("excel", "must be true or false")),
    }
}

/// The parameters `format` and `excel`; `all` says what the file has, such as "all orders as one file".
pub fn parameters(all: &str) -> [Parameter; 2] {
    [
        query_parameter(
            "format",
            &format!("`json` for a page, which is the default; `csv` for {all}."),
            one_of(vec![JSON, CSV]),
            JSON.into(),
        ),
        query_parameter(
            "excel",
            "`true` for a file that Excel opens as it is meant: with a byte order mark, and with \
             identities as text, of which Excel would lose the last digits.",
            one_of(vec!["true", "false"]),
            "false".into(),
        ),
    ]
}

/// A text that is one of these names.
pub fn one_of(names: Vec<&'static str>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
}
