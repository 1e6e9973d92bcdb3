//! Pictures in memory: those asked for last are kept, so that a crowd reads each from the catalogue once.
//!
//! Must not know how pictures are made or shown.

use crate::http::problem::{Code, Problem};
use crate::sales::Sales;
use bytes::Bytes;
use domain::catalogue::PictureId;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Bytes of pictures that are kept in memory.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// Pictures that are read from the catalogue at a time.
const READS_MAX: usize = 4;
/// How long a request waits for its turn to read.
const TURN_WAIT_MAX: Duration = Duration::from_secs(3);

/// Pictures in memory, those that came first go first.
#[derive(Debug)]
pub struct Pictures {
    kept: Mutex<Kept>,
    reads: Semaphore,
}

#[derive(Debug, Default)]
struct Kept {
    pictures: HashMap<PictureId, Bytes>,
    order: VecDeque<PictureId>,
    bytes: usize,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { kept: Mutex::default(), reads: Semaphore::new(READS_MAX) }
    }
}

impl Pictures {
    /// Returns a picture's bytes; none if there is no such picture.
    ///
    /// # Errors
    /// Returns an `overloaded` problem if too many others are being read, and a `records_unavailable`
    /// one if the catalogue does not answer.
    pub async fn find(&self, sales: &Sales, picture: PictureId) -> Result<Option<Bytes>, Problem> {
        if let Some(bytes) = self.kept.lock().pictures.get(&picture) {
            return Ok(Some(bytes.clone()));
        }
        let turn = tokio::time::timeout(TURN_WAIT_MAX, self.reads.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Problem::new(Code::Overloaded, "too many pictures are being read"));
        };
        // A request before this one may have read it.
        if let Some(bytes) = self.kept.lock().pictures.get(&picture) {
            return Ok(Some(bytes.clone()));
        }
        let Some(bytes) = sales.picture(picture).await?.map(Bytes::from) else { return Ok(None) };
        self.kept.lock().add(picture, bytes.clone());
        Ok(Some(bytes))
    }
}

impl Kept {
    fn add(&mut self, picture: PictureId, bytes: Bytes) {
        if self.pictures.contains_key(&picture) {
            return;
        }
        self.bytes += bytes.len();
        self.pictures.insert(picture, bytes);
        self.order.push_back(picture);
        while self.bytes > KEPT_BYTES_MAX {
            let Some(first) = self.order.pop_front() else { break };
            self.bytes -= self.pictures.remove(&first).map_or(0, |bytes| bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_a_bound() {
        let mut kept = Kept::default();
        for number in 0..1_000_u16 {
            let mut name = [0; 32];
            name[..2].copy_from_slice(&number.to_be_bytes());
            // Each one twice: two requests may have read it at once.
            for _ in 0..2 {
                kept.add(PictureId(name), Bytes::from(vec![0; 40_000]));
            }
        }
        assert!(kept.bytes <= KEPT_BYTES_MAX);
        assert_eq!(kept.pictures.len(), kept.order.len());
        assert_eq!(kept.bytes, kept.pictures.values().map(Bytes::len).sum::<usize>());
        assert!(kept.pictures.len() > 400);
    }
}
