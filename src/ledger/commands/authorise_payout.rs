//! `authorise_payout`: the first of the two messages of a draw. Units and limit are taken at once; the machine may then deliver.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{Call, Outcome, Posting, Stop};
use crate::ledger::checks::{self, Purpose, Who};
use crate::ledger::fields::{Number, Token, Units};
use crate::ledger::rows::{Account, DailyDraw, LedgerKind, Payout, PayoutState, Rate, Row};
use crate::ledger::texts::{Code, Refusal};
use crate::ledger::{reads, worth};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorisePayout {
    session: Token,
    rate_id: Number,
    units: Units,
}

#[derive(Serialize)]
struct Answer {
    payout_id: i64,
    units: i64,
    balance: i64,
    /// Units of this rate that today's limit still allows.
    limit_left: i64,
    limit_left_yen: i64,
    ledger_no: i64,
    /// The session renewed.
    session: String,
}

impl Operation for AuthorisePayout {
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let units = self.units.get();
        let rate = checks::rate(call, self.rate_id.get())?;
        let mut holder = checks::holder(call, Who::Session(self.session.as_str()), Purpose::Draw)?;
        let member_no = holder.member.member_no;
        let (drawn, limit_yen) = checks::limit(call, member_no, &rate, units)?;
        let mut account = reads::account(call.draft, member_no, rate.rate_id)?;
        checks::balance(&account, units)?;
        refuse_odd_units(&rate, units)?;
        refuse_second_payout(call)?;

        let (payout_id, ledger_no) = take(call, &mut account, &drawn, units, limit_yen)?;
        call.used(&mut holder.member)?;
        let limit_left_yen = checks::limit_left_yen(call, &drawn);
        Outcome::done(&Answer {
            payout_id,
            units,
            balance: account.balance,
            limit_left: worth::units_within(&rate, limit_left_yen),
            limit_left_yen,
            ledger_no,
            session: checks::session(call, &holder)?,
        })
    }
}

fn refuse_odd_units(rate: &Rate, units: i64) -> Result<(), Stop> {
    #[derive(Serialize)]
    struct Step {
        payout_step: i64,
    }
    if units % rate.payout_step == 0 {
        return Ok(());
    }
    let payout_step = rate.payout_step;
    Err(Refusal::counting(Code::UnitsNotInSteps, payout_step, &Step { payout_step }).into())
}

fn refuse_second_payout(call: &Call<'_, '_>) -> Result<(), Stop> {
    #[derive(Serialize)]
    struct Pending {
        payout_id: i64,
    }
    let Some(payout_id) = call.terminal.open_payout else { return Ok(()) };
    Err(Refusal::with(Code::PayoutPending, &Pending { payout_id }).into())
}

/// Drafts payout, ledger row, limit used and the terminal's open payout; the numbers of payout and ledger row.
fn take(
    call: &mut Call<'_, '_>,
    account: &mut Account,
    drawn: &DailyDraw,
    units: i64,
    limit_yen: i64,
) -> Result<(i64, i64), Stop> {
    let payout_id = call.site().last_payout_id + 1;
    let reference = Some(("payout", payout_id));
    let posting = Posting { kind: LedgerKind::Payout, delta: -units, reference, reason: None };
    let ledger_no = call.post(account, &posting)?;
    call.site_mut().last_payout_id = payout_id;
    call.draft.put(Row::Payout(Payout {
        payout_id,
        account_id: account.account_id,
        day: drawn.day,
        terminal_id: call.terminal.terminal_id.clone(),
        units,
        limit_yen,
        state: PayoutState::Authorised,
        delivered: None,
        receipt_no: None,
    }));
    call.draft.put(Row::DailyDraw(drawn.clone()));
    call.terminal.open_payout = Some(payout_id);
    call.draft.put(Row::Terminal(call.terminal.clone()));
    Ok((payout_id, ledger_no))
}
