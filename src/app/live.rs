//! The settings that can be changed while the shop runs, by the rules that the file's have.

use super::options;
use crate::config::Config;
use crate::http::{LiveDocument, NotAllowed, SettingField, SettingsRules};
use serde_json::{Map, Value};

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

/// The settings of the file, and what others may be.
#[derive(Debug)]
pub struct FileRules(Config);

impl FileRules {
    /// Makes rules over what the file says.
    pub fn new(config: &Config) -> Self {
        Self(config.clone())
    }

    fn is_live(section: &str, key: &str) -> bool {
        !READ_ONCE.contains(&(section, key))
    }
}

impl SettingsRules for FileRules {
    fn fields(&self, name: &str) -> Option<Vec<SettingField>> {
        let section = Config::catalogue().into_iter().find(|section| section.name == name)?;
        let settings = section.settings.into_iter();
        let fields = settings.filter(|setting| Self::is_live(name, setting.key)).map(|setting| {
            SettingField {
                key: setting.key,
                about: setting.doc.concat().trim().to_owned(),
                value: self.0.json(name, setting.key).unwrap_or_default(),
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
        let mut config = self.0.clone();
        let fields = self.fields(name).unwrap_or_default();
        let mut refused = Vec::new();
        for (key, value) in content {
            let field = fields.iter().find(|field| field.key == key);
            let detail = match field {
                None if !Self::is_live(name, key) => {
                    "is read at the start, and set in the file".to_owned()
                }
                None => "is no setting of this document".to_owned(),
                Some(field) if config.set_json(name, key, value.clone()) => {
                    debug_assert_eq!(field.key, key);
                    continue;
                }
                Some(field) => format!("must be {}", field.allowed),
            };
            refused.push(NotAllowed { key: key.clone(), detail });
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        match name {
            "risk" => Ok(LiveDocument::Risk(options::risk(&config.risk))),
            "challenge" => Ok(LiveDocument::Challenge(options::challenge(&config.challenge))),
            _ => Ok(LiveDocument::Limits(options::limits(&config.limits))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::LIVE_DOCUMENTS;
    use serde_json::json;

    fn read(name: &str, content: Value) -> Result<LiveDocument, Vec<(String, String)>> {
        let Value::Object(content) = content else { panic!("an object") };
        let refused = FileRules::new(&Config::default()).read(name, &content);
        refused.map_err(|all| all.into_iter().map(|one| (one.key, one.detail)).collect())
    }

    #[test]
    fn what_is_left_out_is_as_in_the_file() {
        let mut config = Config::default();
        config.limits.user_burst = 33;
        let content = Map::from_iter([("user_per_s".to_owned(), json!(7))]);
        let read = FileRules::new(&config).read("limits", &content);
        let Ok(LiveDocument::Limits(limits)) = read else { panic!("{read:?}") };
        assert_eq!((limits.user_per_second, limits.user_burst), (7, 33));
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
            let fields = FileRules::new(&Config::default()).fields(name).expect("a section");
            assert!(fields.len() > 3, "{name}");
            for field in fields {
                assert!(field.about.ends_with('.') && !field.value.is_null(), "{}", field.key);
            }
        }
        assert_eq!(FileRules::new(&Config::default()).fields("secrets"), None);
    }
}
