//! The checks, in an order that terminals rely on. The first that fails is the answer:
//!
//! | stage | code | where |
//! |---|---|---|
//! | version | VERSION_UNKNOWN | line protocol |
//! | terminal known, enabled; key | UNKNOWN_TERMINAL, TERMINAL_DISABLED, WRONG_KEY | [`identify`] |
//! | server mode, repeated id | SWITCHING.., COMMAND_ID_REUSED.. | the pair's own code |
//! | day open | HALL_CLOSED | [`admit`] |
//! | kind allowed, with the staff role that the kind asks for | KIND_NOT_ALLOWED, NOT_SIGNED_IN, ROLE_NOT_ALLOWED | [`admit`] |
//! | rate table version, terminal's rate | RATE_TABLE_OLD, WRONG_MEDIUM | [`rate`] |
//! | card known, card state | UNKNOWN_CARD, CARD_STOPPED, CARD_VOID | [`holder`] |
//! | member state | MEMBER_SUSPENDED | [`holder`] |
//! | PIN or session | WRONG_PIN, PIN_LOCKED, PIN_NOT_SET, SESSION_ENDED, PIN_REQUIRED | [`holder`] |
//! | daily limit | OVER_DAILY_LIMIT | [`limit`] |
//! | balance | INSUFFICIENT_BALANCE | [`balance`] |
//! | the rest | the command's own | its file |
//!
//! A command calls what it needs of `rate`, `holder`, `limit` and `balance` in this order, then makes its own refusals, then drafts.

use serde::Serialize;

use super::call::{About, Call, Stop};
use super::commands::{Day, Signed, Spec};
use super::fields::Pin;
use super::rows::{Account, Card, CardState, DailyDraw, DayState, Member, MemberState, Rate, Row, StaffRole};
use super::secrets::same_hash;
use super::session::{CardSession, StaffSession, Unverified};
use super::texts::{Code, Refusal};
use super::{reads, worth};
use crate::model::{Draft, TerminalId, Unavailable};

/// Misses after which a PIN is locked [A].
const PIN_FAIL_MAX: i64 = 3;
/// Longest session text that is looked at, bytes.
const TOKEN_LEN_MAX: usize = 512;

/// Terminal known and enabled, then its key.
///
/// # Errors
/// [`Unavailable`] if the terminal's row cannot be read.
pub fn identify(terminal: &TerminalId, key: &str, draft: &mut Draft<'_, Row>) -> Result<Option<Code>, Unavailable> {
    let Some(terminal) = reads::terminal(draft, &terminal.0)? else {
        return Ok(Some(Code::UnknownTerminal));
    };
    if !terminal.enabled {
        return Ok(Some(Code::TerminalDisabled));
    }
    let right = same_hash(blake3::hash(key.as_bytes()).as_bytes(), &terminal.key_hash);
    Ok((!right).then_some(Code::WrongKey))
}

/// Day open, kind allowed, staff role.
///
/// # Errors
/// The refusal, or [`Stop::Unavailable`].
pub fn admit(call: &mut Call<'_, '_>, spec: &Spec) -> Result<(), Stop> {
    match spec.day {
        Day::Any => {}
        Day::NotClosed => drop(call.day()?),
        Day::Open => {
            let day = call.day()?;
            let open = reads::business_day(call.draft, day)?.is_some_and(|row| row.state == DayState::Open);
            open.then_some(()).ok_or(Code::HallClosed)?;
        }
    }
    let signed = spec.kinds.iter().find(|(kind, _)| *kind == call.terminal.kind).ok_or(Code::KindNotAllowed)?.1;
    staff(call, signed)
}

