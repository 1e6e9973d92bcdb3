//! Merges the layers: defaults, file, environment. Remembers where each value comes from, and finds
//! every problem before it reports any.
//!
//! The layers are merged here and not by a library, because those at hand convert `6.7` to 7 and `true`
//! to 1, and a value that was meant differently must be refused.

use super::agreement;
use super::declare::{Section, Setting};
use super::settings::Config;
use crate::plain_file::read_text;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};
use xxhash_rust::xxh3::xxh3_64;

/// The file that is read from the working directory if none is named.
pub const DEFAULT_FILE: &str = "config.toml";

const VARIABLE_PREFIX: &str = "SECKILL__";
const FILE_SUFFIX: &str = "_FILE";

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The default, because it was not set.
    Default,
    /// A line of the configuration file.
    File {
        /// The file's path.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// The variable's name.
        variable: String,
    },
    /// A file that an environment variable names.
    SecretFile {
        /// The variable's name.
        variable: String,
        /// The file's path.
        path: PathBuf,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line } => write!(formatter, "{} line {line}", path.display()),
            Self::Environment { variable } => write!(formatter, "environment {variable}"),
            Self::SecretFile { variable, path } => {
                write!(formatter, "{}, named by environment {variable}", path.display())
            }
        }
    }
}

/// A problem of the configuration, in words that name key, value, source and what is allowed, as far as
/// these are known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem(pub String);

/// All problems of a configuration, at least one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", self.lines())]
pub struct Invalid(pub Vec<Problem>);

impl Invalid {
    fn lines(&self) -> String {
        let lines: Vec<&str> = self.0.iter().map(|Problem(text)| text.as_str()).collect();
        lines.join("\n")
    }
}

/// A checked configuration that remembers where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values of all settings.
    pub config: Config,
    /// What tells whether the file has changed; none if there is no file.
    pub file_digest: Option<u64>,
    origins: BTreeMap<(&'static str, &'static str), Origin>,
}

impl Loaded {
    /// Where the setting's value comes from.
    pub fn origin(&self, section: &str, key: &str) -> Origin {
        self.origins.get(&(section, key)).cloned().unwrap_or(Origin::Default)
    }

    /// The settings that the environment has set, each with the variable's name.
    pub fn pinned(&self) -> BTreeMap<(&'static str, &'static str), String> {
        let pinned = self.origins.iter().filter_map(|(setting, origin)| match origin {
            Origin::Environment { variable } | Origin::SecretFile { variable, .. } => {
                Some((*setting, variable.clone()))
            }
            Origin::Default | Origin::File { .. } => None,
        });
        pinned.collect()
    }
}

/// A configuration of which nothing says where its values come from.
impl From<Config> for Loaded {
    fn from(config: Config) -> Self {
        Self { config, origins: BTreeMap::new(), file_digest: None }
    }
}

/// Reads and checks the configuration. If `file` is given it must exist; otherwise [`DEFAULT_FILE`] is
/// read if it exists. Of `environment`, variables that begin with `SECKILL__` are read.
///
/// # Errors
/// Returns [`Invalid`] with all problems if there are any: a file that cannot be read or is not TOML,
/// unknown sections and keys, values of the wrong type or beyond what is allowed.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, Invalid> {
    let mut layers = Layers { catalogue: Config::catalogue(), ..Layers::default() };
    match file {
        Some(path) => layers.read_file(path),
        None if Path::new(DEFAULT_FILE).exists() => layers.read_file(Path::new(DEFAULT_FILE)),
        None => {}
    }
    let mut variables: Vec<_> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .collect();
    variables.sort();
    for (variable, value) in variables {
        if variable.starts_with(VARIABLE_PREFIX) {
            layers.take_variable(variable, value);
        } else {
            layers.look_for_misspelling(&variable);
        }
    }
    layers.finish()
}

#[derive(Default)]
struct Layers {
    catalogue: Vec<Section>,
    values: Table,
    origins: BTreeMap<(&'static str, &'static str), Origin>,
    problems: Vec<Problem>,
    file_digest: Option<u64>,
}

