//! The files that a shop is installed with name settings that there are.

use crate::support::Site;
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PREFIX: &str = "SECKILL__";

/// All that the files below a path say.
fn read(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            read(&entry.expect("an entry").path(), text);
        }
    } else {
        text.push_str(&fs::read_to_string(path).expect("text"));
    }
}

/// The settings whose variables a text names, as `section.key`.
fn settings(text: &str) -> Vec<String> {
    let variables = text.split(PREFIX).skip(1).map(|rest| {
        let is_name = |letter: char| letter.is_ascii_uppercase() || letter == '_';
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let name = rest[..end].strip_suffix("_FILE").unwrap_or(&rest[..end]);
        name.to_lowercase().replacen("__", ".", 1)
    });
    variables.collect()
}

#[test]
fn installed_settings_are_known() {
    let mut text = String::new();
    for path in ["deploy", "packaging", "compose.yaml"] {
        read(&Path::new(ROOT).join(path), &mut text);
    }
    let named = settings(&text);
    let output = Site::new().run(&["config", "check", "--json"]);
    let known: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let unknown: Vec<&String> =
        named.iter().filter(|setting| known.get(setting.as_str()).is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for setting in ["http.listen", "data.dir", "orders.mysql_url"] {
        assert!(named.iter().any(|named| named == setting), "{setting} is not in {named:?}");
    }
}

#[test]
fn the_packages_configuration_is_accepted_and_agrees_with_its_socket() {
    let file = Path::new(ROOT).join("packaging/deb/config.toml");
    let output = Site::new().run(&["config", "check", "--config", file.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value = |file: &str, key: &str| {
        let text = fs::read_to_string(Path::new(ROOT).join(file)).expect(file);
        let line = text.lines().find_map(|line| line.strip_prefix(key)).expect(key);
        line.trim_matches('"').to_owned()
    };
    let listens = value("packaging/deb/config.toml", "listen = ");
    assert_eq!(value("deploy/systemd/seckill.socket", "ListenStream="), listens);
}

#[test]
fn a_variable_is_read_as_a_setting() {
    let found = settings("Environment=SECKILL__DATA__DIR=/x\n- SECKILL__ORDERS__MYSQL_URL_FILE:");
    assert_eq!(found, ["data.dir", "orders.mysql_url"]);
}
