//! How long a start takes after many records. Drill 47.

use crate::drills::evidence::{Evidence, wants};
use crate::drills::load::Load;
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::stage::Sampler;
use crate::{Error, Result};

const RECORDS: &str = "seckill_journal_records_total";
/// A start without a record.
const START_SECONDS: f64 = 5.0;
/// For each record, of a build that is made for speed and of one that is not.
const SECONDS_EACH: (f64, f64) = (10e-6, 200e-6);
/// What a process has without a record, and what each record may add.
const START_MIB: f64 = 256.0;
const BYTES_EACH: f64 = 1_024.0;

/// 47: a restart without a checkpoint, after as many records as are made in this time.
pub async fn a_long_journal(setting: &Setting) -> Result<Evidence> {
    let mut shop = Shop::open(setting, Opening { users: 20_000, ..Opening::default() }).await?;
    shop.carry(Load::full(setting.of(16, 256), setting.of(2.0, 12.0))).await?;
    let records = shop.figure(RECORDS).await.unwrap_or(0) as f64;
    shop.engine().kill().await?;
    let data = shop.data();
    for beside in ["", "-wal", "-shm"] {
        let file = data.join(format!("checkpoints.db{beside}"));
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Error::io("removing the checkpoints")(error));
        }
    }
    shop.repaired();
    let took = shop.engine().start_again().await?.as_secs_f64();
    let memory = Sampler::new(vec![shop.engine().process()]).sample(0.0).resident_mib;
    let each = setting.of(SECONDS_EACH.1, SECONDS_EACH.0);
    let seconds_max = START_SECONDS + records * each;
    let memory_max = START_MIB + records * BYTES_EACH / f64::from(1 << 20);
    let millions = (records / 1e6).max(1e-9);
    let per_million = took / millions;
    let own = vec![
        wants("records", "some", records, records > 0.0),
        wants(
            "ready after",
            format!("≤ {seconds_max:.1} s"),
            format!("{took:.2} s, {per_million:.1} s a million"),
            took <= seconds_max,
        ),
        wants(
            "memory",
            format!("≤ {memory_max:.0} MiB"),
            format!("{memory:.0} MiB"),
            memory <= memory_max,
        ),
    ];
    shop.trade().await?;
    shop.close(own).await
}
