//! The files that pages refer to: styles, scripts and pictures, built into the program.
//!
//! Their path names their *build*, a digest of all of them, so that browsers may keep them for ever and a
//! script's relative imports are of its own build. A build that is not this program's is answered with
//! this program's bytes and not kept: behind a balancer two versions serve at the same time, and a 404
//! would break the pages of one of them.

use super::headers::Ready;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Declares the files: each with its content type and the sources that it is made of, one after the
/// other.
macro_rules! assets {
    ($($name:literal, $kind:literal: $($part:literal)+;)*) => {
        const ASSETS: &[Asset] = &[$(Asset {
            name: $name,
            content_type: $kind,
            parts: &[$(($part, include_bytes!(concat!("assets/", $part)))),+],
        }),*];
    };
}

struct Asset {
    name: &'static str,
    content_type: &'static str,
    /// The sources' names and contents.
    parts: &'static [(&'static str, &'static [u8])],
}

assets! {
    "shop.css", "text/css; charset=utf-8": "base.css" "shop.css";
    "console.css", "text/css; charset=utf-8": "base.css" "console.css";
    "icon.svg", "image/svg+xml": "icon.svg";
    "zone.js", "text/javascript; charset=utf-8": "zone.js";
    "accept.js", "text/javascript; charset=utf-8": "accept.js";
    "form.js", "text/javascript; charset=utf-8": "form.js";
    "chart.js", "text/javascript; charset=utf-8": "chart.js";
    "live.js", "text/javascript; charset=utf-8": "live.js";
    "running.js", "text/javascript; charset=utf-8": "running.js";
    "session.js", "text/javascript; charset=utf-8": "session.js" "visit.js" "times.js";
    "clock.js", "text/javascript; charset=utf-8": "clock.js";
    "home.js", "text/javascript; charset=utf-8": "home.js";
    "button.js", "text/javascript; charset=utf-8": "button.js";
    "item.js", "text/javascript; charset=utf-8": "item.js";
    "challenge.js", "text/javascript; charset=utf-8": "challenge.js";
    "widget.js", "text/javascript; charset=utf-8": "widget.js";
    "solver.js", "text/javascript; charset=utf-8": "solver.js";
    "order.js", "text/javascript; charset=utf-8": "order.js";
}

/// The files as they were built in, each ready to be sent.
static READY: LazyLock<Vec<Ready>> = LazyLock::new(|| {
    ASSETS
        .iter()
        .map(|asset| {
            let parts: Vec<&[u8]> = asset.parts.iter().map(|(_, bytes)| *bytes).collect();
            ready(parts.concat().into())
        })
        .collect()
});

/// The digest of all files, in hexadecimal.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for asset in ASSETS {
        digest.update(asset.name.as_bytes());
        for (_, bytes) in asset.parts {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
    }
    hexadecimal(&digest.finalize()[..8])
});

/// Returns bytes with their compressed form and their entity tag.
pub fn ready(plain: Bytes) -> Ready {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail; what is empty is never shorter than nothing, so it is not sent.
    let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish()).unwrap_or_default();
    let gzip = if gzip.is_empty() { plain.clone() } else { gzip.into() };
    let etag = format!("\"{}\"", hexadecimal(&Sha256::digest(&plain)[..12]));
    let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""));
    Ready { plain, gzip, etag }
}

/// Returns bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A file that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its bytes, ready to be sent.
    pub ready: Ready,
    /// Its media type, for a header.
    pub content_type: HeaderValue,
    /// Whether its path will never mean other bytes.
    pub is_final: bool,
}

/// The files that pages refer to.
#[derive(Clone, Debug, Default)]
pub struct Assets {
    /// Where they are read from instead, while they are worked on.
    folder: Option<PathBuf>,
}

