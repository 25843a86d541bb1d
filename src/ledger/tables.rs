//! The application's tables: which struct is kept in which table, under which key, and how its enums are spelt there.

use super::rows::{
    Account, AuditEvent, BusinessDay, Card, CardKind, CardState, DailyDraw, DayState, Key, LedgerKind, LedgerRow, Medium, Member,
    MemberState, Payout, PayoutState, Rate, Row, Site, Staff, StaffRole, Terminal, TerminalKind,
};
use crate::store::StoreConnection;
use crate::store::column::text_column;
use crate::store::table::{StoredRow, Table, stored_rows, stored_table};

text_column!(DayState { Open = "open", Closing = "closing", Closed = "closed" });
text_column!(MemberState {
    Provisional = "provisional",
    Active = "active",
    Dormant = "dormant",
    Suspended = "suspended",
    Withdrawn = "withdrawn",
    Erased = "erased",
});
text_column!(CardKind { Regular = "regular", Temporary = "temporary" });
text_column!(CardState { Blank = "blank", Active = "active", Stopped = "stopped", Lost = "lost", Void = "void" });
text_column!(Medium { Ball = "ball", Medal = "medal" });
text_column!(LedgerKind {
    Deposit = "deposit",
    Payout = "payout",
    PayoutReturn = "payout_return",
    Exchange = "exchange",
    ExchangeReturn = "exchange_return",
    Adjust = "adjust",
    Transfer = "transfer",
    Convert = "convert",
    Expire = "expire",
});
text_column!(PayoutState {
    Authorised = "authorised",
    Done = "done",
    Short = "short",
    Void = "void",
    Unresolved = "unresolved",
});
text_column!(TerminalKind {
    Seat = "seat",
    Counter = "counter",
    Replay = "replay",
    Pos = "pos",
    Enrol = "enrol",
    Kiosk = "kiosk",
    Analysis = "analysis",
    HallComputer = "hall_computer",
});
text_column!(StaffRole { Clerk = "clerk", Supervisor = "supervisor", Manager = "manager", Maintenance = "maintenance" });

stored_table!(Site in site key (site_no: i64) columns (
    name, profile, rate_table_version, daily_limit_yen, min_age_years, current_day, last_day, records_kept_from, last_day_seq,
    last_member_no, last_payout_id, last_ledger_no, ledger_hash, last_event_no, event_hash,
));
stored_table!(BusinessDay in business_day key (day: i32) columns (
    seq, state, opened_at, opened_by, closed_at, closed_by, last_ledger_no, chain_hash, offsite_copied_at,
));
stored_table!(Member in member key (member_no: i64) columns (
    state, name, kana, birth_day, sex, postal, address, phone, email, dm_ok, id_checked_by, joined_day, last_used_day, active_card,
    version,
));
stored_table!(Card in card key (card_id: String) columns (
    member_no, kind, state, pin_hash, pin_fail, valid_until, issued_day, replaced_by,
));
stored_table!(Rate in rate key (rate_id: i64) columns (medium, name, lend_units, lend_yen, payout_step, max_units, active));
stored_table!(Account in account key (account_id: i64) columns (member_no, rate_id, balance, last_ledger_no, version));
stored_table!(LedgerRow in ledger key (ledger_no: i64) columns (
    day, at, account_id, kind, delta, balance_after, ref_type, ref_id, terminal_id, staff_id, command_id, reason, prev_hash, hash,
));
stored_table!(Payout in payout key (payout_id: i64) columns (
    account_id, day, terminal_id, units, limit_yen, state, delivered, receipt_no,
));
stored_table!(DailyDraw in daily_draw key (member_no: i64, day: i32) columns (limit_yen));
stored_table!(Terminal in terminal key (terminal_id: String) columns (
    kind, zone, machine_no, rate_id, key_hash, enabled, open_payout,
));
stored_table!(Staff in staff key (staff_id: String) columns (name, role, password_hash, active));
stored_table!(AuditEvent in audit_event key (event_no: i64) columns (
    at, day, staff_id, terminal_id, kind, member_no, card_id, detail, prev_hash, hash,
));

stored_rows!(Row by Key {
    Site(Site) key (site_no),
    BusinessDay(BusinessDay) key (day),
    Member(Member) key (member_no),
    Card(Card) key (card_id),
    Rate(Rate) key (rate_id),
    Account(Account) key (account_id),
    Ledger(LedgerRow) key (ledger_no),
    Payout(Payout) key (payout_id),
    DailyDraw(DailyDraw) key (member_no, day),
    Terminal(Terminal) key (terminal_id),
    Staff(Staff) key (staff_id),
    AuditEvent(AuditEvent) key (event_no),
});
