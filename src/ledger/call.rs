//! One execution of one command: what it was asked, what it has found so far, and what it drafts.

use super::commands::Command;
use super::query::Found;
use super::rows::{Account, AuditEvent, LedgerKind, LedgerRow, Member, Row, Site, Staff, Terminal};
use super::secrets::Secrets;
use super::texts::{Code, Refusal};
use super::{chain, reads, texts};
use crate::model::{Draft, Request, Unavailable, UnixMs};

/// Why a command went no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Final. What was drafted stands: a command makes its last refusal before it drafts, so that is a PIN counter, an audit event, or
    /// a day that prepares to close.
    Refused(Refusal),
    Unavailable(Unavailable),
}

impl From<Unavailable> for Stop {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Code> for Stop {
    fn from(code: Code) -> Self {
        Self::Refused(code.into())
    }
}

/// How a command ended that was not stopped.
#[derive(Debug)]
pub enum Outcome {
    /// The answer's body.
    Done(String),
    /// Needs this first.
    Ask(super::query::Query),
}

impl Outcome {
    pub fn done<T: serde::Serialize>(body: &T) -> Result<Self, Stop> {
        Ok(Self::Done(texts::json(body)))
    }
}

/// What a ledger row says beside account, numbers and hashes.
pub struct Posting<'a> {
    pub kind: LedgerKind,
    pub delta: i64,
    /// Table and key of what the row belongs to.
    pub reference: Option<(&'a str, i64)>,
    pub reason: Option<&'a str>,
}

/// Whom an audit event is about.
#[derive(Clone, Copy, Default)]
pub struct About<'a> {
    pub member_no: Option<i64>,
    pub card_id: Option<&'a str>,
}

/// One execution. `site` is a copy; [`Call::finish`] drafts it if it changed.
pub struct Call<'a, 'rows> {
    pub secrets: &'a Secrets,
    pub request: &'a Request<Command>,
    pub found: Option<&'a Found>,
    pub draft: &'a mut Draft<'rows, Row>,
    pub now: UnixMs,
    pub terminal: Terminal,
    /// Who is signed in at the terminal, once the checks have looked.
    pub staff: Option<Staff>,
    site: Box<Site>,
    site_changed: bool,
}

impl<'a, 'rows> Call<'a, 'rows> {
    /// # Errors
    /// `UNKNOWN_TERMINAL` if the terminal went since `identify` looked.
    pub fn new(
        secrets: &'a Secrets,
        request: &'a Request<Command>,
        found: Option<&'a Found>,
        draft: &'a mut Draft<'rows, Row>,
        now: UnixMs,
    ) -> Result<Self, Stop> {
        let site = reads::site(draft)?;
        let terminal = reads::terminal(draft, &request.terminal_id.0)?.ok_or(Code::UnknownTerminal)?;
        Ok(Self { secrets, request, found, draft, now, terminal, staff: None, site, site_changed: false })
    }

    pub fn site(&self) -> &Site {
        &self.site
    }

    pub fn site_mut(&mut self) -> &mut Site {
        self.site_changed = true;
        &mut self.site
    }

    /// The business day that is not closed.
    ///
    /// # Errors
    /// `HALL_CLOSED` if there is none.
    pub fn day(&self) -> Result<i32, Stop> {
        self.site.current_day.ok_or(Code::HallClosed.into())
    }

    pub fn staff_id(&self) -> Option<&str> {
        self.staff.as_ref().map(|staff| staff.staff_id.as_str())
    }

    /// Moves units: one ledger row, and the account that it leaves. Returns the row's number.
    ///
    /// # Errors
    /// `INSUFFICIENT_BALANCE` before anything is drafted; `HALL_CLOSED` without a business day.
    pub fn post(&mut self, account: &mut Account, posting: &Posting<'_>) -> Result<i64, Stop> {
        debug_assert_ne!(posting.delta, 0, "a ledger row moves something");
        let day = self.day()?;
        let balance = account.balance.checked_add(posting.delta).filter(|balance| *balance >= 0);
        let balance = balance.ok_or(Code::InsufficientBalance)?;
        let mut row = LedgerRow {
            ledger_no: self.site.last_ledger_no + 1,
            day,
            at: self.now,
            account_id: account.account_id,
            kind: posting.kind,
            delta: posting.delta,
            balance_after: balance,
            ref_type: posting.reference.map(|(table, _)| table.to_owned()),
            ref_id: posting.reference.map(|(_, key)| key.to_string()),
            terminal_id: self.terminal.terminal_id.clone(),
            staff_id: self.staff_id().map(str::to_owned),
            command_id: self.request.command_id.0,
            reason: posting.reason.map(str::to_owned),
            prev_hash: self.site.ledger_hash,
            hash: [0; 32],
        };
        row.hash = chain::ledger_hash(&row);
        let site = self.site_mut();
        site.last_ledger_no = row.ledger_no;
        site.ledger_hash = row.hash;
        account.balance = balance;
        account.last_ledger_no = row.ledger_no;
        account.version += 1;
        self.draft.put(Row::Account(account.clone()));
        self.draft.put(Row::Ledger(Box::new(row)));
        Ok(self.site.last_ledger_no)
    }

    /// Writes down that something happened. `detail` holds no name and no address: audit rows are never erased.
    pub fn event(&mut self, kind: &str, about: About<'_>, detail: &str) {
        let mut event = AuditEvent {
            event_no: self.site.last_event_no + 1,
            at: self.now,
            day: self.site.current_day,
            staff_id: self.staff_id().map(str::to_owned),
            terminal_id: self.terminal.terminal_id.clone(),
            kind: kind.to_owned(),
            member_no: about.member_no,
            card_id: about.card_id.map(str::to_owned),
            detail: detail.to_owned(),
            prev_hash: self.site.event_hash,
            hash: [0; 32],
        };
        event.hash = chain::event_hash(&event);
        let site = self.site_mut();
        site.last_event_no = event.event_no;
        site.event_hash = event.hash;
        self.draft.put(Row::AuditEvent(Box::new(event)));
    }

    /// Notes that the member was here today: one image on the first use of a day, none after it.
    ///
    /// # Errors
    /// `HALL_CLOSED` without a business day.
    pub fn used(&mut self, member: &mut Member) -> Result<(), Stop> {
        let day = self.day()?;
        if member.last_used_day != Some(day) {
            member.last_used_day = Some(day);
            self.draft.put(Row::Member(Box::new(member.clone())));
        }
        Ok(())
    }

    /// Drafts the site's row if this command moved a tail or a setting.
    pub fn finish(self) {
        if self.site_changed {
            self.draft.put(Row::Site(self.site));
        }
    }
}
