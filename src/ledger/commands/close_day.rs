//! `close_day`: the business day ends; nothing of it changes afterwards. Stops new payouts first if that was not done: while some are
//! open the day is not closed, but prepares to close, so that asking again gets there.

use serde::{Deserialize, Serialize};

use super::Operation;
use super::begin_close::{begin, current_day};
use crate::ledger::calendar;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::Date;
use crate::ledger::query::{DayAtClose, DayTotal, Found, Query};
use crate::ledger::rows::{BusinessDay, DayState, Payout, Row};
use crate::ledger::texts::{Code, Refusal};

/// Open payouts that a refusal lists: what a person can look at; the count is given whole.
const OPEN_PAYOUTS_MAX: usize = 100;
/// Closed days whose command records are kept [A]: a terminal gives up after a minute, two days would cover any that was left switched
/// off overnight, and two weeks of a large site's records stay below 1 GB.
const RECORDS_KEPT_DAYS: usize = 14;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseDay {
    date: Date,
}

#[derive(Serialize)]
struct Answer<'a> {
    date: String,
    seq: i64,
    totals: &'a [DayTotal],
    last_ledger_no: i64,
    chain_hash: String,
}

#[derive(Serialize)]
struct Open {
    count: i64,
    payouts: Vec<OpenPayout>,
}

#[derive(Serialize)]
struct OpenPayout {
    payout_id: i64,
    terminal_id: String,
    units: i64,
}

impl Operation for CloseDay {
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let mut row = current_day(call, self.date)?;
        let Some(Found::DayAtClose(found)) = call.found else {
            return Ok(Outcome::Ask(Query::DayAtClose {
                day: row.day,
                open_payouts_max: OPEN_PAYOUTS_MAX,
                earlier_days_max: RECORDS_KEPT_DAYS - 1,
            }));
        };
        if found.open_payouts_count > 0 {
            begin(call, &mut row);
            return Err(open_payouts(found));
        }
        close(call, &mut row, found);
        Outcome::done(&Answer {
            date: calendar::text_from_day(row.day),
            seq: row.seq,
            totals: &found.totals,
            last_ledger_no: row.last_ledger_no,
            chain_hash: blake3::Hash::from_bytes(row.chain_hash).to_hex().to_string(),
        })
    }
}

fn open_payouts(found: &DayAtClose) -> Stop {
    let open = |payout: &Payout| OpenPayout {
        payout_id: payout.payout_id,
        terminal_id: payout.terminal_id.clone(),
        units: payout.units,
    };
    let count = found.open_payouts_count;
    let payouts = found.open_payouts.iter().map(open).collect();
    Refusal::counting(Code::OpenPayouts, count, &Open { count, payouts }).into()
}

fn close(call: &mut Call<'_, '_>, row: &mut BusinessDay, found: &DayAtClose) {
    row.state = DayState::Closed;
    row.closed_at = Some(call.now);
    row.closed_by = call.staff_id().map(str::to_owned);
    row.last_ledger_no = call.site().last_ledger_no;
    row.chain_hash = call.site().ledger_hash;
    call.draft.put(Row::BusinessDay(row.clone()));
    call.event("day_closed", About::default(), "");
    let site = call.site_mut();
    site.current_day = None;
    if let Some(oldest) = found.earlier_days.get(RECORDS_KEPT_DAYS - 2) {
        site.records_kept_from = Some(*oldest);
    }
}
