//! What must not start does not, at once, and says why. Drill 45.

use crate::Result;
use crate::drills::evidence::{Evidence, wants};
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;

const EXIT_CONFIGURATION: i32 = 3;
const EXIT_DATA: i32 = 4;

/// A setting that is not as it may be, and what the refusal has to name.
const BAD: [(&str, &str, &str); 5] = [
    ("SECKILL__ENGINE__SHARDS", "0", "engine.shards"),
    ("SECKILL__HTTP__LISTEN", "everywhere", "http.listen"),
    ("SECKILL__HTTP__PORT", "80", "http.port"),
    ("SECKILL__JOURNAL__SEGMENT_BYTES", "1000", "journal.segment_bytes"),
    ("SECKILL__SHOP__NAME", "x", "SECKILL__SHOP__NAME"),
];

/// 45: a bad configuration; two processes on one data directory.
pub async fn bad_starts(setting: &Setting) -> Result<Evidence> {
    let mut shop = Shop::open(setting, Opening::default()).await?;
    shop.trade().await?;
    let mut own = Vec::new();
    for (name, value, named) in BAD {
        let mut options = shop.engine().options().clone();
        options.environment.insert(name.to_owned(), value.to_owned());
        // Its own directory, so that nothing but the setting can stop it.
        options.data = shop.home().join("elsewhere");
        std::fs::create_dir_all(&options.data).map_err(crate::Error::io("making a directory"))?;
        let (code, said) = options.serve_in_vain().await?;
        let holds = code == Some(EXIT_CONFIGURATION) && said.contains(named);
        own.push(wants(name, format!("exit 3, names {named}"), exit(code), holds));
    }
    let (code, said) = shop.engine().options().serve_in_vain().await?;
    let holds = code == Some(EXIT_DATA) && said.contains("is in use by another process");
    own.push(wants("a second process on the directory", "exit 4, says so", exit(code), holds));
    shop.repaired();
    shop.trade().await?;
    shop.close(own).await
}

fn exit(code: Option<i32>) -> String {
    code.map_or("it serves".to_owned(), |code| format!("exit {code}"))
}
