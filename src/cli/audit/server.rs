//! One server: the ledger's invariants over its store, its journal from its first record to its last, and the two beside each other.

use std::collections::BTreeMap;
use std::path::Path;

use super::entries;
use super::moment::{COMMAND_RECORD, Moment};
use super::report::{Finding, ServerReport};
use crate::ledger::invariants;
use crate::ledger::rows::{Account, AuditEvent, BusinessDay, DailyDraw, LedgerRow, Payout, Row, Site};
use crate::model::{CommandId, Response, TerminalId};
use crate::store::{RecordRow, StoreError};

/// Checks everything that one server promises by itself.
///
/// # Errors
/// The store's.
pub(super) fn check(name: &str, moment: &Moment<'_>, journal: &Path) -> Result<ServerReport, StoreError> {
    let tables = moment.digests();
    let mut findings = Vec::new();
    let site = moment.rows("site").find_map(|row| if let Row::Site(site) = row { Some(*site) } else { None });
    match &site {
        Some(site) => findings.extend(invariants(moment, site)),
        None => findings.push(no_site()),
    }
    let kept_from = site.and_then(|site| site.records_kept_from);
    let (span, of_journal, images) = entries::check(journal, moment.snapshot.position, || moment.records(), kept_from);
    findings.extend(of_journal);
    let from_the_first = span.as_ref().is_some_and(|span| span.start.sequence == 0);
    findings.extend(images.compare(moment, from_the_first));
    findings.extend(moment.whole()?);
    Ok(ServerReport { server: name.to_owned(), position: moment.snapshot.position.into(), journal: span, tables, findings })
}

fn no_site() -> Finding {
    let (expected, found) = ("the site's row".to_owned(), "none".to_owned());
    Finding { check: "readable", table: "site", key: Site::NO.to_string(), expected, found }
}

fn invariants(moment: &Moment<'_>, site: &Site) -> Vec<Finding> {
    // The ledger is kept from its first row on, so nothing was there before it.
    let opening = BTreeMap::new();
    let (answers, mut undecodable) = (answers(moment, site.records_kept_from), Vec::new());
    let answers = answers.filter_map(|answer| answer.map_err(|finding| undecodable.push(finding)).ok());
    let of_records = invariants::records(site.records_kept_from, ledger(moment), answers);
    [
        invariants::balances(accounts(moment), ledger(moment)),
        invariants::liability(&opening, accounts(moment), ledger(moment)),
        invariants::daily_draws(site.daily_limit_yen, payouts(moment), draws(moment)),
        of_records,
        invariants::ledger_chain(site, ledger(moment)),
        invariants::event_chain(site, events(moment)),
        invariants::closed_days(site, days(moment), payouts(moment)),
    ]
    .into_iter()
    .flatten()
    .map(Finding::from)
    .chain(undecodable)
    .collect()
}

/// The rows of one table without the enum around them.
macro_rules! rows_of {
    ($($name:ident in $table:literal: $variant:pat => $taken:expr, $row:ty;)+) => {$(
        fn $name(moment: &Moment<'_>) -> impl Iterator<Item = $row> {
            moment.rows($table).filter_map(|row| if let $variant = row { Some($taken) } else { None })
        }
    )+};
}
rows_of! {
    accounts in "account": Row::Account(row) => row, Account;
    ledger in "ledger": Row::Ledger(row) => *row, LedgerRow;
    payouts in "payout": Row::Payout(row) => row, Payout;
    draws in "daily_draw": Row::DailyDraw(row) => row, DailyDraw;
    days in "business_day": Row::BusinessDay(row) => row, BusinessDay;
    events in "audit_event": Row::AuditEvent(row) => *row, AuditEvent;
}

type Answer = (TerminalId, CommandId, Response);

/// The answers that are kept. Older records leave a few at a time, and so may still be there.
fn answers(moment: &Moment<'_>, kept_from: Option<i32>) -> impl Iterator<Item = Result<Answer, Finding>> {
    let is_kept = move |record: &RecordRow| record.day.zip(kept_from).is_none_or(|(day, first)| day >= first);
    moment.records().filter(is_kept).map(|RecordRow { sequence, terminal_id, command_id, response, .. }| {
        match postcard::from_bytes(&response) {
            Ok(response) => Ok((terminal_id, command_id, response)),
            Err(error) => {
                let (key, expected) = (sequence.0.to_string(), "an answer that can be read".to_owned());
                Err(Finding { check: "readable", table: COMMAND_RECORD, key, expected, found: error.to_string() })
            }
        }
    })
}
