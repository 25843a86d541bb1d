//! `get_balance`: what a member has stored at every rate, and may draw now.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{Call, Outcome, Stop};
use crate::ledger::checks::{self, Purpose, Who};
use crate::ledger::fields::{self, CardId, Number, Token};
use crate::ledger::rows::{DayState, Member, MemberState, Rate, TerminalKind};
use crate::ledger::texts::Code;
use crate::ledger::{reads, worth};
use crate::model::Bad;

/// A session; at an office desk, where no card is put in, card or member number instead.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetBalance {
    session: Option<Token>,
    card_id: Option<CardId>,
    member_no: Option<Number>,
}

#[derive(Serialize)]
struct Answer {
    member_no: i64,
    accounts: Vec<AccountLine>,
    limit_left_yen: i64,
    /// The session renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

#[derive(Serialize)]
struct AccountLine {
    rate_id: i64,
    balance: i64,
    /// Units of this rate that today's limit still allows.
    limit_left: i64,
    /// What `authorise_payout` would allow now, in whole steps.
    drawable: i64,
}

impl Operation for GetBalance {
    fn check(&self) -> Result<(), Bad> {
        let given = [self.session.is_some(), self.card_id.is_some(), self.member_no.is_some()];
        let count = given.into_iter().filter(|given| *given).count();
        (count == 1).then_some(()).ok_or_else(|| fields::bad("session", "give exactly one of session, card_id, member_no"))
    }

    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let (member, session) = self.member(call)?;
        let day = call.day()?;
        let drawn = reads::daily_draw(call.draft, member.member_no, day)?;
        let limit_left_yen = checks::limit_left_yen(call, &drawn);
        let open = reads::business_day(call.draft, day)?.is_some_and(|row| row.state == DayState::Open);
        let may_draw = open && member.state == MemberState::Active;
        let mut accounts = Vec::new();
        for rate in reads::rates(call.draft)? {
            let balance = reads::account(call.draft, member.member_no, rate.rate_id)?.balance;
            accounts.push(line(&rate, balance, limit_left_yen, may_draw));
        }
        Outcome::done(&Answer { member_no: member.member_no, accounts, limit_left_yen, session })
    }
}

impl GetBalance {
    fn member(&self, call: &mut Call<'_, '_>) -> Result<(Box<Member>, Option<String>), Stop> {
        if let Some(session) = &self.session {
            let holder = checks::holder(call, Who::Session(session.as_str()), Purpose::Keep)?;
            let renewed = checks::session(call, &holder)?;
            return Ok((holder.member, Some(renewed)));
        }
        // The table lets an office desk through only with staff signed in; anywhere else a card must have been put in.
        if call.terminal.kind != TerminalKind::Analysis {
            return Err(Code::SessionEnded.into());
        }
        let member_no = match (&self.card_id, self.member_no) {
            (Some(card_id), _) => reads::card(call.draft, card_id.as_str())?.and_then(|card| card.member_no),
            (None, member_no) => member_no.map(Number::get),
        };
        let member = reads::member(call.draft, member_no.ok_or(Code::UnknownCard)?)?;
        Ok((member.ok_or(Code::UnknownMember)?, None))
    }
}

fn line(rate: &Rate, balance: i64, limit_left_yen: i64, may_draw: bool) -> AccountLine {
    let limit_left = worth::units_within(rate, limit_left_yen);
    let most = if may_draw && rate.active { balance.min(limit_left) } else { 0 };
    AccountLine { rate_id: rate.rate_id, balance, limit_left, drawable: most - most % rate.payout_step }
}
