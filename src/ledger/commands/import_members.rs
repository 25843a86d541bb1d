//! `import_members`: members, cards and opening balances from an earlier system. All rows of a command, or none.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Posting, Stop};
use crate::ledger::fields::{self, CardId, Number, Pin, Units};
use crate::ledger::members::{self, Admission, Person};
use crate::ledger::rows::{Account, LedgerKind, MemberState};
use crate::ledger::texts::{Code, Refusal};
use crate::ledger::{checks, texts};
use crate::model::{Bad, Response};

/// Fits the longest request line with ordinary rows, and one journal record.
const ROWS_MAX: usize = 256;
/// Ledger rows that one command may make: bounds its entry, and the time in which nothing else is executed.
const OPENINGS_MAX: usize = 1_024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportMembers {
    rows: Vec<ImportRow>,
    /// Say which rows would be refused, and change nothing.
    #[serde(default)]
    check_only: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportRow {
    person: Person,
    card_id: CardId,
    pin: Option<Pin>,
    #[serde(default)]
    opening: Vec<Opening>,
}

/// What the member had stored at one rate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    rate_id: Number,
    units: Units,
}

#[derive(Serialize)]
struct Answer {
    first_member_no: i64,
    last_member_no: i64,
    opening_rows: usize,
}

/// The answer to `check_only`.
#[derive(Serialize)]
struct Checked {
    refused: Vec<RefusedRow>,
    /// Rows whose card and person are a member's already, as after an import that was cut off.
    present: Vec<usize>,
}

#[derive(Serialize)]
struct RefusedRow {
    row: usize,
    code: String,
    text_ja: String,
    text_en: String,
}

impl Operation for ImportMembers {
    fn idle(&self) -> bool {
        self.check_only
    }

    fn check(&self) -> Result<(), Bad> {
        if self.rows.is_empty() || self.rows.len() > ROWS_MAX {
            return Err(fields::bad("rows", &format!("{} rows, expected 1 to {ROWS_MAX}", self.rows.len())));
        }
        if self.openings() > OPENINGS_MAX {
            return Err(fields::bad("rows", &format!("more than {OPENINGS_MAX} opening balances in one command")));
        }
        let mut cards = HashSet::new();
        for (place, row) in self.rows.iter().enumerate() {
            let refuse = |field: &str, reason| Err(fields::bad(&format!("rows[{place}].{field}"), reason));
            let person = &row.person;
            if person.name.is_none() || person.kana.is_none() || person.birth_date.is_none() {
                return refuse("person", "name, kana and birth_date are needed");
            }
            if !cards.insert(row.card_id.as_str()) {
                return refuse("card_id", "stands in an earlier row too");
            }
            let mut rates = HashSet::new();
            if !row.opening.iter().all(|opening| rates.insert(opening.rate_id.get())) {
                return refuse("opening", "names one rate twice");
            }
        }
        Ok(())
    }

    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        if self.check_only {
            return Outcome::done(&self.checked(call)?);
        }
        for (place, row) in self.rows.iter().enumerate() {
            refuse(call, row).map_err(|stop| naming_row(stop, place))?;
        }
        let staff_id = call.staff_id().unwrap_or_default().to_owned();
        let first_member_no = call.site().last_member_no + 1;
        for row in &self.rows {
            draft(call, row, &staff_id)?;
        }
        let last_member_no = call.site().last_member_no;
        let detail = format!("members {first_member_no} to {last_member_no}");
        call.event("members_imported", About::default(), &detail);
        Outcome::done(&Answer { first_member_no, last_member_no, opening_rows: self.openings() })
    }
}

impl ImportMembers {
    fn openings(&self) -> usize {
        self.rows.iter().map(|row| row.opening.len()).sum()
    }

    fn checked(&self, call: &mut Call<'_, '_>) -> Result<Checked, Stop> {
        let mut checked = Checked { refused: Vec::new(), present: Vec::new() };
        for (place, row) in self.rows.iter().enumerate() {
            let Err(stop) = refuse(call, row) else { continue };
            let Stop::Refused(refusal) = stop else { return Err(stop) };
            if refusal.code == Code::CardInUse && members::is_lent_to(call, &row.card_id, &row.person)? {
                checked.present.push(place);
                continue;
            }
            let Response { code, text_ja, text_en, .. } = refusal.response();
            checked.refused.push(RefusedRow { row: place, code, text_ja, text_en });
        }
        Ok(checked)
    }
}

fn refuse(call: &mut Call<'_, '_>, row: &ImportRow) -> Result<(), Stop> {
    for opening in &row.opening {
        let rate = checks::rate(call, opening.rate_id.get())?;
        if opening.units.get() > rate.max_units {
            return Err(Code::AccountCeiling.into());
        }
    }
    members::refuse_under_age(call, row.person.birth_date)?;
    members::refuse_card_in_use(call, &row.card_id)
}

/// The same refusal, saying which row it is about.
fn naming_row(stop: Stop, row: usize) -> Stop {
    #[derive(Serialize)]
    struct At {
        row: usize,
    }
    match stop {
        Stop::Refused(refusal) => Stop::Refused(Refusal { body: texts::json(&At { row }), ..refusal }),
        Stop::Unavailable(unavailable) => Stop::Unavailable(unavailable),
    }
}

fn draft(call: &mut Call<'_, '_>, row: &ImportRow, staff_id: &str) -> Result<(), Stop> {
    let admission = Admission {
        state: MemberState::Active,
        // Whoever imports vouches for the papers that the earlier system's staff saw.
        id_checked_by: Some(staff_id),
        card_id: Some(&row.card_id),
        pin: row.pin.as_ref(),
    };
    let member_no = members::draft_member(call, &row.person, &admission)?;
    for opening in &row.opening {
        // A number given out just now has no account yet.
        let mut account = Account::empty(member_no, opening.rate_id.get());
        let posting = Posting { kind: LedgerKind::Adjust, delta: opening.units.get(), reference: None, reason: Some("import") };
        call.post(&mut account, &posting)?;
    }
    Ok(())
}