/// Whoever is signed in, with at least the role asked for. A session that no longer holds is refused even where none is needed:
/// it would otherwise silently be nobody's act.
fn staff(call: &mut Call<'_, '_>, signed: Signed) -> Result<(), Stop> {
    let least = match (signed, &call.request.staff_session) {
        (Signed::Nobody, _) | (Signed::Anybody, None) => return Ok(()),
        (Signed::Anybody, Some(_)) => None,
        (Signed::AtLeast(role), _) => Some(role),
    };
    let token = call.request.staff_session.as_deref().filter(|token| token.len() <= TOKEN_LEN_MAX);
    let session = token.and_then(Unverified::<StaffSession>::read).ok_or(Code::NotSignedIn)?;
    let staff = reads::staff(call.draft, &session.claim.staff_id)?.ok_or(Code::NotSignedIn)?;
    let holds = staff.active
        && session.holds(call.secrets, &staff.password_hash, call.now)
        && session.claim.terminal_id == call.terminal.terminal_id;
    holds.then_some(()).ok_or(Code::NotSignedIn)?;
    least.is_none_or(|least| may(staff.role, least)).then_some(()).ok_or(Code::RoleNotAllowed)?;
    call.staff = Some(staff);
    Ok(())
}

/// Maintenance stands beside the other roles: neither may do what the other may.
fn may(role: StaffRole, least: StaffRole) -> bool {
    let beside = |role| role == StaffRole::Maintenance;
    beside(role) == beside(least) && role >= least
}

/// Rate table version, then a rate that exists, is in use, and is the terminal's own if it has one.
///
/// # Errors
/// The refusal, or [`Stop::Unavailable`].
pub fn rate(call: &mut Call<'_, '_>, rate_id: i64) -> Result<Rate, Stop> {
    if call.request.rate_table_version != Some(call.site().rate_table_version) {
        return Err(Code::RateTableOld.into());
    }
    let here = call.terminal.rate_id.is_none_or(|own| own == rate_id);
    let rate = reads::rate(call.draft, rate_id)?.filter(|rate| rate.active && here);
    rate.ok_or(Code::WrongMedium.into())
}

/// Who stands before the terminal, and how that is shown.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    Card(&'a str),
    CardWithPin(&'a str, &'a Pin),
    Session(&'a str),
}

/// What the member wants; decides which member states allow it, and whether the session must rest on a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Deposit or look: a provisional member may.
    Keep,
    Draw,
}

/// A card in good standing, with its member.
#[derive(Debug)]
pub struct Holder {
    pub card: Card,
    pub member: Box<Member>,
    /// By a PIN given now or when the session began.
    pub pin_checked: bool,
}

/// Card known, card state, member state, then PIN or session.
///
/// # Errors
/// The refusal, or [`Stop::Unavailable`].
pub fn holder(call: &mut Call<'_, '_>, who: Who<'_>, purpose: Purpose) -> Result<Holder, Stop> {
    // Until its signature is checked below, a session's claim serves for nothing but finding out what else is wrong.
    let session = match who {
        Who::Session(token) => Some(Unverified::<CardSession>::read(token).ok_or(Code::SessionEnded)?),
        Who::Card(_) | Who::CardWithPin(..) => None,
    };
    let card_id = match (&session, who) {
        (Some(session), _) => session.claim.card_id.as_str(),
        (None, Who::Card(id) | Who::CardWithPin(id, _) | Who::Session(id)) => id,
    };
    let card = reads::card(call.draft, card_id)?.ok_or(Code::UnknownCard)?;
    let member_no = card.member_no.ok_or(Code::UnknownCard)?;
    card_state(&card, call.day()?)?;
    let member = reads::member(call.draft, member_no)?.ok_or(Code::UnknownCard)?;
    member_state(&member, purpose)?;
    let pin_checked = match (session, who) {
        (Some(session), _) => session_holds(call, &session, &card)?,
        (None, Who::CardWithPin(_, pin)) => return right_pin(call, card, member, pin),
        (None, _) => false,
    };
    if purpose == Purpose::Draw && !pin_checked {
        return Err(Code::PinRequired.into());
    }
    Ok(Holder { card, member, pin_checked })
}

fn card_state(card: &Card, day: i32) -> Result<(), Stop> {
    match card.state {
        CardState::Blank => Err(Code::UnknownCard.into()),
        CardState::Stopped | CardState::Lost => Err(Code::CardStopped.into()),
        CardState::Void => Err(Code::CardVoid.into()),
        CardState::Active if card.valid_until.is_some_and(|last| last < day) => Err(Code::CardVoid.into()),
        CardState::Active => Ok(()),
    }
}

