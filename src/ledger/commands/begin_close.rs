//! `begin_close`: from now on no new payouts; deposits go on.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::Date;
use crate::ledger::rows::{BusinessDay, DayState, Row};
use crate::ledger::texts::Code;
use crate::ledger::{calendar, reads};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginClose {
    date: Date,
}

#[derive(Serialize)]
struct Answer {
    date: String,
    state: DayState,
}

impl Operation for BeginClose {
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let mut row = current_day(call, self.date)?;
        begin(call, &mut row);
        let date = calendar::text_from_day(self.date.day());
        Outcome::done(&Answer { date, state: DayState::Closing })
    }
}

/// From here on no new payouts; nothing if that has been said before.
pub(super) fn begin(call: &mut Call<'_, '_>, row: &mut BusinessDay) {
    if row.state == DayState::Open {
        row.state = DayState::Closing;
        call.draft.put(Row::BusinessDay(row.clone()));
        call.event("close_begun", About::default(), "");
    }
}

/// The business day that is not closed, if it is the one that the operator named.
pub(super) fn current_day(call: &mut Call<'_, '_>, date: Date) -> Result<BusinessDay, Stop> {
    let day = call.day()?;
    if day != date.day() {
        return Err(Code::OtherDay.into());
    }
    reads::business_day(call.draft, day)?.ok_or(Code::HallClosed.into())
}
