//! Rows by key as of everything executed: a bounded cache over the store, plus the rows of entries that are not applied yet.

use std::collections::{HashMap, VecDeque};

use crate::config::limits;
use crate::model::{Image, Row, Rows, Sequence, Unavailable};
use crate::store::StoreError;

/// Two generations: what is used moves to the young one; when that is full, the old one goes, except rows that the store lacks.
pub struct RowCache<R: Row> {
    young: HashMap<R::Key, Slot<R>>,
    old: HashMap<R::Key, Slot<R>>,
    generation_max: usize,
    /// Keys of entries with very many rows, oldest first: they leave as soon as the store has them, so that an import does not drive
    /// out the rows of those who are in the house, nor fill memory.
    passing: VecDeque<(Sequence, Vec<R::Key>)>,
}

struct Slot<R> {
    /// `None`: known not to exist. Boxed: a table half empty of rows by value held 50 MiB for 60,000 rows.
    row: Option<Box<R>>,
    /// The entry that made it so; 0 if it was read from the store.
    made_by: Sequence,
}

impl<R: Row> RowCache<R> {
    pub fn new(rows_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: rows_max / 2, passing: VecDeque::new() }
    }

    fn get(&mut self, key: &R::Key) -> Option<Option<R>> {
        if let Some(slot) = self.young.get(key) {
            return Some(slot.row.as_deref().cloned());
        }
        let slot = self.old.remove(key)?;
        let row = slot.row.as_deref().cloned();
        self.young.insert(key.clone(), slot);
        Some(row)
    }

    /// Takes over the images of an entry that was numbered.
    pub fn made(&mut self, images: &[Image<R>], by: Sequence, applied: Sequence) {
        self.let_pass(applied);
        if images.len() > limits::ROWS_OF_USE_MAX {
            self.passing.push_back((by, images.iter().map(Image::key).collect()));
        }
        for image in images {
            let row = match image {
                Image::Put(row) if !row.is_asked_for() => continue,
                Image::Put(row) => Some(Box::new(row.clone())),
                Image::Delete(_) => None,
            };
            self.insert(image.key(), Slot { row, made_by: by }, applied);
        }
    }

    fn let_pass(&mut self, applied: Sequence) {
        while let Some((by, keys)) = self.passing.pop_front_if(|(by, _)| *by <= applied) {
            for key in keys {
                for generation in [&mut self.young, &mut self.old] {
                    // Made anew by a later entry, it is in use.
                    if generation.get(&key).is_some_and(|slot| slot.made_by == by) {
                        generation.remove(&key);
                    }
                }
            }
        }
    }

    fn insert(&mut self, key: R::Key, slot: Slot<R>, applied: Sequence) {
        self.old.remove(&key);
        self.young.insert(key, slot);
        if self.young.len() >= self.generation_max {
            let mut lacked = std::mem::take(&mut self.old);
            lacked.retain(|_, slot| slot.made_by > applied);
            self.old = std::mem::take(&mut self.young);
            self.young = lacked;
        }
    }
}

/// Reads one row from the store.
pub type ReadRow<'a, R> = dyn FnMut(&<R as Row>::Key) -> Result<Option<R>, StoreError> + 'a;

/// The cache with the store behind it.
pub struct RowsByKey<'a, R: Row> {
    pub cache: &'a mut RowCache<R>,
    pub applied: Sequence,
    pub read: &'a mut ReadRow<'a, R>,
}

impl<R: Row> Rows<R> for RowsByKey<'_, R> {
    fn get(&mut self, key: &R::Key) -> Result<Option<R>, Unavailable> {
        if let Some(known) = self.cache.get(key) {
            return Ok(known);
        }
        let row = (self.read)(key).map_err(|error| Unavailable(error.to_string()))?;
        let slot = Slot { row: row.clone().map(Box::new), made_by: Sequence(0) };
        self.cache.insert(key.clone(), slot, self.applied);
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Line(u64, u64);

    impl Row for Line {
        type Key = u64;

        fn key(&self) -> u64 {
            self.0
        }
    }

    fn images(lines: impl IntoIterator<Item = Line>) -> Vec<Image<Line>> {
        lines.into_iter().map(Image::Put).collect()
    }

    /// What a command finds; `None` where the store would be asked.
    fn cached(cache: &mut RowCache<Line>, key: u64) -> Option<u64> {
        cache.get(&key).map(|row| row.expect("never deleted here").1)
    }

    #[test]
    fn rows_of_an_import_stay_until_the_store_has_them_and_those_in_use_stay_longer() {
        let mut cache = RowCache::new(10_000);
        let import = images((0..=limits::ROWS_OF_USE_MAX as u64).map(|key| Line(key, 1)));
        cache.made(&images([Line(900, 1)]), Sequence(1), Sequence(0));
        cache.made(&import, Sequence(2), Sequence(0));
        cache.made(&images([Line(7, 3)]), Sequence(3), Sequence(1));
        assert_eq!((cached(&mut cache, 0), cached(&mut cache, 7)), (Some(1), Some(3)), "the store lacks them");
        cache.made(&[], Sequence(4), Sequence(2));
        assert_eq!((cached(&mut cache, 0), cached(&mut cache, 1)), (None, None), "the store has them");
        assert_eq!((cached(&mut cache, 7), cached(&mut cache, 900)), (Some(3), Some(1)), "made anew, or by an ordinary command");
    }

    #[test]
    fn a_row_that_the_store_lacks_outlives_any_number_of_others() {
        let mut cache = RowCache::new(8);
        cache.made(&images([Line(900, 1)]), Sequence(5), Sequence(0));
        for n in 0..100 {
            cache.made(&images([Line(n, 1)]), Sequence(4), Sequence(4));
        }
        assert_eq!((cached(&mut cache, 900), cached(&mut cache, 0)), (Some(1), None));
    }
}
