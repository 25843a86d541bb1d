//! The commands: one file each, and one line each in [`TABLE`].

use std::fmt::Debug;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::call::{Call, Outcome, Stop};
use super::fields;
use super::rows::{StaffRole, TerminalKind};
use crate::model::Bad;

pub mod authenticate;
pub mod authorise_payout;
pub mod begin_close;
pub mod bodies;
pub mod close_day;
pub mod complete_payout;
pub mod deposit;
pub mod get_balance;
pub mod heartbeat;
pub mod hello;
pub mod import_members;
pub mod issue_card;
pub mod open_day;
pub mod register_member;
pub mod sign_in;
mod software;
pub mod stop_card;

use StaffRole::{Clerk, Supervisor};
use TerminalKind::{Analysis, Counter, Enrol, HallComputer, Kiosk, Pos, Replay, Seat};

/// A command's body, read and bounded.
pub trait Operation: Debug + Send + Sync {
    /// What no single field shows: for example that exactly one of two was given.
    ///
    /// # Errors
    /// [`Bad`] names the field.
    fn check(&self) -> Result<(), Bad> {
        Ok(())
    }

    /// A command that may change data, but this time has nothing to write down.
    fn idle(&self) -> bool {
        false
    }

    /// What stands after the checks of day and kind.
    ///
    /// # Errors
    /// [`Stop`]: the refusal, or a row that cannot be read now.
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop>;
}

/// The business day that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    Any,
    /// Open, or preparing to close.
    NotClosed,
    Open,
}

/// Who must be signed in at a terminal of some kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A staff session is not looked at.
    Nobody,
    /// Nobody need be; whoever is, is written down.
    Anybody,
    AtLeast(StaffRole),
}

/// What the table says of a command.
#[derive(Debug)]
pub struct Spec {
    pub name: &'static str,
    /// Kinds of terminal that may send it, and who must be signed in there.
    pub kinds: &'static [(TerminalKind, Signed)],
    pub day: Day,
    /// What it then changes is recorded, and its refusals too.
    pub changes_data: bool,
    read: fn(&str) -> Result<Arc<dyn Operation>, Bad>,
}

const ALL: &[(TerminalKind, Signed)] = &[
    (Seat, Signed::Nobody),
    (Counter, Signed::Nobody),
    (Replay, Signed::Nobody),
    (Pos, Signed::Nobody),
    (Enrol, Signed::Nobody),
    (Kiosk, Signed::Nobody),
    (Analysis, Signed::Nobody),
    (HallComputer, Signed::Nobody),
];
const STAFF_DESKS: &[(TerminalKind, Signed)] = &[(Analysis, Signed::Nobody), (Pos, Signed::Nobody), (Enrol, Signed::Nobody)];
const CARD_READERS: &[(TerminalKind, Signed)] = &[
    (Seat, Signed::Nobody),
    (Counter, Signed::Nobody),
    (Replay, Signed::Nobody),
    (Pos, Signed::Anybody),
    (Kiosk, Signed::Nobody),
];
const BALANCE: &[(TerminalKind, Signed)] = &[
    (Seat, Signed::Nobody),
    (Counter, Signed::Nobody),
    (Replay, Signed::Nobody),
    (Pos, Signed::Anybody),
    (Kiosk, Signed::Nobody),
    (Analysis, Signed::AtLeast(Clerk)),
];
const TAKES_UNITS: &[(TerminalKind, Signed)] = &[(Counter, Signed::Nobody), (Seat, Signed::Nobody), (Pos, Signed::Anybody)];
const GIVES_UNITS: &[(TerminalKind, Signed)] = &[(Seat, Signed::Nobody), (Replay, Signed::Nobody), (Pos, Signed::Anybody)];
const ENROLS: &[(TerminalKind, Signed)] = &[(Enrol, Signed::Anybody), (Pos, Signed::Anybody), (Analysis, Signed::AtLeast(Clerk))];
const ISSUES: &[(TerminalKind, Signed)] = &[(Enrol, Signed::Anybody), (Analysis, Signed::AtLeast(Clerk))];
const STOPS: &[(TerminalKind, Signed)] = &[(Analysis, Signed::AtLeast(Clerk)), (Pos, Signed::Anybody)];
const OFFICE: &[(TerminalKind, Signed)] = &[(Analysis, Signed::AtLeast(Supervisor))];

