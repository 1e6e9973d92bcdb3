//! The settings that can be changed while the shop runs, by the rules that the file's have: which there are, what
//! the file says of them, and what they may be.
//!
//! The file can be read again. What it says of these settings counts at once then, all of it or nothing; what needs
//! a restart is named.

use super::options;
use crate::config::{Config, Invalid, Loaded, WhenExceeded};
use crate::http::{
    EdgeLimits, LIVE_DOCUMENTS, LiveDocument, NotAllowed, SettingField, SettingsRules,
};
use crate::store::settings::Judge;
use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Settings of these sections that are read once, at the start: what takes memory, and the account with
/// the provider of challenges.
const READ_ONCE: [(&str, &str); 9] = [
    ("limits", "table_mib"),
    ("challenge", "provider"),
    ("challenge", "site_key"),
    ("challenge", "secret"),
    ("challenge", "hostname"),
    ("challenge", "verify_url"),
    ("challenge", "script_url"),
    ("challenge", "timeout_ms"),
    ("challenge", "in_flight_max"),
];
/// Settings of other sections that are not.
const LIVE: [(&str, &str); 9] = [
    ("http", "body_bytes_max"),
    ("http", "admin_body_bytes_max"),
    ("http", "picture_bytes_max"),
    ("http", "buy_body_bytes_max"),
    ("http", "event_streams_max"),
    ("http", "event_streams_per_buyer_max"),
    ("engine", "permits"),
    ("tokens", "ttl_seconds"),
    ("log", "filter"),
];
/// Sections of which only what [`LIVE`] names is live.
const MOSTLY_READ_ONCE: [&str; 4] = ["http", "engine", "tokens", "log"];

/// Why nothing is read where a file was before.
const FILE_GONE: &str =
    "the file that was read is gone: what it said holds; to have the defaults, make an empty one";

/// The settings of the file, and what others may be.
#[derive(Debug)]
pub struct FileRules {
    file: ArcSwap<File>,
    changed: watch::Sender<()>,
    /// Why the file that was read last is kept out, if it is.
    refused: watch::Sender<Option<String>>,
}

/// What the file says, with the environment above it.
#[derive(Debug)]
struct File {
    config: Config,
    pinned: BTreeMap<(&'static str, &'static str), String>,
    digest: Option<u64>,
}

/// What came of reading the file again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reread {
    /// The file says what it said before.
    Same,
    /// It says something else.
    Changed {
        /// What counts from now on, as `section.key`.
        applied: Vec<String>,
        /// What counts from the next start on.
        needs_restart: Vec<String>,
    },
    /// It is not as it may be, for this reason, and changes nothing.
    Refused(String),
}

impl FileRules {
    /// Makes rules over what the file and the environment say.
    pub fn new(loaded: &Loaded) -> Self {
        let file = File {
            config: loaded.config.clone(),
            pinned: loaded.pinned(),
            digest: loaded.file_digest,
        };
        Self {
            file: ArcSwap::from_pointee(file),
            changed: watch::Sender::new(()),
            refused: watch::Sender::new(None),
        }
    }

    /// Takes in what the file says now.
    pub fn reread(&self, loaded: Result<Loaded, Invalid>) -> Reread {
        let file = self.file.load();
        let loaded = match loaded {
            // Who replaces a file in two steps does not want the defaults in between.
            Ok(loaded) if file.digest.is_some() && loaded.file_digest.is_none() => {
                return self.refuse(FILE_GONE.to_owned());
            }
            Ok(loaded) => loaded,
            Err(invalid) => return self.refuse(invalid.to_string()),
        };
        self.refused.send_replace(None);
        if file.digest == loaded.file_digest && file.config == loaded.config {
            return Reread::Same;
        }
        let mut config = file.config.clone();
        let (mut applied, mut needs_restart) = (Vec::new(), Vec::new());
        for section in Config::catalogue() {
            for setting in section.settings {
                if !loaded.config.differs(&file.config, section.name, setting.key) {
                    continue;
                }
                let name = format!("{}.{}", section.name, setting.key);
                let value = loaded.config.json(section.name, setting.key);
                let is_set = Self::is_live(section.name, setting.key)
                    && value.is_some_and(|value| config.set_json(section.name, setting.key, value));
                if is_set { &mut applied } else { &mut needs_restart }.push(name);
            }
        }
        let (pinned, digest) = (loaded.pinned(), loaded.file_digest);
        self.file.store(Arc::new(File { config, pinned, digest }));
        self.changed.send_replace(());
        Reread::Changed { applied, needs_restart }
    }

