//! The journal's disk: damaged, failing, full, slow. Drills 12 to 15.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::drills::evidence::{Evidence, wants};
use crate::drills::load::Load;
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::drills::strace::{Strace, segments};
use crate::outcome::{Class, Outcome};
use crate::{Error, Result};

/// The data directory cannot be used.
const EXIT_DATA: i32 = 4;
/// EX_IOERR of sysexits.h: the journal failed while the sale was on.
const EXIT_JOURNAL: i32 = 74;
const END_WAIT_MAX: Duration = Duration::from_secs(30);
/// Most purchases until a small disk is full.
const PURCHASES_MAX: usize = 10_000;
/// Leave for so many requests to be in the engine.
const PERMITS: u64 = 32;

/// 12: a flipped bit in the middle of the journal.
pub async fn a_flipped_bit(setting: &Setting) -> Result<Evidence> {
    let mut shop = Shop::open(setting, Opening::default()).await?;
    shop.trade().await?;
    shop.engine().stop().await?;
    let reading = || Error::io("flipping a bit");
    let path = segments(&shop.data())?.into_iter().next();
    let path = path.ok_or_else(|| Error::Server("there is no segment".to_owned()))?;
    let bytes = std::fs::read(&path).map_err(reading())?;
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let middle = end / 2;
    let file = File::options().write(true).open(&path).map_err(reading())?;
    let write = |byte: u8| file.write_all_at(&[byte], middle as u64).map_err(reading());
    write(bytes[middle] ^ 1)?;
    let (code, said) = shop.engine().options().serve_in_vain().await?;
    write(bytes[middle])?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let named = said.contains(&format!("{name} is damaged at byte"));
    let own = vec![
        wants("it refuses to start", "exit 4", exit(code), code == Some(EXIT_DATA)),
        wants("it names the place", "segment and byte", yes(named), named),
    ];
    shop.repaired();
    shop.engine().start_again().await?;
    shop.trade().await?;
    shop.close(own).await
}

/// 13: a sync fails once, and would not again.
pub async fn a_failed_sync(setting: &Setting) -> Result<Evidence> {
    let mut shop = Shop::open(setting, Opening::default()).await?;
    shop.trade().await?;
    let strace = attach(&mut shop, "error=EIO:when=1").await?;
    let heard = shop.rush(16, 0).await;
    let status = shop.engine().ended(END_WAIT_MAX).await?;
    drop(strace);
    let code = status.and_then(|status| status.code());
    let answered = heard.iter().filter(|heard| heard.order.is_some()).count();
    let own = vec![
        wants("confirmed without a sync", "0", answered, answered == 0),
        wants("the process stops", "exit 74", exit(code), code == Some(EXIT_JOURNAL)),
    ];
    shop.repaired();
    shop.engine().start_again().await?;
    shop.trade().await?;
    shop.close(own).await
}

/// 14: the disk of the journal is full.
pub async fn a_full_disk(setting: &Setting) -> Result<Evidence> {
    let opening = Opening { disk: Some("64m"), ..Opening::default() };
    let mut shop = Shop::open(setting, opening).await?;
    shop.trade().await?;
    shop.engine().stop().await?;
    // Now there is room for what is there, and not for another segment.
    for spare in segments(&shop.data())?.into_iter().skip(1) {
        std::fs::remove_file(spare).map_err(Error::io("removing a spare segment"))?;
    }
    resize(&shop, "24m");
    shop.engine().start_again().await?;
    let mut refused = None;
    let mut bought = 0;
    while refused.is_none() && bought < PURCHASES_MAX {
        let heard = shop.rush(16, 0).await;
        bought += heard.len();
        refused = heard.into_iter().find(|heard| heard.order.is_none());
    }
    let free = shop.figure("seckill_journal_free_bytes").await.unwrap_or(0);
    let status = refused.as_ref().map_or(0, |refused| refused.status);
    let own = vec![
        wants("purchases are refused", "503", status, status == 503),
        wants("before the disk is full", "bytes are left", free, free > 0),
    ];
    shop.engine().kill().await?;
    resize(&shop, "200m");
    shop.repaired();
    shop.engine().start_again().await?;
    shop.trade().await?;
    shop.close(own).await
}

fn resize(shop: &Shop, size: &str) {
    if let Some(disk) = shop.disk() {
        disk.grow(size);
    }
}

/// 15: a sync takes 50 ms, 2 s, and for ever.
pub async fn slow_syncs(setting: &Setting) -> Result<Evidence> {
    let permits = PERMITS.to_string();
    let environment = [("ENGINE__PERMITS", permits.as_str()), ("ENGINE__REPLY_TIMEOUT_MS", "1000")];
    let opening = Opening { environment: &environment, ..Opening::default() };
    let mut shop = Shop::open(setting, opening).await?;
    shop.trade().await?;

    let strace = attach(&mut shop, "delay_exit=50000").await?;
    // Few at a time, so that there is a permit for each.
    let heard = shop.carry(Load { connections: 8, ..Load::of(20.0, 2.0) }).await?;
    let turned_away = heard.of_class(Class::Unavailable) + heard.of_class(Class::Unknown);
    drop(strace);

    let strace = attach(&mut shop, "delay_exit=2000000").await?;
    let two_seconds = shop.rush(96, 0).await;
    let used = shop.figure("seckill_permits_used").await.unwrap_or(u64::MAX);
    drop(strace);
    let strace = attach(&mut shop, "delay_exit=600000000").await?;
    let for_ever = shop.rush(96, 0).await;
    let confirmed = for_ever.iter().filter(|heard| heard.order.is_some()).count();
    // A process that is traced is not gone before strace has let it go.
    let (killed, ()) = tokio::join!(shop.engine().kill(), async { drop(strace) });
    killed?;
    let of = |outcome| {
        let heard = two_seconds.iter().chain(&for_ever);
        heard.filter(|heard| heard.outcome == outcome).count()
    };
    let (shed, unknown) = (of(Outcome::Overloaded), of(Outcome::OutcomeUnknown));
    let own = vec![
        wants("turned away at 50 ms", "0", turned_away, turned_away == 0),
        wants("shed at 2 s and for ever", "some", shed, shed > 0),
        wants("told that the outcome is unknown", "some", unknown, unknown > 0),
        wants("permits in use", format!("≤ {PERMITS}"), used, used <= PERMITS),
        wants("confirmed without a sync", "0", confirmed, confirmed == 0),
    ];
    shop.repaired();
    shop.engine().start_again().await?;
    shop.trade().await?;
    shop.close(own).await
}

async fn attach(shop: &mut Shop, injected: &str) -> Result<Strace> {
    let data = shop.data();
    let process = shop.engine().process().load(Ordering::Relaxed);
    Strace::at_journal(process, &data, injected).await
}

fn exit(code: Option<i32>) -> String {
    code.map_or("it goes on".to_owned(), |code| format!("exit {code}"))
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}
