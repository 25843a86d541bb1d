//! `stop_card`: a card is good for nothing from the next command on, anywhere; its sessions end with it. The units stay with the
//! member.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::{self, CardId, Number, Reason};
use crate::ledger::reads;
use crate::ledger::rows::{Card, CardState, Row};
use crate::ledger::texts::Code;
use crate::model::Bad;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopCard {
    card_id: Option<CardId>,
    /// Stops the member's active regular card.
    member_no: Option<Number>,
    /// Reported lost, not merely to be kept from use.
    #[serde(default)]
    lost: bool,
    reason: Reason,
}

#[derive(Serialize)]
struct Answer<'a> {
    card_id: &'a str,
    state: CardState,
}

impl Operation for StopCard {
    fn check(&self) -> Result<(), Bad> {
        let one = self.card_id.is_some() != self.member_no.is_some();
        one.then_some(()).ok_or_else(|| fields::bad("card_id", "give exactly one of card_id, member_no"))
    }

    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let mut card = self.card(call)?;
        match card.state {
            CardState::Blank => return Err(Code::UnknownCard.into()),
            CardState::Void => return Err(Code::CardVoid.into()),
            CardState::Active | CardState::Stopped | CardState::Lost => {}
        }
        card.state = if self.lost { CardState::Lost } else { CardState::Stopped };
        forget_active_card(call, &card)?;
        let about = About { member_no: card.member_no, card_id: Some(&card.card_id) };
        call.event(if self.lost { "card_lost" } else { "card_stopped" }, about, self.reason.as_str());
        call.draft.put(Row::Card(card.clone()));
        Outcome::done(&Answer { card_id: &card.card_id, state: card.state })
    }
}

impl StopCard {
    fn card(&self, call: &mut Call<'_, '_>) -> Result<Card, Stop> {
        let card_id = match (&self.card_id, self.member_no) {
            (Some(card_id), _) => card_id.as_str().to_owned(),
            (None, member_no) => {
                let member_no = member_no.map(Number::get).unwrap_or_default();
                let member = reads::member(call.draft, member_no)?.ok_or(Code::UnknownMember)?;
                member.active_card.ok_or(Code::UnknownCard)?
            }
        };
        reads::card(call.draft, &card_id)?.ok_or(Code::UnknownCard.into())
    }
}

/// Leaves the member free to be issued another card.
fn forget_active_card(call: &mut Call<'_, '_>, card: &Card) -> Result<(), Stop> {
    let Some(member_no) = card.member_no else { return Ok(()) };
    let Some(mut member) = reads::member(call.draft, member_no)? else { return Ok(()) };
    if member.active_card.as_deref() == Some(card.card_id.as_str()) {
        member.active_card = None;
        member.version += 1;
        call.draft.put(Row::Member(member));
    }
    Ok(())
}
