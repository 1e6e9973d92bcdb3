//! Reads again, slowly and for ever, what the journal has made durable, so that damage on the disk is
//! found while the state is still in memory and not at the next start.
//!
//! What is found is noted in the journal's status by the reader itself. Must not know where the journal
//! keeps its bytes.

use crate::actors::engine::Engine;
use crate::store::journal::JournalError;
use crate::store::journal::record::each_record;
use std::time::Duration;

/// Bytes read between two pauses.
const STEP_BYTES: usize = 256 << 10;
/// The pause after so many: 8 MiB a second at most.
const STEP_PAUSE: Duration = Duration::from_millis(32);

/// Reads all that is durable, again and again, with a pause of `interval` in between.
pub(super) async fn check_journal(engine: Engine, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        if let Err(error) = check_once(&engine).await {
            tracing::warn!(%error, "the journal could not be read again to its end");
        }
    }
}

/// Reads from the oldest batch to the last one that is durable.
async fn check_once(engine: &Engine) -> Result<(), JournalError> {
    let journal = &engine.context().journal;
    let mut reader = journal.read_again();
    let mut bytes = 0;
    while let Some(batch) = reader.next().await? {
        bytes += batch.len();
        let malformed = each_record(batch).find_map(Result::err);
        if let Some(error) = malformed {
            return Err(reader.refuse(&error.to_string()));
        }
        if bytes >= STEP_BYTES {
            bytes = 0;
            tokio::time::sleep(STEP_PAUSE).await;
        }
    }
    Ok(())
}
