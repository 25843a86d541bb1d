//! `issue_card`: a member who has no active card is lent one: the regular card, or a temporary one for today.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::{CardId, Number, Pin, Reason};
use crate::ledger::members::{self, NewCard};
use crate::ledger::reads;
use crate::ledger::rows::{CardKind, Member, MemberState, Row};
use crate::ledger::texts::Code;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueCard {
    member_no: Number,
    card_id: CardId,
    pin: Option<Pin>,
    /// Temporary: lent until the end of the day to a member who forgot the regular card.
    #[serde(default)]
    temporary: bool,
    reason: Option<Reason>,
}

#[derive(Serialize)]
struct Answer<'a> {
    member_no: i64,
    card_id: &'a str,
    kind: CardKind,
}

impl Operation for IssueCard {
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let member = reads::member(call.draft, self.member_no.get())?;
        let mut member = member.ok_or(Code::UnknownMember)?;
        refuse_member(&member)?;
        members::refuse_card_in_use(call, &self.card_id)?;
        if !self.temporary && member.active_card.is_some() {
            return Err(Code::MemberHasCard.into());
        }
        let kind = if self.temporary { CardKind::Temporary } else { CardKind::Regular };
        let card = NewCard { card_id: &self.card_id, pin: self.pin.as_ref(), kind };
        members::draft_card(call, &card, member.member_no)?;
        let about = About { member_no: Some(member.member_no), card_id: Some(self.card_id.as_str()) };
        call.event("card_issued", about, self.reason.as_ref().map_or("", Reason::as_str));
        let member_no = member.member_no;
        if !self.temporary {
            member.active_card = Some(self.card_id.as_str().to_owned());
            member.version += 1;
            call.draft.put(Row::Member(member));
        }
        Outcome::done(&Answer { member_no, card_id: self.card_id.as_str(), kind })
    }
}

fn refuse_member(member: &Member) -> Result<(), Stop> {
    match member.state {
        MemberState::Provisional | MemberState::Active | MemberState::Dormant => Ok(()),
        MemberState::Suspended | MemberState::Withdrawn | MemberState::Erased => Err(Code::MemberSuspended.into()),
    }
}
