//! `open_day`: the operator opens a business day. Its date is chosen, not read off the clock; a date far from the clock must be
//! confirmed.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::calendar;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::Date;
use crate::ledger::rows::{BusinessDay, DayState, Row};
use crate::ledger::texts::Code;

/// Days between the date and the clock's UTC day that need no confirmation: any time zone, and business past midnight.
const CLOCK_DAYS_MAX: i64 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenDay {
    date: Date,
    /// The operator has seen that the date is far from the clock.
    #[serde(default)]
    confirm: bool,
}

#[derive(Serialize)]
struct Answer {
    date: String,
    seq: i64,
}

impl Operation for OpenDay {
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let day = self.date.day();
        if call.site().current_day.is_some() {
            return Err(Code::PreviousDayNotClosed.into());
        }
        if call.site().last_day.is_some_and(|last| day <= last) {
            return Err(Code::DateNotLater.into());
        }
        let apart = (i64::from(day) - calendar::day_of_clock(call.now.0)).abs();
        if apart > CLOCK_DAYS_MAX && !self.confirm {
            return Err(Code::DateFarFromClock.into());
        }
        let seq = call.site().last_day_seq + 1;
        call.draft.put(Row::BusinessDay(row(call, day, seq)));
        let site = call.site_mut();
        site.last_day_seq = seq;
        site.current_day = Some(day);
        site.last_day = Some(day);
        call.event("day_opened", About::default(), "");
        Outcome::done(&Answer { date: calendar::text_from_day(day), seq })
    }
}

fn row(call: &Call<'_, '_>, day: i32, seq: i64) -> BusinessDay {
    BusinessDay {
        day,
        seq,
        state: DayState::Open,
        opened_at: call.now,
        opened_by: call.staff_id().unwrap_or_default().to_owned(),
        closed_at: None,
        closed_by: None,
        last_ledger_no: call.site().last_ledger_no,
        chain_hash: call.site().ledger_hash,
        offsite_copied_at: None,
    }
}
