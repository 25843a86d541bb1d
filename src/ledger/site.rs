//! The first rows of a site: what `duplex init` writes before there is any command.

use std::collections::HashSet;

use serde::Deserialize;

use super::fields::{Hash32, Id, StaffId, Text, in_range};
use super::rows::{Medium, Rate, Row, Site, Staff, StaffRole, Terminal, TerminalKind};
use super::secrets::Secrets;
use super::words;
use crate::model::{Bad, Image, TerminalId};

/// Rates of one site: the whole table travels in one answer line, and real sites have about ten.
pub const RATES_MAX: usize = 32;
/// Terminals of one site: the largest halls known have some 3,000 machines, and 3,500 connections are planned for.
pub const TERMINALS_MAX: usize = 10_000;
/// Largest daily limit, yen: keeps every product with a rate inside an `i64`.
const DAILY_LIMIT_YEN_MAX: i64 = 1_000_000_000;

/// A site as its operator writes it down (TOML).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteDefinition {
    pub name: Text<80>,
    /// Wording profile, `generic` or `hall-ja`.
    #[serde(default = "generic")]
    pub profile: String,
    /// Draws per member and day.
    #[serde(default = "daily_limit_yen")]
    pub daily_limit_yen: i64,
    #[serde(default = "min_age_years")]
    pub min_age_years: i64,
    pub rates: Vec<RateDefinition>,
    pub staff: Vec<StaffDefinition>,
    pub terminals: Vec<TerminalDefinition>,
}

fn generic() -> String {
    "generic".into()
}

/// As agreed in Tokyo: 2,500 balls or 500 medals.
fn daily_limit_yen() -> i64 {
    10_000
}

