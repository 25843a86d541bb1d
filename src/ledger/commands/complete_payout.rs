//! `complete_payout`: the second message of a draw. What was not delivered goes back, and gives back its part of the limit.
//! Neither card nor session is asked for: the units have left, and the guest may have too.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Posting, Stop};
use crate::ledger::fields::{Delivered, Number};
use crate::ledger::rows::{Account, LedgerKind, Payout, PayoutState, Rate, Row};
use crate::ledger::texts::Code;
use crate::ledger::{reads, worth};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompletePayout {
    payout_id: Number,
    /// 0 cancels.
    delivered: Delivered,
}

#[derive(Serialize)]
struct Answer {
    balance: i64,
    returned: i64,
    /// Of the row that gave the remainder back, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_no: Option<i64>,
}

impl Operation for CompletePayout {
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let delivered = self.delivered.get();
        let payout = reads::payout(call.draft, self.payout_id.get())?;
        let here = payout.filter(|payout| payout.terminal_id == call.terminal.terminal_id);
        let mut payout = here.ok_or(Code::UnknownPayout)?;
        let (member_no, rate_id) = Account::owner_of(payout.account_id);
        let mut account = reads::account(call.draft, member_no, rate_id)?;
        let returned = payout.units - delivered;
        if payout.state != PayoutState::Authorised {
            // The same news under a new command id does no harm; other news about a settled payout is for staff.
            let same = payout.delivered == Some(delivered);
            same.then_some(()).ok_or(Code::PayoutClosed)?;
            return Outcome::done(&Answer { balance: account.balance, returned, ledger_no: None });
        }
        if returned < 0 {
            return Err(Code::DeliveredTooMany.into());
        }
        let rate = reads::rate(call.draft, rate_id)?.ok_or(Code::WrongMedium)?;
        let ledger_no = give_back(call, &mut account, &payout, returned)?;
        settle(call, &mut payout, &rate, member_no, delivered)?;
        Outcome::done(&Answer { balance: account.balance, returned, ledger_no })
    }
}

fn give_back(call: &mut Call<'_, '_>, account: &mut Account, payout: &Payout, returned: i64) -> Result<Option<i64>, Stop> {
    if returned == 0 {
        return Ok(None);
    }
    let reference = Some(("payout", payout.payout_id));
    let posting = Posting { kind: LedgerKind::PayoutReturn, delta: returned, reference, reason: None };
    call.post(account, &posting).map(Some)
}

/// Closes the payout, gives back the limit of what was not delivered, and frees the terminal.
fn settle(call: &mut Call<'_, '_>, payout: &mut Payout, rate: &Rate, member_no: i64, delivered: i64) -> Result<(), Stop> {
    let limit_yen = worth::yen(rate, delivered).min(payout.limit_yen);
    let mut drawn = reads::daily_draw(call.draft, member_no, payout.day)?;
    drawn.limit_yen -= payout.limit_yen - limit_yen;
    payout.limit_yen = limit_yen;
    payout.delivered = Some(delivered);
    payout.state = match delivered {
        0 => PayoutState::Void,
        all if all == payout.units => PayoutState::Done,
        _ => PayoutState::Short,
    };
    if payout.state == PayoutState::Short {
        let detail = format!("payout {} delivered {delivered} of {}", payout.payout_id, payout.units);
        call.event("payout_short", About { member_no: Some(member_no), card_id: None }, &detail);
    }
    call.draft.put(Row::DailyDraw(drawn));
    call.draft.put(Row::Payout(payout.clone()));
    if call.terminal.open_payout == Some(payout.payout_id) {
        call.terminal.open_payout = None;
        call.draft.put(Row::Terminal(call.terminal.clone()));
    }
    Ok(())
}