/// Every command: name, kinds of terminal with the staff role asked for there, business day, whether it may change data, its file.
/// `hello` and `heartbeat` change data only when they bring news of faults; otherwise they are [`Operation::idle`], as good as reads.
#[rustfmt::skip]
pub static TABLE: [Spec; 15] = [
    Spec { name: "hello",            kinds: ALL,          day: Day::Any,       changes_data: true,  read: read::<hello::Hello> },
    Spec { name: "heartbeat",        kinds: ALL,          day: Day::Any,       changes_data: true,  read: read::<heartbeat::Heartbeat> },
    Spec { name: "sign_in",          kinds: STAFF_DESKS,  day: Day::Any,       changes_data: true,  read: read::<sign_in::SignIn> },
    Spec { name: "open_day",         kinds: OFFICE,       day: Day::Any,       changes_data: true,  read: read::<open_day::OpenDay> },
    Spec { name: "begin_close",      kinds: OFFICE,       day: Day::NotClosed, changes_data: true,  read: read::<begin_close::BeginClose> },
    Spec { name: "close_day",        kinds: OFFICE,       day: Day::NotClosed, changes_data: true,  read: read::<close_day::CloseDay> },
    Spec { name: "register_member",  kinds: ENROLS,       day: Day::NotClosed, changes_data: true,  read: read::<register_member::RegisterMember> },
    Spec { name: "import_members",   kinds: OFFICE,       day: Day::NotClosed, changes_data: true,  read: read::<import_members::ImportMembers> },
    Spec { name: "issue_card",       kinds: ISSUES,       day: Day::NotClosed, changes_data: true,  read: read::<issue_card::IssueCard> },
    Spec { name: "stop_card",        kinds: STOPS,        day: Day::Any,       changes_data: true,  read: read::<stop_card::StopCard> },
    Spec { name: "authenticate",     kinds: CARD_READERS, day: Day::NotClosed, changes_data: true,  read: read::<authenticate::Authenticate> },
    Spec { name: "get_balance",      kinds: BALANCE,      day: Day::NotClosed, changes_data: false, read: read::<get_balance::GetBalance> },
    Spec { name: "deposit",          kinds: TAKES_UNITS,  day: Day::NotClosed, changes_data: true,  read: read::<deposit::Deposit> },
    Spec { name: "authorise_payout", kinds: GIVES_UNITS,  day: Day::Open,      changes_data: true,  read: read::<authorise_payout::AuthorisePayout> },
    Spec { name: "complete_payout",  kinds: GIVES_UNITS,  day: Day::NotClosed, changes_data: true,  read: read::<complete_payout::CompletePayout> },
];

fn read<T: Operation + DeserializeOwned + 'static>(body: &str) -> Result<Arc<dyn Operation>, Bad> {
    let operation = fields::read::<T>(body)?;
    operation.check()?;
    Ok(Arc::new(operation))
}

/// Every command's name.
pub fn names() -> Vec<&'static str> {
    TABLE.iter().map(|spec| spec.name).collect()
}

/// A parsed command.
#[derive(Clone, Debug)]
pub struct Command {
    spec: &'static Spec,
    operation: Arc<dyn Operation>,
}

impl Command {
    /// # Errors
    /// [`Bad`] names the field.
    pub fn parse(name: &str, body: &str) -> Result<Self, Bad> {
        let spec = TABLE.iter().find(|spec| spec.name == name);
        let spec = spec.ok_or_else(|| Bad { field: "command".into(), reason: "no such command".into() })?;
        Ok(Self { spec, operation: (spec.read)(body)? })
    }

    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    pub fn changes_data(&self) -> bool {
        self.spec.changes_data && !self.operation.idle()
    }

    /// # Errors
    /// As [`Operation::execute`].
    pub fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        self.operation.execute(call)
    }
}
