//! `seckill export`: the shop's pages as files in a folder, from the catalogue alone, so that it runs beside
//! the shop or without it.
//!
//! A web server runs as another user, and nothing in the files is secret: everybody may read them. A file
//! is written beside its place and renamed, so that a reader sees the one of before or the one of now.
//! `manifest.json`, written last, names every file with its SHA-256, and when each build of the files that
//! pages refer to was exported last: one that is older than a week is deleted, because pages that a cache
//! kept may refer to it until then.

use super::options;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::http::{ExportedFile, NotExported, export, public_sales};
use crate::opening::{self, OpenError};
use crate::sales::Sales;
use crate::store::data_dir::DataDir;
use crate::store::public_files::{make_folder, make_readable};
use crate::store::read_cache::ReadCache;
use domain::Timestamp;
use domain::catalogue::PublicSale;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How long a build is kept after a newer one took its place.
const BUILD_KEPT_MILLISECONDS: u64 = 7 * 24 * 3_600_000;
const MANIFEST: &str = "manifest.json";

/// Why the pages were not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The order store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no order store, which has the catalogue.
    #[error("there is no order store at {path}", path = .0.display())]
    NoOrderStore(PathBuf),
    /// The pages cannot be made or written.
    #[error(transparent)]
    Pages(#[from] NotExported),
    /// A file cannot be read, written or deleted.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
}

/// What the manifest says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// When each build was exported last, in milliseconds since 1970.
    pub builds: BTreeMap<String, u64>,
    /// Every file by its path.
    pub files: BTreeMap<String, FileEntry>,
}

/// A file as the manifest names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its length in bytes.
    pub bytes: usize,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// An export into a folder.
pub struct Exporter {
    sales: Sales,
    folder: PathBuf,
    config: Config,
    /// What was exported last.
    last: Option<Vec<PublicSale>>,
}

/// What an export did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exported {
    /// Files that the export has.
    pub files: usize,
    /// Files that were written, because they were missing or different.
    pub written: usize,
}

impl Exporter {
    /// Opens the catalogue of the configuration, and makes the folder.
    ///
    /// # Errors
    /// Returns [`ExportError`] if there is no order store, or folder or store cannot be opened.
    pub async fn open(config: &Config, folder: &Path) -> Result<Self, ExportError> {
        let data_dir = DataDir::look(&config.data.dir);
        let orders = opening::existing_orders(config, &data_dir).await?;
        let orders = orders.ok_or_else(|| ExportError::NoOrderStore(data_dir.orders()))?;
        let clock = Clock::start(Timestamp(0));
        let read_cache = ReadCache::new(None, clock).map_err(OpenError::ReadCache)?;
        make_folder(folder).map_err(|error| ExportError::File(folder.into(), error))?;
        let sales = Sales::new(orders, read_cache);
        Ok(Self { sales, folder: folder.to_owned(), config: config.clone(), last: None })
    }

    /// Exports what has changed; none if nothing has since the last time.
    ///
    /// # Errors
    /// Returns [`ExportError`] if the catalogue does not answer or a file cannot be written. Files that
    /// were written stay; the next export goes on from them.
    pub async fn export(&mut self) -> Result<Option<Exported>, ExportError> {
        let public = public_sales(&self.sales).await?;
        if self.last.as_ref() == Some(&public) {
            return Ok(None);
        }
        let mut manifest = Manifest { builds: self.builds(), ..Manifest::default() };
        let mut written = 0;
        let offset = options::pages(&self.config).utc_offset;
        export(&self.sales, &public, offset, |file| {
            written += write_with_gzip(&self.folder, &file, &mut manifest)?;
            Ok::<_, ExportError>(())
        })
        .await?;
        let now = clock::wall_now().0;
        self.forget_builds(&mut manifest, now)?;
        let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
        write(&self.folder, MANIFEST, &text)?;
        self.last = Some(public);
        Ok(Some(Exported { files: manifest.files.len(), written }))
    }

