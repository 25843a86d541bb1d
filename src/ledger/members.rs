//! What registering and importing members share.

use serde::{Deserialize, Serialize};

use super::call::{Call, Stop};
use super::fields::{CardId, Date, Pin, Text};
use super::rows::{Card, CardKind, CardState, Member, MemberState, Row};
use super::texts::{Code, Refusal};
use super::{calendar, reads};

/// Personal data as it comes. Names are kept exactly as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub name: Option<Text<60>>,
    pub kana: Option<Text<60>>,
    pub birth_date: Option<Date>,
    pub sex: Option<Text<16>>,
    pub postal: Option<Text<16>>,
    pub address: Option<Text<200>>,
    pub phone: Option<Text<24>>,
    pub email: Option<Text<254>>,
    #[serde(default)]
    pub dm_ok: bool,
}

/// What becomes of a person: the member's state, who saw the papers, the card.
pub struct Admission<'a> {
    pub state: MemberState,
    pub id_checked_by: Option<&'a str>,
    pub card_id: Option<&'a CardId>,
    pub pin: Option<&'a Pin>,
}

/// A card about to be lent.
pub struct NewCard<'a> {
    pub card_id: &'a CardId,
    pub pin: Option<&'a Pin>,
    pub kind: CardKind,
}

/// # Errors
/// `UNDER_AGE` if a birth date is given and the person is not old enough today.
pub fn refuse_under_age(call: &Call<'_, '_>, birth_date: Option<Date>) -> Result<(), Stop> {
    #[derive(Serialize)]
    struct Least {
        min_age_years: i64,
    }
    let (Some(birth_date), least) = (birth_date, call.site().min_age_years) else { return Ok(()) };
    let age = calendar::age_years(birth_date.day(), call.day()?);
    if age.is_some_and(|age| age >= least) {
        return Ok(());
    }
    Err(Refusal::counting(Code::UnderAge, least, &Least { min_age_years: least }).into())
}

/// # Errors
/// `CARD_IN_USE` unless the card is new or a blank one from stock: an id is never used for two cards.
pub fn refuse_card_in_use(call: &mut Call<'_, '_>, card_id: &CardId) -> Result<(), Stop> {
    #[derive(Serialize)]
    struct InUse<'a> {
        card_id: &'a str,
    }
    let card = reads::card(call.draft, card_id.as_str())?;
    if card.is_none_or(|card| card.state == CardState::Blank && card.member_no.is_none()) {
        return Ok(());
    }
    Err(Refusal::with(Code::CardInUse, &InUse { card_id: card_id.as_str() }).into())
}

/// Whether this card is this person's: the same name, kana and birth date.
///
/// # Errors
/// [`Stop`]: a row that cannot be read now.
pub fn is_lent_to(call: &mut Call<'_, '_>, card_id: &CardId, person: &Person) -> Result<bool, Stop> {
    let holder = reads::card(call.draft, card_id.as_str())?.and_then(|card| card.member_no);
    let Some(member_no) = holder else { return Ok(false) };
    let member = reads::member(call.draft, member_no)?;
    Ok(member.is_some_and(|member| {
        (member.name, member.kana) == (owned(person.name.as_ref()), owned(person.kana.as_ref()))
            && member.birth_day == person.birth_date.map(Date::day)
    }))
}

/// Drafts a member with the next number, and the card. After every refusal.
///
/// # Errors
/// `HALL_CLOSED` without a business day.
pub fn draft_member(call: &mut Call<'_, '_>, person: &Person, admission: &Admission<'_>) -> Result<i64, Stop> {
    let joined_day = call.day()?;
    let member_no = call.site().last_member_no + 1;
    call.site_mut().last_member_no = member_no;
    call.draft.put(Row::Member(Box::new(Member {
        member_no,
        state: admission.state,
        name: owned(person.name.as_ref()),
        kana: owned(person.kana.as_ref()),
        birth_day: person.birth_date.map(Date::day),
        sex: owned(person.sex.as_ref()),
        postal: owned(person.postal.as_ref()),
        address: owned(person.address.as_ref()),
        phone: owned(person.phone.as_ref()),
        email: owned(person.email.as_ref()),
        dm_ok: person.dm_ok,
        id_checked_by: admission.id_checked_by.map(str::to_owned),
        joined_day,
        last_used_day: None,
        active_card: admission.card_id.map(|card_id| card_id.as_str().to_owned()),
        version: 1,
    })));
    if let Some(card_id) = admission.card_id {
        draft_card(call, &NewCard { card_id, pin: admission.pin, kind: CardKind::Regular }, member_no)?;
    }
    Ok(member_no)
}

fn owned<const MAX: usize>(text: Option<&Text<MAX>>) -> Option<String> {
    text.map(|text| text.as_str().to_owned())
}

/// Drafts an active card of the member. A temporary one is good until the end of the business day.
///
/// # Errors
/// `HALL_CLOSED` without a business day.
pub fn draft_card(call: &mut Call<'_, '_>, card: &NewCard<'_>, member_no: i64) -> Result<(), Stop> {
    let issued_day = call.day()?;
    let card_id = card.card_id.as_str();
    call.draft.put(Row::Card(Card {
        card_id: card_id.to_owned(),
        member_no: Some(member_no),
        kind: card.kind,
        state: CardState::Active,
        pin_hash: card.pin.map(|pin| call.secrets.pin_hash(card_id, pin)),
        pin_fail: 0,
        valid_until: (card.kind == CardKind::Temporary).then_some(issued_day),
        issued_day,
        replaced_by: None,
    }));
    Ok(())
}
