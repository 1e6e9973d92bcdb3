//! The pages that are the same for every visitor, as files: byte for byte what the shop serves, so that a
//! web server or a delivery network can take the readers of a sale off its hands.
//!
//! Must not know where the files go.

use super::assets::{self, Assets};
use super::language::Language;
use super::shop::{home, item, sale};
use super::times::UtcOffset;
use crate::http::problem::Problem;
use crate::sales::Sales;
use bytes::Bytes;
use domain::catalogue::{PUBLIC_STATUSES, PublicSale, Sale};
use std::collections::HashSet;

/// Sales that are read at a time.
const PAGE: usize = 100;

/// The pages could not be made; the words say why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotExported(String);

impl From<Problem> for NotExported {
    fn from(problem: Problem) -> Self {
        Self(problem.detail.into_owned())
    }
}

/// A file of the export.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportedFile {
    /// Its path below the export's folder, such as `zh/items/7.html`.
    pub path: String,
    /// Its bytes as the shop serves them.
    pub plain: Bytes,
    /// The same, compressed; `None` where that gains nothing.
    pub gzip: Option<Bytes>,
}

impl ExportedFile {
    fn new(path: String, plain: Bytes) -> Self {
        let ready = assets::ready(plain);
        let gzip = (ready.gzip.len() < ready.plain.len()).then_some(ready.gzip);
        Self { path, plain: ready.plain, gzip }
    }
}

/// Returns the sales that everybody may see, newest first.
///
/// # Errors
/// Returns [`NotExported`] if the catalogue does not answer.
pub async fn public_sales(sales: &Sales) -> Result<Vec<PublicSale>, NotExported> {
    let mut found: Vec<Sale> = Vec::new();
    loop {
        let before = found.last().map(|sale| sale.sale_id);
        let page = sales.page(&PUBLIC_STATUSES, before, PAGE).await.map_err(Problem::from)?;
        let is_last = page.len() < PAGE;
        found.extend(page);
        if is_last {
            return Ok(found.iter().filter_map(Sale::public).collect());
        }
    }
}

/// Hands over every file of the export: pages of all languages, what they refer to, and pictures. What
/// `write` refuses ends it.
///
/// # Errors
/// Returns [`NotExported`] if the catalogue does not answer, or with what `write` says.
pub async fn export<E: std::fmt::Display>(
    sales: &Sales,
    public: &[PublicSale],
    offset: UtcOffset,
    mut write: impl FnMut(ExportedFile) -> Result<(), E>,
) -> Result<(), NotExported> {
    let mut write = |path: String, bytes: Bytes| {
        write(ExportedFile::new(path, bytes)).map_err(|error| NotExported(error.to_string()))
    };
    // What pages refer to comes before them.
    for name in Assets::names() {
        let found = Assets::default().find(Assets::build(), name);
        let bytes = found.map(|found| found.ready.plain).unwrap_or_default();
        write(format!("assets/{}/{name}", Assets::build()), bytes)?;
    }
    let pictures = public.iter().flat_map(|sale| &sale.items).filter_map(|item| item.picture);
    for picture in pictures.collect::<HashSet<_>>() {
        if let Some(bytes) = sales.picture(picture).await.map_err(Problem::from)? {
            write(format!("media/{picture}"), bytes.into())?;
        }
    }
    for language in Language::ALL {
        let name = language.name();
        for shown in public {
            for one in &shown.items {
                let html = item::html(language, offset, shown, one)?;
                write(format!("{name}/items/{}.html", one.item_id), html.into())?;
            }
            let html = sale::html(language, offset, shown)?;
            write(format!("{name}/sales/{}.html", shown.sale_id), html.into())?;
        }
        write(format!("{name}/index.html"), home::html(sales, language, offset).await?.into())?;
    }
    Ok(())
}