impl Assets {
    /// Makes the files that were built in, or those of a folder as they are at each moment.
    pub const fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// Returns the name of this program's build.
    pub fn build() -> &'static str {
        &BUILD
    }

    /// Returns the names of all files.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ASSETS.iter().map(|asset| asset.name)
    }

    /// Returns a file's path.
    pub fn path(name: &str) -> String {
        debug_assert!(Self::names().any(|known| known == name), "{name} is no asset");
        format!("/assets/{}/{name}", Self::build())
    }

    /// Returns the file of this name, which is asked for as one of `build`; none if there is none.
    pub fn find(&self, build: &str, name: &str) -> Option<Found> {
        let place = ASSETS.iter().position(|asset| asset.name == name)?;
        let asset = &ASSETS[place];
        let content_type = HeaderValue::from_static(asset.content_type);
        if let Some(folder) = &self.folder {
            let read = |(part, built_in): &(&str, &[u8])| {
                std::fs::read(folder.join(part)).unwrap_or_else(|_| built_in.to_vec())
            };
            let bytes: Vec<u8> = asset.parts.iter().flat_map(read).collect();
            return Some(Found { ready: ready(bytes.into()), content_type, is_final: false });
        }
        let ready = READY.get(place)?.clone();
        Some(Found { ready, content_type, is_final: build == Self::build() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn texts(folder: &str, end: &str) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut folders =
            vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/pages").join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|found| found == end) {
                    found.push((path.clone(), std::fs::read_to_string(path).unwrap()));
                }
            }
        }
        found
    }

    #[test]
    fn what_templates_and_scripts_name_is_there() {
        let known: BTreeSet<&str> = Assets::names().collect();
        let mut named = BTreeSet::new();
        for (path, text) in texts("templates", "html") {
            for rest in text.split("asset(\"").skip(1) {
                let name = rest.split('"').next().unwrap().to_owned();
                assert!(known.contains(name.as_str()), "{} names {name}", path.display());
                named.insert(name);
            }
        }
        for (_, text) in texts("shop", "rs") {
            for rest in text.split("Assets::path(\"").skip(1) {
                named.insert(rest.split('"').next().unwrap().to_owned());
            }
        }
        for (path, text) in texts("assets", "js") {
            for rest in text.split("\"./").skip(1) {
                let name = rest.split('"').next().unwrap().to_owned();
                assert!(known.contains(name.as_str()), "{} names {name}", path.display());
                named.insert(name);
            }
        }
        let unused: Vec<_> = known.iter().filter(|name| !named.contains(**name)).collect();
        assert!(unused.is_empty(), "files that nothing names: {unused:?}");
    }

    #[test]
    fn pages_hold_no_script_style_or_handler_of_their_own() {
        for (path, text) in texts("templates", "html") {
            for (place, tag) in text.match_indices("<script") {
                let tag = text[place..].split('>').next().unwrap_or(tag);
                let is_file = tag.contains(" src=\"{{");
                assert!(
                    is_file || tag.contains("type=\"application/json\""),
                    "{}: {tag}",
                    path.display()
                );
            }
            for bad in ["<style", " style=", " onclick=", " onsubmit=", " onload=", "javascript:"] {
                assert!(!text.contains(bad), "{} has {bad}", path.display());
            }
        }
        for (path, text) in texts("assets", "js") {
            for bad in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!text.contains(bad), "{} has {bad}", path.display());
            }
        }
    }

    #[test]
    fn an_unknown_build_gets_the_present_bytes_and_may_not_keep_them() {
        let assets = Assets::default();
        let of = |build: &str| assets.find(build, "shop.css").unwrap();
        assert!(of(Assets::build()).is_final);
        assert!(!of("0123456789abcdef").is_final);
        assert_eq!(of(Assets::build()).ready, of("0123456789abcdef").ready);
        assert_eq!(assets.find(Assets::build(), "../assets.rs"), None);
    }

    #[test]
    fn a_folder_is_read_at_each_request() {
        let folder = tempfile::tempdir().unwrap();
        let assets = Assets::new(Some(folder.path().to_owned()));
        let bytes = |name| assets.find(Assets::build(), name).unwrap();
        assert_eq!(bytes("icon.svg").ready.plain, READY[2].plain, "what it lacks is built in");
        std::fs::write(folder.path().join("icon.svg"), "<svg/>").unwrap();
        assert_eq!(bytes("icon.svg").ready.plain, "<svg/>");
        assert!(!bytes("icon.svg").is_final);
    }
}