    /// The builds that the folder's manifest knows; none if there is no manifest that can be read.
    fn builds(&self) -> BTreeMap<String, u64> {
        let text = fs::read(self.folder.join(MANIFEST)).unwrap_or_default();
        let manifest: Manifest = serde_json::from_slice(&text).unwrap_or_default();
        manifest.builds
    }

    /// Notes the present build, and deletes those that were replaced long ago.
    fn forget_builds(&self, manifest: &mut Manifest, now: u64) -> Result<(), ExportError> {
        let paths = manifest.files.keys().filter_map(|path| path.strip_prefix("assets/"));
        let present = paths.filter_map(|path| path.split('/').next()).next().map(str::to_owned);
        if let Some(present) = present {
            manifest.builds.insert(present, now);
        }
        for build in old_builds(&manifest.builds, now) {
            let folder = self.folder.join("assets").join(&build);
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ExportError::File(folder, error));
                }
                _ => manifest.builds.remove(&build),
            };
        }
        Ok(())
    }
}

/// The builds that were exported last before a week ago. A name that is not one is none of ours.
fn old_builds(builds: &BTreeMap<String, u64>, now: u64) -> Vec<String> {
    let is_name =
        |build: &str| build.bytes().all(|byte| byte.is_ascii_hexdigit()) && !build.is_empty();
    let is_old = |at: u64| at.saturating_add(BUILD_KEPT_MILLISECONDS) < now;
    let old = builds.iter().filter(|(build, at)| is_name(build) && is_old(**at));
    old.map(|(build, _)| build.clone()).collect()
}

/// Writes a file and its compressed form, and notes both; returns how many were missing or different.
fn write_with_gzip(
    folder: &Path,
    file: &ExportedFile,
    manifest: &mut Manifest,
) -> Result<usize, ExportError> {
    let gzip = file.gzip.as_ref().map(|bytes| (format!("{}.gz", file.path), bytes));
    let forms = [(file.path.clone(), &file.plain)].into_iter().chain(gzip);
    let mut written = 0;
    for (path, bytes) in forms {
        written += usize::from(write(folder, &path, bytes)?);
        let sha256 = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        manifest.files.insert(path, FileEntry { bytes: bytes.len(), sha256 });
    }
    Ok(written)
}

/// Puts the bytes in the place of `path`, unless they are there; returns whether it did.
fn write(folder: &Path, path: &str, bytes: &[u8]) -> Result<bool, ExportError> {
    let place = folder.join(path);
    let failed = |error| ExportError::File(place.clone(), error);
    if fs::read(&place).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    if let Some(parent) = place.parent() {
        make_folder(parent).map_err(failed)?;
    }
    let mut beside = place.clone().into_os_string();
    beside.push(".new");
    fs::write(&beside, bytes).map_err(failed)?;
    make_readable(Path::new(&beside)).map_err(failed)?;
    fs::rename(&beside, &place).map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once_and_whole() {
        let folder = tempfile::tempdir().expect("a directory");
        let write = |bytes: &[u8]| write(folder.path(), "zh/items/7.html", bytes).expect("written");
        assert!(write(b"one"));
        assert!(!write(b"one"), "it is there");
        assert!(write(b"two"));
        let place = folder.path().join("zh/items");
        assert_eq!(fs::read(place.join("7.html")).expect("a file"), b"two");
        assert_eq!(fs::read_dir(place).expect("a folder").count(), 1, "nothing stays beside it");
    }

    #[test]
    fn builds_are_kept_for_a_week() {
        let day = 24 * 3_600_000;
        let builds = [("aa", 10), ("bb", 3), ("../..", 1), ("", 1), ("cc", 2)];
        let builds = builds.map(|(name, days)| (name.to_owned(), days * day)).into();
        assert_eq!(old_builds(&builds, 10 * day), ["cc"]);
        assert_eq!(old_builds(&builds, 11 * day), ["bb", "cc"]);
    }
}