fn min_age_years() -> i64 {
    18
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateDefinition {
    /// Dense from 1, so that every rate is found by key.
    pub rate_id: i64,
    pub medium: Medium,
    pub name: Text<40>,
    pub lend_units: i64,
    pub lend_yen: i64,
    pub payout_step: i64,
    pub max_units: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaffDefinition {
    pub staff_id: StaffId,
    pub name: Text<60>,
    pub role: StaffRole,
    /// As [`Secrets::password_hash`] derives it.
    pub password_hash: Hash32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalDefinition {
    pub terminal_id: Id<{ TerminalId::LEN_MAX }>,
    pub kind: TerminalKind,
    pub zone: Text<40>,
    pub machine_no: Option<Id<16>>,
    pub rate_id: Option<i64>,
    /// BLAKE3 of the terminal's key.
    pub key_hash: Hash32,
}

impl SiteDefinition {
    /// # Errors
    /// [`Bad`] names the line or the field.
    pub fn from_toml(text: &str) -> Result<Self, Bad> {
        let read: Result<Self, _> = toml::from_str(text);
        let site = read.map_err(|error| Bad { field: "site definition".into(), reason: error.to_string() })?;
        site.check()?;
        Ok(site)
    }

    /// A site for demonstrations, benchmarks and tests: three rates, two members of staff whose passwords are
    /// [`sample::PASSWORD`](super::sample::PASSWORD), an office desk, a counter, a kiosk, an enrolment desk, a point of sale and `terminals` seats. The key
    /// of each terminal is [`sample::key`](super::sample::key) of its name.
    ///
    /// # Errors
    /// [`Bad`] if `terminals` is above what a site may have, or a password cannot be derived.
    pub fn sample(terminals: usize, secrets: &Secrets) -> Result<Self, Bad> {
        super::sample::site(terminals, secrets)
    }

    /// # Errors
    /// [`Bad`] names the field, as `rates[2].rate_id`.
    pub fn check(&self) -> Result<(), Bad> {
        words::profile(&self.profile).ok_or_else(|| bad("profile", "expected generic or hall-ja"))?;
        within("daily_limit_yen", self.daily_limit_yen, 0, DAILY_LIMIT_YEN_MAX)?;
        within("min_age_years", self.min_age_years, 0, 150)?;
        counted("rates", self.rates.len(), RATES_MAX)?;
        counted("staff", self.staff.len(), TERMINALS_MAX)?;
        counted("terminals", self.terminals.len(), TERMINALS_MAX)?;
        for (place, rate) in self.rates.iter().enumerate() {
            check_rate(place, rate)?;
        }
        unique("staff", "staff_id", self.staff.iter().map(|staff| staff.staff_id.as_str()))?;
        unique("terminals", "terminal_id", self.terminals.iter().map(|terminal| terminal.terminal_id.as_str()))?;
        self.check_terminals()?;
        self.check_that_a_day_can_be_opened()
    }

    fn check_terminals(&self) -> Result<(), Bad> {
        let known = |rate_id| self.rates.iter().any(|rate| rate.rate_id == rate_id);
        for (place, terminal) in self.terminals.iter().enumerate() {
            if let Some(rate_id) = terminal.rate_id.filter(|rate_id| !known(*rate_id)) {
                return Err(bad(&format!("terminals[{place}].rate_id"), &format!("no rate has the number {rate_id}")));
            }
        }
        Ok(())
    }

    fn check_that_a_day_can_be_opened(&self) -> Result<(), Bad> {
        let opens = |staff: &StaffDefinition| matches!(staff.role, StaffRole::Supervisor | StaffRole::Manager);
        if !self.staff.iter().any(opens) {
            return Err(bad("staff", "nobody is supervisor or manager, so nobody could open a day"));
        }
        if !self.terminals.iter().any(|terminal| terminal.kind == TerminalKind::Analysis) {
            return Err(bad("terminals", "none is of the kind analysis, so no day could be opened"));
        }
        Ok(())
    }
}

fn check_rate(place: usize, rate: &RateDefinition) -> Result<(), Bad> {
    let field = |name: &str| format!("rates[{place}].{name}");
    let expected = i64::try_from(place + 1).map_err(|_| bad("rates", "too many"))?;
    if rate.rate_id != expected {
        let reason = format!("{} given, expected {expected}: rates are numbered 1, 2, 3 and so on", rate.rate_id);
        return Err(bad(&field("rate_id"), &reason));
    }
    within(&field("lend_units"), rate.lend_units, 1, 1_000_000)?;
    within(&field("lend_yen"), rate.lend_yen, 1, 1_000_000)?;
    within(&field("payout_step"), rate.payout_step, 1, 1_000_000)?;
    within(&field("max_units"), rate.max_units, 1, 1_000_000_000_000)
}

fn within(field: &str, value: i64, least: i64, most: i64) -> Result<(), Bad> {
    in_range(value, least, most).map(drop).map_err(|reason| bad(field, &reason))
}

fn counted(field: &str, count: usize, most: usize) -> Result<(), Bad> {
    if (1..=most).contains(&count) { Ok(()) } else { Err(bad(field, &format!("{count} given, expected 1 to {most}"))) }
}

fn unique<'a>(list: &str, field: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Bad> {
    let mut seen = HashSet::new();
    for (place, name) in names.enumerate() {
        if !seen.insert(name) {
            return Err(bad(&format!("{list}[{place}].{field}"), &format!("{name} stands twice")));
        }
    }
    Ok(())
}

pub(super) fn bad(field: &str, reason: &str) -> Bad {
    Bad { field: field.into(), reason: reason.into() }
}

/// The rows of entry number one.
///
/// # Errors
/// [`Bad`] as [`SiteDefinition::check`].
pub fn genesis(definition: &SiteDefinition) -> Result<Vec<Image<Row>>, Bad> {
    definition.check()?;
    let site = std::iter::once(Row::Site(Box::new(site_row(definition))));
    let rates = definition.rates.iter().map(|rate| Row::Rate(rate_row(rate)));
    let staff = definition.staff.iter().map(|staff| Row::Staff(staff_row(staff)));
    let terminals = definition.terminals.iter().map(|terminal| Row::Terminal(terminal_row(terminal)));
    Ok(site.chain(rates).chain(staff).chain(terminals).map(Image::Put).collect())
}

fn site_row(definition: &SiteDefinition) -> Site {
    Site {
        site_no: Site::NO,
        name: definition.name.as_str().into(),
        profile: definition.profile.clone(),
        rate_table_version: 1,
        daily_limit_yen: definition.daily_limit_yen,
        min_age_years: definition.min_age_years,
        current_day: None,
        last_day: None,
        records_kept_from: None,
        last_day_seq: 0,
        last_member_no: 0,
        last_payout_id: 0,
        last_ledger_no: 0,
        ledger_hash: [0; 32],
        last_event_no: 0,
        event_hash: [0; 32],
    }
}

fn rate_row(rate: &RateDefinition) -> Rate {
    Rate {
        rate_id: rate.rate_id,
        medium: rate.medium,
        name: rate.name.as_str().into(),
        lend_units: rate.lend_units,
        lend_yen: rate.lend_yen,
        payout_step: rate.payout_step,
        max_units: rate.max_units,
        active: true,
    }
}

fn staff_row(staff: &StaffDefinition) -> Staff {
    Staff {
        staff_id: staff.staff_id.as_str().into(),
        name: staff.name.as_str().into(),
        role: staff.role,
        password_hash: staff.password_hash.0,
        active: true,
    }
}

fn terminal_row(terminal: &TerminalDefinition) -> Terminal {
    Terminal {
        terminal_id: terminal.terminal_id.as_str().into(),
        kind: terminal.kind,
        zone: terminal.zone.as_str().into(),
        machine_no: terminal.machine_no.as_ref().map(|no| no.as_str().into()),
        rate_id: terminal.rate_id,
        key_hash: terminal.key_hash.0,
        enabled: true,
        open_payout: None,
    }
}