    fn refuse(&self, why: String) -> Reread {
        self.refused.send_replace(Some(why.clone()));
        Reread::Refused(why)
    }

    /// Why the file that was read last is kept out, if it is, and each change of that.
    pub fn refused(&self) -> watch::Receiver<Option<String>> {
        self.refused.subscribe()
    }

    /// What says of a document from elsewhere what is wrong with it.
    pub fn judge(self: &Arc<Self>) -> Judge {
        let rules = Arc::clone(self);
        Arc::new(move |stored| {
            if !LIVE_DOCUMENTS.contains(&stored.name.as_str()) {
                return Err(format!("there are only {}", LIVE_DOCUMENTS.join(", ")));
            }
            let say = |refused: NotAllowed| format!("{} {}", refused.key, refused.detail);
            rules
                .read(&stored.name, &stored.content)
                .map(drop)
                .map_err(|refused| refused.into_iter().map(say).collect::<Vec<_>>().join(", "))
        })
    }

    fn is_live(section: &str, key: &str) -> bool {
        let setting = (section, key);
        LIVE_DOCUMENTS.contains(&section)
            && !READ_ONCE.contains(&setting)
            && (!MOSTLY_READ_ONCE.contains(&section) || LIVE.contains(&setting))
    }
}

impl SettingsRules for FileRules {
    fn fields(&self, name: &str) -> Option<Vec<SettingField>> {
        if !LIVE_DOCUMENTS.contains(&name) {
            return None;
        }
        let file = self.file.load();
        let section = Config::catalogue().into_iter().find(|section| section.name == name)?;
        let settings = section.settings.into_iter();
        let fields = settings.filter(|setting| Self::is_live(name, setting.key)).map(|setting| {
            SettingField {
                key: setting.key,
                about: setting.doc.concat().trim().to_owned(),
                value: file.config.json(name, setting.key).unwrap_or_default(),
                pinned: file.pinned.get(&(section.name, setting.key)).cloned(),
                allowed: setting.allowed,
                choices: setting.choices,
                bounds: setting.bounds,
            }
        });
        Some(fields.collect())
    }

