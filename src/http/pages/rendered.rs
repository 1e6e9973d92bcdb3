//! Pages that are the same for every visitor, kept as bytes: each is rendered once for each generation of
//! the sales, by one request while others wait, and a few at a time whatever is asked for. While the
//! catalogue is away, the page of the generation before is shown: what changes during a sale is not on it.
//!
//! Must not know what is on a page, nor where a sale comes from.

use super::assets;
use super::headers::Ready;
use super::language::Language;
use crate::http::problem::{Code, Problem};
use domain::{ItemId, SaleId};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OnceCell, Semaphore};

/// A page that is the same for every visitor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Page {
    /// The list of sales.
    Home(Language),
    /// A sale with its items.
    Sale(Language, SaleId),
    /// An item with its button.
    Item(Language, ItemId),
}

/// The pages that are kept.
#[derive(Debug)]
pub struct RenderedPages {
    kept: Mutex<Kept>,
    renders: Semaphore,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    slots: HashMap<Page, Slot>,
    /// Bytes of all pages that are rendered.
    bytes: usize,
    /// Grows with each look, so that the page that was not looked at for longest is known.
    looks: u64,
}

#[derive(Debug)]
struct Slot {
    generation: u64,
    page: Arc<OnceCell<Ready>>,
    /// The page of an earlier generation, until this one is rendered.
    before: Option<Ready>,
    /// Bytes that are counted for it; 0 until there is a page.
    bytes: usize,
    looked_at: u64,
}

impl RenderedPages {
    /// Makes an empty collection, which renders `renders_max` pages at a time and keeps `bytes_max` bytes.
    pub fn new(renders_max: usize, bytes_max: usize) -> Self {
        Self { kept: Mutex::default(), renders: Semaphore::new(renders_max), bytes_max }
    }

    /// Returns the page as of this generation of the sales: the one that is kept, or what `render` makes. If
    /// that finds the catalogue away, the page of an earlier generation is returned.
    ///
    /// # Errors
    /// Returns the problem that `render` ran into; the next request tries again.
    pub async fn get(
        &self,
        page: Page,
        generation: u64,
        render: impl AsyncFnOnce() -> Result<String, Problem>,
    ) -> Result<Ready, Problem> {
        let cell = self.look(page, generation);
        if let Some(ready) = cell.get() {
            return Ok(ready.clone());
        }
        let rendered: Result<Ready, Problem> = cell
            .get_or_try_init(|| async {
                let _turn = self.renders.acquire().await.map_err(|_| overloaded())?;
                let ready = assets::ready(render().await?.into());
                self.count(page, &cell, &ready);
                Ok(ready)
            })
            .await
            .cloned();
        match rendered {
            Err(problem) => match self.give_up(page, &cell) {
                Some(before) if problem.code == Code::RecordsUnavailable => Ok(before),
                _ => Err(problem),
            },
            ready => ready,
        }
    }

    /// Returns how many bytes are kept.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    fn look(&self, page: Page, generation: u64) -> Arc<OnceCell<Ready>> {
        let mut kept = self.kept.lock();
        kept.looks += 1;
        let looked_at = kept.looks;
        if let Some(slot) = kept.slots.get_mut(&page)
            && slot.generation == generation
        {
            slot.looked_at = looked_at;
            return Arc::clone(&slot.page);
        }
        let cell = Arc::default();
        let (before, bytes) = match kept.slots.remove(&page) {
            Some(slot) => (slot.page.get().cloned().or(slot.before), slot.bytes),
            None => (None, 0),
        };
        let slot = Slot { generation, page: Arc::clone(&cell), before, bytes, looked_at };
        kept.slots.insert(page, slot);
        cell
    }

    /// Counts a page that was rendered, and makes room for it.
    fn count(&self, page: Page, cell: &Arc<OnceCell<Ready>>, ready: &Ready) {
        let mut kept = self.kept.lock();
        let bytes = ready.plain.len() + ready.gzip.len();
        // Another generation may have begun meanwhile.
        let Some(slot) = kept.slots.get_mut(&page).filter(|slot| Arc::ptr_eq(&slot.page, cell))
        else {
            return;
        };
        slot.before = None;
        let bytes_before = std::mem::replace(&mut slot.bytes, bytes);
        kept.bytes = kept.bytes - bytes_before + bytes;
        while kept.bytes > self.bytes_max {
            let oldest = kept.slots.iter().filter(|(_, slot)| slot.bytes > 0);
            let Some(oldest) = oldest.min_by_key(|(_, slot)| slot.looked_at).map(|(page, _)| *page)
            else {
                return;
            };
            if let Some(slot) = kept.slots.remove(&oldest) {
                kept.bytes -= slot.bytes;
            }
        }
    }

    /// Returns the page of an earlier generation, if there is one. Else the page is forgotten, so that pages
    /// that do not exist take no room.
    fn give_up(&self, page: Page, cell: &Arc<OnceCell<Ready>>) -> Option<Ready> {
        let mut kept = self.kept.lock();
        let is_same = |slot: &Slot| Arc::ptr_eq(&slot.page, cell) && !cell.initialized();
        let before = kept.slots.get(&page).filter(|slot| is_same(slot))?.before.clone();
        if before.is_none() {
            kept.slots.remove(&page);
        }
        before
    }
}

fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "too many pages are rendered at this moment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn page(number: u64) -> Page {
        Page::Item(Language::English, ItemId(number))
    }

    #[tokio::test]
    async fn a_page_is_rendered_once_for_each_generation() {
        let pages = RenderedPages::new(2, 1 << 20);
        let renders = AtomicUsize::new(0);
        let get = async |generation: u64| {
            let render = async || {
                renders.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(format!("generation {generation}"))
            };
            pages.get(page(1), generation, render).await
        };
        let (a, b, c) = tokio::join!(get(1), get(1), get(1));
        assert_eq!((&a, &a), (&b, &c));
        assert_eq!(renders.load(Ordering::Relaxed), 1, "one renders, the others wait");
        assert_eq!(a.unwrap().plain, "generation 1");
        assert_eq!(get(2).await.unwrap().plain, "generation 2");
        assert_eq!(renders.load(Ordering::Relaxed), 2);
        let bytes = pages.bytes();
        get(3).await.unwrap();
        assert_eq!(pages.bytes(), bytes, "the page of before takes no room");
    }

    #[tokio::test]
    async fn what_cannot_be_rendered_is_not_kept() {
        let pages = RenderedPages::new(1, 1 << 20);
        let missing = pages.get(page(1), 1, async || Err(Problem::item_not_found())).await;
        assert_eq!(missing.unwrap_err().code, Code::ItemNotFound);
        assert!(pages.kept.lock().slots.is_empty());
        let found = pages.get(page(1), 1, async || Ok("found".to_owned())).await;
        assert_eq!(found.unwrap().plain, "found");
    }

    #[tokio::test]
    async fn while_the_catalogue_is_away_the_page_of_before_is_shown() {
        let pages = RenderedPages::new(1, 1 << 20);
        let away = async || Err(Problem::new(Code::RecordsUnavailable, "away"));
        let unknown = pages.get(page(1), 1, away).await;
        assert_eq!(unknown.unwrap_err().code, Code::RecordsUnavailable);
        let first = pages.get(page(1), 2, async || Ok("first".to_owned())).await.unwrap();
        let bytes = pages.bytes();
        for generation in [3, 3, 4] {
            assert_eq!(pages.get(page(1), generation, away).await.unwrap(), first);
            assert_eq!(pages.bytes(), bytes);
        }
        let gone = pages.get(page(1), 4, async || Err(Problem::item_not_found())).await;
        assert_eq!(gone.unwrap_err().code, Code::ItemNotFound);
        let second = pages.get(page(1), 4, async || Ok("other".to_owned())).await;
        assert_eq!(second.unwrap().plain, "other");
        assert_eq!(pages.get(page(1), 4, away).await.unwrap().plain, "other");
    }

    #[tokio::test]
    async fn the_page_that_was_not_looked_at_for_longest_makes_room() {
        let text = || "0123456789".repeat(100);
        let pages = RenderedPages::new(2, 4_000);
        let one = assets::ready(text().into());
        let fit = 4_000 / (one.plain.len() + one.gzip.len());
        for number in 0..fit as u64 {
            pages.get(page(number), 1, async || Ok(text())).await.unwrap();
        }
        pages.get(page(0), 1, async || panic!("it is kept")).await.unwrap();
        pages.get(page(100), 1, async || Ok(text())).await.unwrap();
        assert!(pages.bytes() <= 4_000);
        let kept = pages.kept.lock();
        assert!(kept.slots.contains_key(&page(0)) && !kept.slots.contains_key(&page(1)));
    }
}
