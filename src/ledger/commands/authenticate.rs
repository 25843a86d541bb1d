//! `authenticate`: a card was put into a terminal. The session that it answers stands for the card until it is taken out.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::checks::{self, Holder, Purpose, Who};
use crate::ledger::fields::{CardId, Pin};
use crate::ledger::reads;
use crate::ledger::rows::{DayState, MemberState};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authenticate {
    card_id: CardId,
    /// Not needed to deposit or to look.
    pin: Option<Pin>,
}

#[derive(Serialize)]
struct Answer<'a> {
    session: String,
    member_no: i64,
    display_name: Option<&'a str>,
    can_draw: bool,
}

impl Operation for Authenticate {
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let card_id = self.card_id.as_str();
        let who = self.pin.as_ref().map_or(Who::Card(card_id), |pin| Who::CardWithPin(card_id, pin));
        let mut holder = checks::holder(call, who, Purpose::Keep)?;
        let session = checks::session(call, &holder)?;
        let can_draw = can_draw(call, &holder)?;
        call.used(&mut holder.member)?;
        // Where the card was, so that a lost one can be traced by seat and time.
        let place = call.terminal.machine_no.clone().unwrap_or_default();
        let member_no = holder.member.member_no;
        call.event("card_use", About { member_no: Some(member_no), card_id: Some(card_id) }, &place);
        Outcome::done(&Answer { session, member_no, display_name: holder.member.name.as_deref(), can_draw })
    }
}

fn can_draw(call: &mut Call<'_, '_>, holder: &Holder) -> Result<bool, Stop> {
    let day = call.day()?;
    let open = reads::business_day(call.draft, day)?.is_some_and(|row| row.state == DayState::Open);
    Ok(open && holder.pin_checked && holder.member.state == MemberState::Active)
}
