//! `hello`: a terminal says that it is there and learns the day, the settings and the rate table.

use serde::{Deserialize, Serialize};

use super::Operation;
use super::heartbeat::{FaultCodes, NEXT_HEARTBEAT_MS, report_faults};
use super::software::{self, Software};
use crate::ledger::call::{Call, Outcome, Stop};
use crate::ledger::rows::{DayState, Medium, Rate, Site};
use crate::ledger::words::{self, Words};
use crate::ledger::{calendar, reads};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    software: Option<Software>,
    /// The table that the terminal holds; it is given the present one in any case.
    #[serde(rename = "rate_table_ver")]
    _rate_table_ver: Option<i64>,
    #[serde(default)]
    fault_codes: FaultCodes,
}

#[derive(Serialize)]
struct Answer<'a> {
    day: Option<Today>,
    settings: Settings<'a>,
    rate_table: RateTable,
    next_heartbeat_ms: i64,
}

/// The business day that is not closed.
#[derive(Serialize)]
pub(super) struct Today {
    date: String,
    seq: i64,
    state: DayState,
}

#[derive(Serialize)]
struct Settings<'a> {
    site: &'a str,
    profile: &'a str,
    words: &'static Words,
    daily_limit_yen: i64,
    min_age_years: i64,
}

#[derive(Serialize)]
pub(super) struct RateTable {
    version: i64,
    rates: Vec<RateLine>,
}

#[derive(Serialize)]
struct RateLine {
    rate_id: i64,
    medium: Medium,
    name: String,
    lend_units: i64,
    lend_yen: i64,
    payout_step: i64,
    max_units: i64,
    active: bool,
}

impl Operation for Hello {
    fn idle(&self) -> bool {
        self.fault_codes.0.is_empty()
    }

    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        software::refuse_old(self.software.as_ref())?;
        let day = today(call)?;
        let rate_table = rate_table(call)?;
        let software = self.software.as_ref().map_or("", |software| software.as_str());
        report_faults(call, &self.fault_codes, software);
        let settings = settings(call.site());
        Outcome::done(&Answer { day, settings, rate_table, next_heartbeat_ms: NEXT_HEARTBEAT_MS })
    }
}

fn settings(site: &Site) -> Settings<'_> {
    Settings {
        site: &site.name,
        profile: &site.profile,
        words: words::profile(&site.profile).unwrap_or(&words::GENERIC),
        daily_limit_yen: site.daily_limit_yen,
        min_age_years: site.min_age_years,
    }
}

pub(super) fn today(call: &mut Call<'_, '_>) -> Result<Option<Today>, Stop> {
    let Some(day) = call.site().current_day else { return Ok(None) };
    let row = reads::business_day(call.draft, day)?;
    Ok(row.map(|row| Today { date: calendar::text_from_day(day), seq: row.seq, state: row.state }))
}

pub(super) fn rate_table(call: &mut Call<'_, '_>) -> Result<RateTable, Stop> {
    let version = call.site().rate_table_version;
    let rates = reads::rates(call.draft)?.into_iter().map(RateLine::from).collect();
    Ok(RateTable { version, rates })
}

impl From<Rate> for RateLine {
    fn from(rate: Rate) -> Self {
        Self {
            rate_id: rate.rate_id,
            medium: rate.medium,
            name: rate.name,
            lend_units: rate.lend_units,
            lend_yen: rate.lend_yen,
            payout_step: rate.payout_step,
            max_units: rate.max_units,
            active: rate.active,
        }
    }
}
