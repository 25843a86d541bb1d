//! The application's questions, asked of either engine.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Text};
use diesel::{QueryResult, sql_query};

use super::Ledger;
use super::query::{DayAtClose, DayTotal, Found, Query};
use super::rows::{BusinessDay, DayState, Key, LedgerKind, Payout, Rate, Row};
use crate::schema::{business_day, member, payout};
use crate::store::table::Table;
use crate::store::{Answers, StoreConnection, StoredRow};

impl Answers for Ledger {
    fn answer(query: &Query, conn: &mut StoreConnection) -> QueryResult<Found> {
        match query {
            Query::DayAtClose { day, open_payouts_max, earlier_days_max } => {
                day_at_close(conn, *day, limit(*open_payouts_max), limit(*earlier_days_max)).map(Found::DayAtClose)
            }
            Query::SamePerson { kana, birth_day, members_max } => {
                same_person(conn, kana, *birth_day, limit(*members_max)).map(Found::SamePerson)
            }
        }
    }
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn same_person(conn: &mut StoreConnection, kana: &str, birth_day: i32, most: i64) -> QueryResult<Vec<i64>> {
    member::table
        .filter(member::kana.eq(kana).and(member::birth_day.eq(birth_day)).and(member::state.ne("erased")))
        .order(member::member_no)
        .limit(most)
        .select(member::member_no)
        .load(conn)
}

/// Open payouts are found by the word in the text: an engine takes the index over them only if it reads the same word there.
fn day_at_close(conn: &mut StoreConnection, day: i32, payouts_max: i64, days_max: i64) -> QueryResult<DayAtClose> {
    let open = payout::table.filter(payout::day.eq(day).and(sql::<Bool>("state = 'authorised'")));
    let ids: Vec<i64> = open.clone().order(payout::payout_id).limit(payouts_max).select(payout::payout_id).load(conn)?;
    let open_payouts = ids.into_iter().filter_map(|id| payout_of(conn, id).transpose()).collect::<QueryResult<_>>()?;
    let open_payouts_count = open.count().get_result(conn)?;
    let earlier = business_day::table.filter(business_day::day.lt(day)).order(business_day::day.desc()).limit(days_max);
    let earlier_days = earlier.select(business_day::day).load(conn)?;
    let totals = match BusinessDay::get(conn, &(day,))? {
        Some(row) => totals(conn, &row)?,
        None => Vec::new(),
    };
    Ok(DayAtClose { open_payouts, open_payouts_count, totals, earlier_days })
}

fn payout_of(conn: &mut StoreConnection, id: i64) -> QueryResult<Option<Payout>> {
    Ok(Row::get(conn, &Key::Payout(id))?.and_then(|row| match row {
        Row::Payout(payout) => Some(payout),
        _ => None,
    }))
}

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = BigInt)]
    rate_id: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = BigInt)]
    units: i64,
}

/// A day's ledger numbers: behind the first, up to and with the second. Days follow one another and each row belongs to the day that
/// is open when it is written, so a day is one piece of the ledger, which needs no index by day.
pub(super) fn numbers_of(conn: &mut StoreConnection, row: &BusinessDay) -> QueryResult<(i64, i64)> {
    let before: Option<i64> = business_day::table
        .filter(business_day::day.lt(row.day))
        .order(business_day::day.desc())
        .select(business_day::last_ledger_no)
        .first(conn)
        .optional()?;
    let last = if row.state == DayState::Closed { row.last_ledger_no } else { i64::MAX };
    Ok((before.unwrap_or(0), last))
}

/// What a day came to, so far if it is not closed, by rate and kind. The sum is cast back: PostgreSQL's sum of bigints is numeric.
/// Rates and kinds are few, so ordering is done here.
pub(super) fn totals(conn: &mut StoreConnection, row: &BusinessDay) -> QueryResult<Vec<DayTotal>> {
    let (before, last) = numbers_of(conn, row)?;
    let text = "SELECT account_id % $1 AS rate_id, kind, COUNT(*) AS rows, CAST(SUM(delta) AS BIGINT) AS units \
                FROM ledger WHERE ledger_no > $2 AND ledger_no <= $3 AND day = $4 GROUP BY 1, 2";
    let sums = sql_query(text).bind::<BigInt, _>(Rate::ID_MAX + 1).bind::<BigInt, _>(before).bind::<BigInt, _>(last);
    let sums: Vec<Sum> = sums.bind::<Integer, _>(row.day).load(conn)?;
    let mut totals = sums.into_iter().map(total).collect::<QueryResult<Vec<_>>>()?;
    totals.sort_by_key(|total| (total.rate_id, total.kind as u8));
    Ok(totals)
}

fn total(sum: Sum) -> QueryResult<DayTotal> {
    let kind: LedgerKind = serde_json::from_value(sum.kind.clone().into())
        .map_err(|_| crate::store::column::unreadable(format!("ledger kind {:?}", sum.kind)))?;
    Ok(DayTotal { rate_id: sum.rate_id, kind, rows: sum.rows, units: sum.units })
}