impl Layers {
    fn read_file(&mut self, path: &Path) {
        let shown = path.display();
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) => return self.problem(format!("{shown} cannot be read: {error}")),
        };
        self.file_digest = Some(xxh3_64(text.as_bytes()));
        let (table, lines) = match parse(&text) {
            Ok(parsed) => parsed,
            // Only the message is shown: the library's full text quotes the line, which may hold a
            // secret.
            Err((line, message)) => {
                return self.problem(format!("{shown} line {line} is not TOML: {message}"));
            }
        };
        for (section, settings) in table {
            let line = lines.get(&(section.clone(), String::new())).copied().unwrap_or(1);
            let Some(known) = self.catalogue.iter().find(|known| known.name == section).cloned()
            else {
                let names: Vec<&str> = self.catalogue.iter().map(|known| known.name).collect();
                let names = names.join(", ");
                self.problem(format!(
                    "{section} ({shown} line {line}) is no section; there are {names}"
                ));
                continue;
            };
            let Value::Table(settings) = settings else {
                self.problem(format!("{section} ({shown} line {line}) must be a section"));
                continue;
            };
            for (key, value) in settings {
                let line = lines.get(&(section.clone(), key.clone())).copied().unwrap_or(line);
                let origin = Origin::File { path: path.to_owned(), line };
                match known.settings.iter().find(|setting| setting.key == key) {
                    Some(setting) => self.set(known.name, setting, &[value], origin),
                    None => self.unknown_key(&known, &key, &origin),
                }
            }
        }
    }

    /// Refuses a variable that means a setting and has single underscores where two belong: it would be
    /// ignored in silence.
    fn look_for_misspelling(&mut self, variable: &str) {
        let single = |name: &str| name.to_uppercase().replace("__", "_");
        let meant = self.catalogue.iter().find_map(|section| {
            section.settings.iter().find_map(|setting| {
                let meant = format!("{VARIABLE_PREFIX}{}__{}", section.name, setting.key);
                (single(&meant) == single(variable)).then(|| meant.to_uppercase())
            })
        });
        if let Some(meant) = meant {
            self.problem(format!("environment {variable} is not read: it is spelt {meant}"));
        }
    }

    fn take_variable(&mut self, variable: String, value: OsString) {
        let place = variable[VARIABLE_PREFIX.len()..].to_lowercase();
        let (section, key) = place.split_once("__").unwrap_or((&place, ""));
        let Some(known) = self.catalogue.iter().find(|known| known.name == section).cloned() else {
            let names: Vec<&str> = self.catalogue.iter().map(|known| known.name).collect();
            let names = names.join(", ");
            return self
                .problem(format!("environment {variable} names no section; there are {names}"));
        };
        let Ok(text) = value.into_string() else {
            return self.problem(format!("environment {variable} is not UTF-8"));
        };
        let find = |key: &str| known.settings.iter().find(|setting| setting.key == key);
        if let Some(setting) = find(key) {
            let origin = Origin::Environment { variable };
            return self.set(known.name, setting, &readings(text), origin);
        }
        let secret = key.strip_suffix(&FILE_SUFFIX.to_lowercase()).and_then(find);
        let Some(setting) = secret.filter(|setting| setting.is_secret) else {
            return self.unknown_key(&known, key, &Origin::Environment { variable });
        };
        let path = PathBuf::from(text);
        match read_text(&path) {
            Ok(secret) => {
                let value = Value::String(secret.trim_end_matches(['\r', '\n']).to_owned());
                let origin = Origin::SecretFile { variable, path };
                self.set(known.name, setting, &[value], origin);
            }
            Err(error) => self.problem(format!(
                "{}, named by environment {variable}, cannot be read: {error}",
                path.display()
            )),
        }
    }

    /// Sets a value to the first of its readings that is allowed.
    fn set(&mut self, section: &'static str, setting: &Setting, values: &[Value], origin: Origin) {
        let key = setting.key;
        if let (
            Some(Origin::Environment { variable: first }),
            Origin::SecretFile { variable, .. },
        ) = (self.origins.get(&(section, key)), &origin)
        {
            let text = format!("environment {first} and {variable} both set {section}.{key}");
            return self.problem(text);
        }
        for value in values {
            let lone = Table::from_iter([(key.to_owned(), value.clone())]);
            let lone = Table::from_iter([(section.to_owned(), Value::Table(lone))]);
            if lone.try_into::<Config>().is_ok_and(|config| config.is_allowed(section, key)) {
                let settings = self.values.entry(section).or_insert(Value::Table(Table::new()));
                if let Value::Table(settings) = settings {
                    settings.insert(key.to_owned(), value.clone());
                }
                self.origins.insert((section, setting.key), origin);
                return;
            }
        }
        let shown = match values.first() {
            Some(value) if !setting.is_secret => value.to_string(),
            _ => "(secret)".to_owned(),
        };
        let allowed = &setting.allowed;
        self.problem(format!("{section}.{key} = {shown} ({origin}): allowed is {allowed}"));
    }

    fn unknown_key(&mut self, section: &Section, key: &str, origin: &Origin) {
        let keys: Vec<&str> = section.settings.iter().map(|setting| setting.key).collect();
        let (name, keys) = (section.name, keys.join(", "));
        self.problem(format!("{name}.{key} ({origin}) is no setting; {name} has {keys}"));
    }

    fn problem(&mut self, text: String) {
        self.problems.push(Problem(text));
    }

    fn finish(mut self) -> Result<Loaded, Invalid> {
        if self.problems.is_empty() {
            match self.values.try_into() {
                Ok(config) => {
                    let disagreements = agreement::check(&config);
                    if disagreements.is_empty() {
                        let (origins, file_digest) = (self.origins, self.file_digest);
                        return Ok(Loaded { config, file_digest, origins });
                    }
                    self.problems.extend(disagreements.into_iter().map(Problem));
                }
                Err(error) => self.problems.push(Problem(error.to_string())),
            }
        }
        Err(Invalid(self.problems))
    }
}