fn member_state(member: &Member, purpose: Purpose) -> Result<(), Stop> {
    match (member.state, purpose) {
        (MemberState::Active, _) | (MemberState::Provisional, Purpose::Keep) => Ok(()),
        (MemberState::Provisional, Purpose::Draw)
        | (MemberState::Dormant | MemberState::Suspended | MemberState::Withdrawn | MemberState::Erased, _) => {
            Err(Code::MemberSuspended.into())
        }
    }
}

/// Whether the session rests on a PIN.
fn session_holds(call: &Call<'_, '_>, session: &Unverified<CardSession>, card: &Card) -> Result<bool, Stop> {
    let holds = session.holds(call.secrets, &bound(card), call.now)
        && session.claim.terminal_id == call.terminal.terminal_id
        && session.claim.day == call.day()?;
    if holds { Ok(session.claim.pin_checked) } else { Err(Code::SessionEnded.into()) }
}

/// What a card's sessions are bound to: a new PIN ends them.
fn bound(card: &Card) -> [u8; 32] {
    card.pin_hash.unwrap_or_default()
}

/// A new token for the holder at this terminal, from now on.
///
/// # Errors
/// `HALL_CLOSED` without a business day.
pub fn session(call: &Call<'_, '_>, holder: &Holder) -> Result<String, Stop> {
    let claim = CardSession {
        card_id: holder.card.card_id.clone(),
        terminal_id: call.terminal.terminal_id.clone(),
        day: call.day()?,
        issued_at: call.now,
        pin_checked: holder.pin_checked,
    };
    Ok(super::session::seal(&claim, call.secrets, &bound(&holder.card)))
}

/// A miss is counted and written down with its refusal; a right PIN forgives earlier misses.
fn right_pin(call: &mut Call<'_, '_>, mut card: Card, member: Box<Member>, pin: &Pin) -> Result<Holder, Stop> {
    let expected = card.pin_hash.ok_or(Code::PinNotSet)?;
    if card.pin_fail >= PIN_FAIL_MAX {
        return Err(Code::PinLocked.into());
    }
    if same_hash(&call.secrets.pin_hash(&card.card_id, pin), &expected) {
        if card.pin_fail != 0 {
            card.pin_fail = 0;
            call.draft.put(Row::Card(card.clone()));
        }
        return Ok(Holder { card, member, pin_checked: true });
    }
    card.pin_fail += 1;
    let left = PIN_FAIL_MAX - card.pin_fail;
    let kind = if left == 0 { "pin_locked" } else { "wrong_pin" };
    call.event(kind, About { member_no: Some(member.member_no), card_id: Some(&card.card_id) }, "");
    call.draft.put(Row::Card(card));
    if left == 0 { Err(Code::PinLocked.into()) } else { Err(left_of(Code::WrongPin, left)) }
}

/// Yen that the member may still draw today.
pub fn limit_left_yen(call: &Call<'_, '_>, drawn: &DailyDraw) -> i64 {
    (call.site().daily_limit_yen - drawn.limit_yen).max(0)
}

/// Daily limit: what the member has drawn today with `units` more, and the yen of those.
///
/// # Errors
/// The refusal, with the units left, or [`Stop::Unavailable`].
pub fn limit(call: &mut Call<'_, '_>, member_no: i64, rate: &Rate, units: i64) -> Result<(DailyDraw, i64), Stop> {
    let day = call.day()?;
    let mut drawn = reads::daily_draw(call.draft, member_no, day)?;
    let left = limit_left_yen(call, &drawn);
    let yen = worth::yen(rate, units);
    if yen > left {
        return Err(left_of(Code::OverDailyLimit, worth::units_within(rate, left)));
    }
    drawn.limit_yen += yen;
    Ok((drawn, yen))
}

/// # Errors
/// The refusal, with the units left.
pub fn balance(account: &Account, units: i64) -> Result<(), Stop> {
    if units > account.balance { Err(left_of(Code::InsufficientBalance, account.balance)) } else { Ok(()) }
}

/// A refusal that says how many are left, in its text and in its body.
pub fn left_of(code: Code, left: i64) -> Stop {
    #[derive(Serialize)]
    struct Left {
        left: i64,
    }
    Refusal::counting(code, left, &Left { left }).into()
}
