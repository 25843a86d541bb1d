//! A made-up site, for demonstrations, benchmarks and tests. Its keys and passwords are public: never open a real site with it.

use super::fields::{Hash32, Id, Text};
use super::rows::{Medium, StaffRole, TerminalKind};
use super::secrets::Secrets;
use super::site::{RateDefinition, SiteDefinition, StaffDefinition, TERMINALS_MAX, TerminalDefinition, bad};
use crate::model::Bad;

/// Password of both members of staff, `manager` and `clerk`.
pub const PASSWORD: &str = "duplex-sample";

/// The desks beside the seats.
const DESKS: [(&str, TerminalKind); 6] = [
    ("office", TerminalKind::Analysis),
    ("counter", TerminalKind::Counter),
    ("kiosk", TerminalKind::Kiosk),
    ("enrol", TerminalKind::Enrol),
    ("pos", TerminalKind::Pos),
    ("hall-computer", TerminalKind::HallComputer),
];

/// The key of a sample terminal.
pub fn key(terminal_id: &str) -> String {
    format!("sample-key-{terminal_id}")
}

/// Desks, and `seats` seats named `seat-1` and so on, of rates 1, 2, 3, 1 and so on.
pub(super) fn site(seats: usize, secrets: &Secrets) -> Result<SiteDefinition, Bad> {
    if seats > TERMINALS_MAX - DESKS.len() {
        return Err(bad("terminals", &format!("{seats} seats are more than a site may have")));
    }
    let desks = DESKS.iter().map(|(name, kind)| terminal((*name).into(), *kind, None));
    let seats = (1..=seats).map(|no| terminal(format!("seat-{no}"), TerminalKind::Seat, Some(no)));
    Ok(SiteDefinition {
        name: text("Sample site")?,
        profile: "generic".into(),
        daily_limit_yen: 10_000,
        min_age_years: 18,
        rates: vec![
            rate(1, Medium::Ball, "4-yen ball", (125, 500), 250_000)?,
            rate(2, Medium::Ball, "1-yen ball", (200, 200), 250_000)?,
            rate(3, Medium::Medal, "20-yen medal", (47, 1_000), 50_000)?,
        ],
        staff: vec![staff("manager", StaffRole::Manager, secrets)?, staff("clerk", StaffRole::Clerk, secrets)?],
        terminals: desks.chain(seats).collect::<Result<_, _>>()?,
    })
}

fn rate(rate_id: i64, medium: Medium, name: &str, lend: (i64, i64), max_units: i64) -> Result<RateDefinition, Bad> {
    let (lend_units, lend_yen) = lend;
    Ok(RateDefinition { rate_id, medium, name: text(name)?, lend_units, lend_yen, payout_step: lend_units, max_units })
}

fn staff(name: &str, role: StaffRole, secrets: &Secrets) -> Result<StaffDefinition, Bad> {
    let hash = secrets.password_hash(name, PASSWORD).map_err(|error| bad("password", &error.to_string()))?;
    Ok(StaffDefinition { staff_id: id(name)?, name: text(name)?, role, password_hash: Hash32(hash) })
}

fn terminal(name: String, kind: TerminalKind, seat_no: Option<usize>) -> Result<TerminalDefinition, Bad> {
    let rate_id = seat_no.and_then(|no| i64::try_from((no - 1) % 3 + 1).ok());
    Ok(TerminalDefinition {
        terminal_id: id(&name)?,
        kind,
        zone: text(if seat_no.is_some() { "floor" } else { "desk" })?,
        machine_no: seat_no.map(|no| id(&no.to_string())).transpose()?,
        rate_id,
        key_hash: Hash32(*blake3::hash(key(&name).as_bytes()).as_bytes()),
    })
}

fn text<const MAX: usize>(text: &str) -> Result<Text<MAX>, Bad> {
    Text::try_from(text.to_owned()).map_err(|reason| bad(text, &reason))
}

fn id<const MAX: usize>(text: &str) -> Result<Id<MAX>, Bad> {
    Id::try_from(text.to_owned()).map_err(|reason| bad(text, &reason))
}
