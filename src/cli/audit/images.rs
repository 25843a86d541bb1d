//! Whether the store's rows are those that the journal left: the newest image of each row, by digest.

use std::collections::HashMap;

use serde::Serialize;

use super::moment::Moment;
use super::report::Finding;
use crate::ledger::invariants::FINDINGS_MAX;
use crate::ledger::rows::Row;
use crate::model::{Image, Row as _, Sequence};
use crate::store::StoredRow;

/// Rows remembered: some 200 MB at most, a hundred days of a busy site. Rows that first appear beyond are not looked at.
const ROWS_MAX: usize = 4_000_000;

/// What the journal says of rows, up to where the store is.
#[derive(Default)]
pub(super) struct Images {
    newest: HashMap<[u8; 16], Newest>,
    /// There were more rows than may be remembered.
    left_out: bool,
}

#[derive(Clone, Copy)]
struct Newest {
    by: Sequence,
    /// `None`: deleted.
    row: Option<[u8; 8]>,
}

impl Images {
    pub(super) fn add(&mut self, by: Sequence, images: &[Image<Row>]) {
        for image in images {
            let key = digest(&image.key());
            if self.newest.len() >= ROWS_MAX && !self.newest.contains_key(&key) {
                self.left_out = true;
                continue;
            }
            let row = match image {
                Image::Put(row) => Some(digest(row)),
                Image::Delete(_) => None,
            };
            self.newest.insert(key, Newest { by, row });
        }
    }

    /// Goes through every table once. `from_the_first`: the journal still has its first entry, so every row of the store is in it.
    pub(super) fn compare(mut self, moment: &Moment<'_>, from_the_first: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |table: &'static str, key: String, expected: String, found: &str| {
            if findings.len() < FINDINGS_MAX {
                findings.push(Finding { check: "journal", table, key, expected, found: found.to_owned() });
            }
        };
        let left_by = |by: Sequence| format!("as entry {} of the journal left it", by.0);
        let all_known = from_the_first && !self.left_out;
        for table in Row::TABLES {
            for row in moment.rows(table) {
                let key = || format!("{:?}", row.key());
                match self.newest.remove(&digest(&row.key())) {
                    Some(Newest { row: Some(image), .. }) if image == digest(&row) => {}
                    Some(Newest { row: Some(_), by }) => add(table, key(), left_by(by), "another row"),
                    Some(Newest { row: None, by }) => add(table, key(), left_by(by), "a row that was deleted"),
                    None if all_known => add(table, key(), "none: no entry of the journal made it".to_owned(), "a row"),
                    None => {}
                }
            }
        }
        let mut missing: Vec<Sequence> =
            self.newest.values().filter(|newest| newest.row.is_some()).map(|newest| newest.by).collect();
        missing.sort_unstable();
        // Only the digest of its key is remembered; `duplex journal show` names what the entry wrote.
        missing.into_iter().for_each(|by| add("", format!("a row of entry {}", by.0), left_by(by), "none"));
        findings
    }
}

fn digest<const LEN: usize>(value: &impl Serialize) -> [u8; LEN] {
    let bytes = postcard::to_stdvec(value).expect("a row or key is numbers, strings and bytes");
    let mut digest = [0; LEN];
    digest.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..LEN]);
    digest
}
