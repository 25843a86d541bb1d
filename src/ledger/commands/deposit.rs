//! `deposit`: units that a machine has already swallowed go into the member's account. If refused, the machine prints a receipt.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Posting, Stop};
use crate::ledger::checks::{self, Holder, Purpose, Who};
use crate::ledger::fields::{self, CardId, Number, Token, Units};
use crate::ledger::reads;
use crate::ledger::rows::{Account, LedgerKind, Rate};
use crate::ledger::texts::Code;
use crate::model::Bad;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    card_id: Option<CardId>,
    session: Option<Token>,
    rate_id: Number,
    units: Units,
    #[serde(default)]
    origin: Origin,
}

/// Where the units came from: units sold for cash are prepaid value, which the law treats apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Origin {
    #[default]
    Earned,
    Sold,
}

impl Origin {
    /// The ledger row's reason.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Earned => None,
            Self::Sold => Some("sold"),
        }
    }
}

#[derive(Serialize)]
struct Answer {
    ledger_no: i64,
    balance: i64,
}

impl Operation for Deposit {
    fn check(&self) -> Result<(), Bad> {
        let one = self.card_id.is_some() != self.session.is_some();
        one.then_some(()).ok_or_else(|| fields::bad("card_id", "give exactly one of card_id, session"))
    }

    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let stop = match self.admitted(call) {
            Ok((mut holder, mut account)) => return self.keep(call, &mut holder, &mut account),
            Err(stop) => stop,
        };
        // Staff look into refused deposits: the guest holds a receipt that must be worth something.
        if let Stop::Refused(refusal) = &stop {
            let about = About { member_no: None, card_id: self.card_id.as_ref().map(CardId::as_str) };
            let detail = format!("{} rate {} units {}", refusal.code.name(), self.rate_id.get(), self.units.get());
            call.event("deposit_refused", about, &detail);
        }
        Err(stop)
    }
}

impl Deposit {
    fn who(&self) -> Who<'_> {
        match (&self.card_id, &self.session) {
            (Some(card_id), _) => Who::Card(card_id.as_str()),
            (None, session) => Who::Session(session.as_ref().map_or("", Token::as_str)),
        }
    }

    fn admitted(&self, call: &mut Call<'_, '_>) -> Result<(Holder, Account), Stop> {
        let rate = checks::rate(call, self.rate_id.get())?;
        let holder = checks::holder(call, self.who(), Purpose::Keep)?;
        let account = reads::account(call.draft, holder.member.member_no, rate.rate_id)?;
        refuse_above_ceiling(&account, &rate, self.units.get())?;
        Ok((holder, account))
    }

    fn keep(&self, call: &mut Call<'_, '_>, holder: &mut Holder, account: &mut Account) -> Result<Outcome, Stop> {
        let posting =
            Posting { kind: LedgerKind::Deposit, delta: self.units.get(), reference: None, reason: self.origin.reason() };
        let ledger_no = call.post(account, &posting)?;
        call.used(&mut holder.member)?;
        Outcome::done(&Answer { ledger_no, balance: account.balance })
    }
}

fn refuse_above_ceiling(account: &Account, rate: &Rate, units: i64) -> Result<(), Stop> {
    let left = (rate.max_units - account.balance).max(0);
    if units > left { Err(checks::left_of(Code::AccountCeiling, left)) } else { Ok(()) }
}
