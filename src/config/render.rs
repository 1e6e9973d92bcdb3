//! The configuration as text: `config.toml` with every key and its words, and what is in effect.

use super::load::{Loaded, Origin};
use super::settings::Config;
use toml::{Table, Value};

const WIDTH: usize = 96;

/// A setting in effect.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The setting's name, as `section.key`.
    pub key: String,
    /// Its value, without the secret parts; `None` if it is unset.
    pub value: Option<Value>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Returns every setting with its value and where it comes from, in the order of their declaration.
pub fn effective(loaded: &Loaded) -> Vec<Effective> {
    let values = values(&loaded.config);
    let mut effective = Vec::new();
    for section in Config::catalogue() {
        for setting in section.settings {
            effective.push(Effective {
                key: format!("{}.{}", section.name, setting.key),
                value: find(&values, section.name, setting.key).cloned(),
                origin: loaded.origin(section.name, setting.key),
            });
        }
    }
    effective
}

/// Returns the text of `config.toml`: every setting at its default, with its description.
pub fn template() -> String {
    let values = values(&Config::default());
    let mut text = String::from(
        "# Every setting, at its default. Each can also be set in the environment, as\n\
         # SECKILL__SECTION__KEY; what is secret also as SECKILL__SECTION__KEY_FILE, which names a\n\
         # file that holds it. `seckill config check` shows what is in effect, and from where.\n",
    );
    for section in Config::catalogue() {
        text.push('\n');
        comment(&mut text, &section.doc.concat());
        text.push_str(&format!("[{}]\n", section.name));
        for setting in section.settings {
            let words = setting.doc.concat();
            comment(&mut text, &format!("{words} Allowed: {}.", setting.allowed));
            match (find(&values, section.name, setting.key), setting.example) {
                (Some(value), _) => text.push_str(&format!("{} = {}\n", setting.key, show(value))),
                (None, example) => {
                    let example = example.unwrap_or_default();
                    text.push_str(&format!("# {} = {example:?}\n", setting.key));
                }
            }
        }
    }
    text
}

fn values(config: &Config) -> Table {
    Table::try_from(config).unwrap_or_default()
}

fn find<'a>(values: &'a Table, section: &str, key: &str) -> Option<&'a Value> {
    values.get(section)?.get(key)
}

/// The value as TOML, with large numbers in groups of three digits.
fn show(value: &Value) -> String {
    let plain = value.to_string();
    if !value.is_integer() || plain.len() < 5 {
        return plain;
    }
    let mut grouped = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

/// Appends the words as comment lines of bounded width.
fn comment(text: &mut String, words: &str) {
    let mut width = 0;
    for word in words.split_whitespace() {
        if width == 0 || width + 1 + word.chars().count() > WIDTH {
            text.push_str(if width == 0 { "# " } else { "\n# " });
            width = 1;
        } else {
            text.push(' ');
        }
        width += 1 + word.chars().count();
        text.push_str(word);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{DEFAULT_FILE, load};
    use std::path::Path;

    #[test]
    fn config_toml_is_what_is_declared() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFAULT_FILE);
        let text = std::fs::read_to_string(&path).expect("config.toml");
        assert!(text == template(), "run `seckill config template > config.toml`");
        let loaded = load(Some(&path), []).expect("accepted");
        assert_eq!(loaded.config, Config::default());
    }

    #[test]
    fn every_example_is_accepted() {
        // Several order stores are named instead of one.
        for left_out in [["mysql_urls", "replica_urls"], ["mysql_url", "replica_url"]] {
            for section in Config::catalogue() {
                // Those of a section together, because some need each other.
                let tried =
                    section.settings.iter().filter(|setting| !left_out.contains(&setting.key));
                let variables = tried.filter_map(|setting| {
                    let variable = format!("SECKILL__{}__{}", section.name, setting.key);
                    Some((variable.to_uppercase().into(), setting.example?.into()))
                });
                // A provider's URL needs the rest of a provider, of which there is no example.
                let provider = [
                    ("SECKILL__PAYMENTS__SANDBOX", "false"),
                    ("SECKILL__PAYMENTS__PROVIDER", "mall-pay"),
                    ("SECKILL__PAYMENTS__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
                ];
                let provider = provider.map(|(name, value)| (name.into(), value.into()));
                let provider = provider.into_iter().filter(|_| section.name == "payments");
                load(Some(Path::new("/dev/null")), variables.chain(provider)).expect("accepted");
            }
        }
    }

    #[test]
    fn what_is_in_effect_shows_no_secret() {
        let variable = "SECKILL__ORDERS__MYSQL_URL".into();
        let variables = [(variable, "mysql://shop:hunter2@db/shop".into())];
        let loaded = load(Some(Path::new("/dev/null")), variables).expect("accepted");
        let shown = format!("{:?}", effective(&loaded));
        assert!(shown.contains("mysql://***@db/shop") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in
            [(64, "64"), (1_024, "1024"), (16_384, "16_384"), (67_108_864, "67_108_864")]
        {
            assert_eq!(show(&Value::Integer(number)), text);
        }
    }
}
