//! Rows by key as of everything executed: a bounded cache over the store, plus the rows of entries that are not applied yet.

use std::collections::HashMap;

use crate::model::{Image, Row, Rows, Sequence, Unavailable};
use crate::store::StoreError;

/// Two generations: what is used moves to the young one; when that is full, the old one goes, except rows that the store lacks.
pub struct RowCache<R: Row> {
    young: HashMap<R::Key, Slot<R>>,
    old: HashMap<R::Key, Slot<R>>,
    generation_max: usize,
}

struct Slot<R> {
    /// `None`: known not to exist. Boxed: a table half empty of rows by value held 50 MiB for 60,000 rows.
    row: Option<Box<R>>,
    /// The entry that made it so; 0 if it was read from the store.
    made_by: Sequence,
}

impl<R: Row> RowCache<R> {
    pub fn new(rows_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: rows_max / 2 }
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
        for image in images {
            let row = match image {
                Image::Put(row) if !row.is_asked_for() => continue,
                Image::Put(row) => Some(Box::new(row.clone())),
                Image::Delete(_) => None,
            };
            self.insert(image.key(), Slot { row, made_by: by }, applied);
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