/// The values that a variable's text can stand for: a text, and an integer or truth value as in TOML.
fn readings(text: String) -> Vec<Value> {
    let integer = text.parse().ok().map(Value::Integer);
    let boolean = text.parse().ok().map(Value::Boolean);
    [Some(Value::String(text)), integer, boolean].into_iter().flatten().collect()
}

type Lines = BTreeMap<(String, String), usize>;

/// The file's values, and the line of each section (with an empty key) and of each key.
fn parse(text: &str) -> Result<(Table, Lines), (usize, String)> {
    let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count();
    let refused = |error: toml::de::Error| {
        (line_at(error.span().map_or(0, |span| span.start)), error.message().to_owned())
    };
    let table: Table = toml::from_str(text).map_err(refused)?;
    let spans = DeTable::parse(text).map_err(refused)?;
    let mut lines = Lines::new();
    for (section, settings) in spans.get_ref() {
        let name = section.get_ref().to_string();
        lines.insert((name.clone(), String::new()), line_at(section.span().start));
        if let DeValue::Table(settings) = settings.get_ref() {
            for key in settings.keys() {
                let place = (name.clone(), Spanned::get_ref(key).to_string());
                lines.insert(place, line_at(key.span().start));
            }
        }
    }
    Ok((table, lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WhenExceeded;

    /// A file on disk, removed with its directory.
    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("shop.toml");
        std::fs::write(&path, text).expect("written");
        (directory, path)
    }

    /// Loads the file and the variables; problems name the file without its directory.
    fn load_from(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
        let (directory, path) = file(text);
        let directory = format!("{}/", directory.path().display());
        load(Some(&path), variables.iter().map(|(name, value)| (name.into(), value.into())))
            .map_err(|Invalid(problems)| {
                problems.iter().map(|problem| problem.0.replace(&directory, "")).collect()
            })
    }

    fn check(text: &str, variables: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(load_from(text, variables).expect_err("refused"), expected);
    }

    #[test]
    fn nothing_set_is_all_defaults() {
        let loaded = load_from("", &[("PATH", "/bin"), ("SECKILL_REQUIRE_SERVICES", "1")]);
        let loaded = loaded.expect("accepted");
        assert_eq!(loaded.config, Config::default());
        assert_eq!(loaded.origin("engine", "shards"), Origin::Default);
    }

    #[test]
    fn the_environment_is_above_the_file_and_the_file_above_the_defaults() {
        let loaded = load_from(
            "[engine]\nshards = 8\n\npermits = 9\n[backlog]\nwhen_exceeded = \"refuse\"\n",
            &[
                ("SECKILL__ENGINE__SHARDS", "16"),
                ("SECKILL__DEMO__ENABLED", "false"),
                ("SECKILL__DATA__DIR", "12"),
            ],
        );
        let loaded = loaded.expect("accepted");
        assert_eq!(loaded.config.engine.shards, 16);
        assert_eq!(loaded.config.engine.permits, 9);
        assert_eq!(loaded.config.engine.virtual_nodes, 160);
        assert_eq!(loaded.config.backlog.when_exceeded, WhenExceeded::Refuse);
        assert!(!loaded.config.demo.enabled);
        assert_eq!(loaded.config.data.dir, Path::new("12"));
        let variable = "SECKILL__ENGINE__SHARDS".to_owned();
        assert_eq!(loaded.origin("engine", "shards"), Origin::Environment { variable });
        assert!(matches!(loaded.origin("engine", "permits"), Origin::File { line: 4, .. }));
    }

    #[test]
    fn every_problem_is_named_with_key_value_source_and_what_is_allowed() {
        check(
            "[engine]\nshards = 0\npermits = 6.7\nreply_timeout_ms = true\n\n[http]\nlisten = \"here\"\n",
            &[("SECKILL__ENGINE__SHARDS", "many"), ("SECKILL__BACKLOG__WHEN_EXCEEDED", "panic")],
            &[
                "engine.permits = 6.7 (shop.toml line 3): allowed is a whole number from 1 to 32768",
                "engine.reply_timeout_ms = true (shop.toml line 4): allowed is a whole number from 100 to 60000",
                "engine.shards = 0 (shop.toml line 2): allowed is a whole number from 1 to 1024",
                "http.listen = \"here\" (shop.toml line 7): allowed is an IP address and a port, such as \"0.0.0.0:8080\"",
                "backlog.when_exceeded = \"panic\" (environment SECKILL__BACKLOG__WHEN_EXCEEDED): allowed is \"alarm\" or \"refuse\"",
                "engine.shards = \"many\" (environment SECKILL__ENGINE__SHARDS): allowed is a whole number from 1 to 1024",
            ],
        );
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let sections = "there are http, pages, operations, limits, risk, data, engine, journal, checkpoint, broker, orders, backlog, cluster, payments, events, webhooks, visits, tokens, buy_token, challenge, users, oidc, compat, grpc, demo, traces, log";
        check(
            "shards = 4\n[engin]\nshards = 4\n[data]\ndirectory = \"x\"\n",
            &[
                ("SECKILL__ENGINE__SHARD", "4"),
                ("SECKILL__SHARDS", "4"),
                ("SECKILL_HTTP_LISTEN", "127.0.0.1:80"),
                ("SECKILL_CHECKPOINT__INTERVAL_MS", "5"),
                ("SECKILL_SEED", "5"),
                ("SECKILL__DATA__DIR_FILE", "x"),
            ],
            &[
                "data.directory (shop.toml line 5) is no setting; data has dir",
                &format!("engin (shop.toml line 2) is no section; {sections}"),
                &format!("shards (shop.toml line 1) is no section; {sections}"),
                "environment SECKILL_CHECKPOINT__INTERVAL_MS is not read: it is spelt SECKILL__CHECKPOINT__INTERVAL_MS",
                "environment SECKILL_HTTP_LISTEN is not read: it is spelt SECKILL__HTTP__LISTEN",
                "data.dir_file (environment SECKILL__DATA__DIR_FILE) is no setting; data has dir",
                "engine.shard (environment SECKILL__ENGINE__SHARD) is no setting; engine has shards, virtual_nodes, permits, reply_timeout_ms, worker_threads, drain_timeout_ms",
                &format!("environment SECKILL__SHARDS names no section; {sections}"),
            ],
        );
        check("engine = 4\n", &[], &["engine (shop.toml line 1) must be a section"]);
    }

    #[test]
    fn a_file_that_is_not_toml_is_named_by_its_line_and_not_quoted() {
        check(
            "[orders]\nmysql_url = hunter2\n",
            &[],
            &[
                "shop.toml line 2 is not TOML: string values must be quoted, expected literal string",
            ],
        );
        let missing = load(Some(Path::new("/nowhere/shop.toml")), []).expect_err("refused");
        assert!(missing.to_string().starts_with("/nowhere/shop.toml cannot be read: "));
    }

    #[test]
    fn secrets_come_from_files_and_are_never_shown() {
        let (_directory, path) = file("mysql://shop:hunter2@db/shop\n");
        let path = path.to_str().expect("UTF-8");
        let variable = "SECKILL__ORDERS__MYSQL_URL_FILE";
        let loaded = load_from("", &[(variable, path)]).expect("accepted");
        let url = loaded.config.orders.mysql_url.clone().expect("set");
        assert_eq!(url.expose(), "mysql://shop:hunter2@db/shop");
        assert_eq!(
            loaded.origin("orders", "mysql_url").to_string(),
            format!("{path}, named by environment {variable}")
        );
        let shown = format!("{:?}", loaded.config);
        assert!(shown.contains("mysql://***@db/shop") && !shown.contains("hunter2"), "{shown}");

        let both = [("SECKILL__ORDERS__MYSQL_URL", "mysql://db/shop"), (variable, path)];
        check(
            "",
            &both,
            &[
                "environment SECKILL__ORDERS__MYSQL_URL and SECKILL__ORDERS__MYSQL_URL_FILE both set orders.mysql_url",
            ],
        );
        for wrong in ["postgres://u:hunter2@db", "mysql://", "mysql://u:hunter2@", "mysql://:3306"]
        {
            check(
                "",
                &[("SECKILL__ORDERS__MYSQL_URL", wrong)],
                &[
                    "orders.mysql_url = (secret) (environment SECKILL__ORDERS__MYSQL_URL): allowed is a URL that begins with mysql:// or mariadb:// and names a database in its path",
                ],
            );
        }
    }
}
