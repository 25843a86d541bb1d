//! `register_member`: somebody joins. In two steps if need be: provisional without papers, active once staff have seen them.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::{self, CardId, Pin, StaffId};
use crate::ledger::members::{self, Admission, Person};
use crate::ledger::query::{Found, Query};
use crate::ledger::reads;
use crate::ledger::rows::MemberState;
use crate::ledger::texts::{Code, Refusal};
use crate::model::Bad;

/// Possible duplicates that a warning lists: what a clerk can compare.
const DUPLICATES_MAX: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterMember {
    person: Person,
    card_id: Option<CardId>,
    pin: Option<Pin>,
    /// Who saw the papers; without, the member is provisional.
    id_checked_by: Option<StaffId>,
    /// The clerk has compared the duplicates that were suspected.
    #[serde(default)]
    allow_duplicate: bool,
}

#[derive(Serialize)]
struct Answer {
    member_no: i64,
    version: i64,
    state: MemberState,
}

impl Operation for RegisterMember {
    fn check(&self) -> Result<(), Bad> {
        if self.pin.is_some() && self.card_id.is_none() {
            return Err(fields::bad("pin", "belongs to a card, but no card_id is given"));
        }
        let person = &self.person;
        let whole = person.name.is_some() && person.kana.is_some() && person.birth_date.is_some();
        if self.id_checked_by.is_some() && !whole {
            return Err(fields::bad("person", "name, kana and birth_date are needed once papers were seen"));
        }
        if self.card_id.is_none() && person.name.is_none() {
            return Err(fields::bad("person.name", "is needed without a card_id: nothing else would tell who this is"));
        }
        Ok(())
    }

    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        self.refuse_unknown_staff(call)?;
        members::refuse_under_age(call, self.person.birth_date)?;
        if let Some(card_id) = &self.card_id {
            members::refuse_card_in_use(call, card_id)?;
        }
        if let Some(query) = self.suspicion(call)? {
            return Ok(Outcome::Ask(query));
        }
        let checked = self.id_checked_by.as_ref().map(StaffId::as_str);
        let state = if checked.is_some() { MemberState::Active } else { MemberState::Provisional };
        let admission = Admission { state, id_checked_by: checked, card_id: self.card_id.as_ref(), pin: self.pin.as_ref() };
        let member_no = members::draft_member(call, &self.person, &admission)?;
        let about = About { member_no: Some(member_no), card_id: self.card_id.as_ref().map(CardId::as_str) };
        call.event("member_registered", about, "");
        Outcome::done(&Answer { member_no, version: 1, state })
    }
}

impl RegisterMember {
    fn refuse_unknown_staff(&self, call: &mut Call<'_, '_>) -> Result<(), Stop> {
        let Some(staff_id) = &self.id_checked_by else { return Ok(()) };
        let staff = reads::staff(call.draft, staff_id.as_str())?.filter(|staff| staff.active);
        staff.map(drop).ok_or(Code::UnknownStaff.into())
    }

    /// What must be asked before we know whether this person is a member already; `DUPLICATE_SUSPECTED` once we know.
    fn suspicion(&self, call: &Call<'_, '_>) -> Result<Option<Query>, Stop> {
        #[derive(Serialize)]
        struct Suspected<'a> {
            member_nos: &'a [i64],
        }
        let (Some(kana), Some(born), false) = (&self.person.kana, self.person.birth_date, self.allow_duplicate) else {
            return Ok(None);
        };
        match call.found {
            Some(Found::SamePerson(member_nos)) if member_nos.is_empty() => Ok(None),
            Some(Found::SamePerson(member_nos)) => Err(Refusal::with(Code::DuplicateSuspected, &Suspected { member_nos }).into()),
            Some(Found::DayAtClose(_)) | None => {
                Ok(Some(Query::SamePerson { kana: kana.as_str().to_owned(), birth_day: born.day(), members_max: DUPLICATES_MAX }))
            }
        }
    }
}
