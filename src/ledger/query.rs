//! Questions that rows by key cannot answer. The store answers them from a state that has everything executed so far.

use serde::Serialize;

use super::rows::{LedgerKind, Payout};

/// What a command needs to know before it can be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Everything that closing `day` needs; answered by [`Found::DayAtClose`].
    DayAtClose {
        day: i32,
        /// How many open payouts to list.
        open_payouts_max: usize,
        /// How many earlier business days to name.
        earlier_days_max: usize,
    },
    /// Members, in any state but erased, with exactly this kana and birth day; answered by [`Found::SamePerson`].
    SamePerson { kana: String, birth_day: i32, members_max: usize },
}

/// What the store found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    DayAtClose(DayAtClose),
    /// `member_no` ascending, at most `members_max`.
    SamePerson(Vec<i64>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayAtClose {
    /// Payouts with this `day` and state `authorised`, by `payout_id` ascending, at most `open_payouts_max`.
    pub open_payouts: Vec<Payout>,
    /// How many there are in all.
    pub open_payouts_count: i64,
    /// One for each (rate, kind) with a ledger row of this `day`, by rate then kind in the order of the enum.
    pub totals: Vec<DayTotal>,
    /// The `day` of business days before this one, latest first, at most `earlier_days_max`.
    pub earlier_days: Vec<i32>,
}

/// Ledger rows of one day, rate and kind. The rate is that of the row's account: `account_id % 1000`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayTotal {
    pub rate_id: i64,
    pub kind: LedgerKind,
    /// Number of rows.
    pub rows: i64,
    /// Σ `delta`.
    pub units: i64,
}