    fn read(
        &self,
        name: &str,
        content: &Map<String, Value>,
    ) -> Result<LiveDocument, Vec<NotAllowed>> {
        let file = self.file.load();
        let mut config = file.config.clone();
        let fields = self.fields(name).unwrap_or_default();
        let mut refused = Vec::new();
        for (key, value) in content {
            let field = fields.iter().find(|field| field.key == key);
            let detail = match field {
                None if file.config.json(name, key).is_some()
                    || READ_ONCE.contains(&(name, key)) =>
                {
                    "is read at the start, and set in the file".to_owned()
                }
                None => "is no setting of this document".to_owned(),
                Some(field) if config.set_json(name, key, value.clone()) => {
                    if field.pinned.is_some() {
                        config.set_json(name, key, field.value.clone());
                    }
                    continue;
                }
                Some(field) => format!("must be {}", field.allowed),
            };
            refused.push(NotAllowed { key: key.clone(), detail });
        }
        if refused.is_empty() { Ok(document(name, &config)) } else { Err(refused) }
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

/// What a document's section of the configuration sets.
fn document(name: &str, config: &Config) -> LiveDocument {
    let edge = &config.http;
    match name {
        "risk" => LiveDocument::Risk(options::risk(&config.risk)),
        "challenge" => LiveDocument::Challenge(options::challenge(&config.challenge)),
        "http" => LiveDocument::Edge(EdgeLimits {
            body_bytes_max: edge.body_bytes_max as usize,
            admin_body_bytes_max: edge.admin_body_bytes_max as usize,
            picture_bytes_max: edge.picture_bytes_max as usize,
            buy_body_bytes_max: edge.buy_body_bytes_max as usize,
            event_streams_max: edge.event_streams_max as usize,
            event_streams_per_buyer_max: edge.event_streams_per_buyer_max as usize,
        }),
        "engine" => LiveDocument::Permits(config.engine.permits as usize),
        "backlog" => LiveDocument::Backlog {
            records_max: config.backlog.records_max,
            refuses: config.backlog.when_exceeded == WhenExceeded::Refuse,
        },
        "tokens" => LiveDocument::TokenLifetime(config.tokens.ttl_seconds),
        "buy_token" => {
            LiveDocument::BuyTokenLifetime(Duration::from_secs(config.buy_token.ttl_seconds))
        }
        "log" => LiveDocument::LogFilter(config.log.filter.clone()),
        _ => LiveDocument::Limits(options::limits(&config.limits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(config: Config) -> FileRules {
        FileRules::new(&config.into())
    }

    fn read(name: &str, content: Value) -> Result<LiveDocument, Vec<(String, String)>> {
        let Value::Object(content) = content else { panic!("an object") };
        let refused = rules(Config::default()).read(name, &content);
        refused.map_err(|all| all.into_iter().map(|one| (one.key, one.detail)).collect())
    }

    #[test]
    fn what_is_left_out_is_as_in_the_file() {
        let mut config = Config::default();
        config.limits.user_burst = 33;
        let content = Map::from_iter([("user_per_s".to_owned(), json!(7))]);
        let read = rules(config).read("limits", &content);
        let Ok(LiveDocument::Limits(limits)) = read else { panic!("{read:?}") };
        assert_eq!((limits.user_per_second, limits.user_burst), (7, 33));
    }

    #[test]
    fn a_file_that_is_gone_changes_nothing() {
        let mut loaded = Loaded::from(Config::default());
        loaded.config.limits.user_burst = 33;
        loaded.file_digest = Some(1);
        let rules = FileRules::new(&loaded);
        let without = || Ok(Loaded::from(Config::default()));
        assert_eq!(rules.reread(without()), Reread::Refused(FILE_GONE.to_owned()));
        assert_eq!(rules.refused().borrow().as_deref(), Some(FILE_GONE));
        assert_eq!(rules.reread(Ok(loaded)), Reread::Same);
        assert_eq!(*rules.refused().borrow(), None);
        let mut empty = Loaded::from(Config::default());
        empty.file_digest = Some(2);
        let changed = Reread::Changed {
            applied: vec!["limits.user_burst".to_owned()],
            needs_restart: vec![],
        };
        assert_eq!(rules.reread(Ok(empty)), changed);
    }

    #[test]
    fn bounds_are_those_of_the_file() {
        let bad = json!({
            "user_per_s": 1_001, "user_burst": "20", "login_name_per_min": 1.5, "table_mib": 16,
            "nothing": 1, "item_per_s": -1,
        });
        let mut refused = read("limits", bad).expect_err("refused");
        refused.sort();
        let expected = [
            ("item_per_s", "must be a whole number from 0 to 1000000"),
            ("login_name_per_min", "must be a whole number from 0 to 1000"),
            ("nothing", "is no setting of this document"),
            ("table_mib", "is read at the start, and set in the file"),
            ("user_burst", "must be a whole number from 1 to 10000"),
            ("user_per_s", "must be a whole number from 0 to 1000"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, detail)| ((*key).to_owned(), (*detail).to_owned()))
            .collect();
        assert_eq!(refused, expected);
        assert!(read("risk", json!({ "deny_user_mode": "shadow" })).is_ok());
        assert!(read("risk", json!({ "deny_user_mode": "sometimes" })).is_err());
        let Ok(LiveDocument::Challenge(challenge)) = read("challenge", json!({ "prefix": "0" }))
        else {
            panic!("accepted")
        };
        assert_eq!((challenge.difficulty.cost, challenge.difficulty.prefix.as_str()), (1_000, "0"));
        for bad in [json!({ "prefix": "A" }), json!({ "cost": 0 }), json!({ "secret": "x" })] {
            assert!(read("challenge", bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_document_is_a_section_with_words() {
        for name in LIVE_DOCUMENTS {
            let fields = rules(Config::default()).fields(name).expect("a section");
            assert!(!fields.is_empty(), "{name}");
            for field in fields {
                assert!(field.about.ends_with('.') && !field.value.is_null(), "{}", field.key);
            }
        }
        assert_eq!(rules(Config::default()).fields("secrets"), None);
    }

    /// What a file and variables say, by the names of files that are no more.
    fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Invalid> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("shop.toml");
        std::fs::write(&path, text).expect("written");
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        crate::config::load(Some(&path), variables)
    }

    #[test]
    fn what_the_environment_has_set_counts_before_a_change_and_is_refused_by_name() {
        let variable = ("SECKILL__LIMITS__USER_PER_S", "7");
        let rules = FileRules::new(&loaded("", &[variable]).expect("accepted"));
        let (content, nothing) =
            (Map::from_iter([("user_per_s".to_owned(), json!(5))]), Map::new());
        let Ok(LiveDocument::Limits(limits)) = rules.read("limits", &content) else {
            panic!("accepted")
        };
        assert_eq!(limits.user_per_second, 7, "from another node, whose environment is another");
        let refused = rules.check("limits", &content, &nothing).expect_err("refused");
        assert_eq!(refused.len(), 1);
        assert!(refused[0].detail.contains(variable.0), "{refused:?}");
        assert_eq!(rules.check("limits", &content, &content), Ok(()), "it is no change");
        let same = Map::from_iter([("user_per_s".to_owned(), json!(7))]);
        assert_eq!(rules.check("limits", &same, &nothing), Ok(()));
    }

    #[test]
    fn a_file_that_is_read_again_counts_as_far_as_it_can_or_not_at_all() {
        let rules = FileRules::new(&loaded("[limits]\nuser_per_s = 5\n", &[]).expect("accepted"));
        let user_per_second = || match rules.read("limits", &Map::new()) {
            Ok(LiveDocument::Limits(limits)) => limits.user_per_second,
            other => panic!("{other:?}"),
        };
        let changes = rules.changes();
        assert_eq!(rules.reread(loaded("[limits]\nuser_per_s = 5\n", &[])), Reread::Same);
        let text = "[limits]\nuser_per_s = 5_000\nuser_burst = 9\n";
        let Reread::Refused(why) = rules.reread(loaded(text, &[])) else { panic!("refused") };
        assert!(why.contains("limits.user_per_s = 5000") && why.contains("line 2"), "{why}");
        assert_eq!((user_per_second(), changes.has_changed().ok()), (5, Some(false)));
        assert!(rules.refused().borrow().is_some());
        let text = "[limits]\nuser_per_s = 6\ntable_mib = 16\n[engine]\nshards = 8\npermits = 9\n";
        let expected = Reread::Changed {
            applied: vec!["limits.user_per_s".to_owned(), "engine.permits".to_owned()],
            needs_restart: vec!["limits.table_mib".to_owned(), "engine.shards".to_owned()],
        };
        assert_eq!(rules.reread(loaded(text, &[])), expected);
        assert_eq!((user_per_second(), changes.has_changed().ok()), (6, Some(true)));
        assert_eq!(*rules.refused().borrow(), None);
        let Reread::Changed { applied, needs_restart } = rules.reread(loaded(text, &[])) else {
            panic!("what needs a restart still does")
        };
        assert_eq!((applied.len(), needs_restart.len()), (0, 2));
    }
}
