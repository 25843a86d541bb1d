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
                continue;
            }
            let row = match image {
                Image::Put(row) => Some(digest(row)),
                Image::Delete(_) => None,
            };
            self.newest.insert(key, Newest { by, row });
        }
    }

    /// Goes through every table once.
    pub(super) fn compare(mut self, moment: &Moment<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut add = |table: &'static str, key: String, by: Sequence, found: &str| {
            if findings.len() < FINDINGS_MAX {
                let (expected, found) = (format!("as entry {} of the journal left it", by.0), found.to_owned());
                findings.push(Finding { check: "journal", table, key, expected, found });
            }
        };
        for table in Row::TABLES {
            for row in moment.rows(table) {
                let Some(newest) = self.newest.remove(&digest(&row.key())) else { continue };
                match newest.row {
                    Some(image) if image == digest(&row) => {}
                    Some(_) => add(table, format!("{:?}", row.key()), newest.by, "another row"),
                    None => add(table, format!("{:?}", row.key()), newest.by, "a row that was deleted"),
                }
            }
        }
        let mut missing: Vec<Sequence> =
            self.newest.values().filter(|newest| newest.row.is_some()).map(|newest| newest.by).collect();
        missing.sort_unstable();
        // Only the digest of its key is remembered; `duplex journal show` names what the entry wrote.
        missing.into_iter().for_each(|by| add("", format!("a row of entry {}", by.0), by, "none"));
        findings
    }
}

fn digest<const LEN: usize>(value: &impl Serialize) -> [u8; LEN] {
    let bytes = postcard::to_stdvec(value).expect("a row or key is numbers, strings and bytes");
    let mut digest = [0; LEN];
    digest.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..LEN]);
    digest
}
