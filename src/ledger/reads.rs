//! Rows by key, each as its own type.

use super::rows::{Account, BusinessDay, Card, DailyDraw, Key, Member, Payout, Rate, Row, Site, Staff, Terminal};
use crate::model::{Draft, Unavailable};

type Read<T> = Result<T, Unavailable>;

/// The site's one row.
///
/// # Errors
/// [`Unavailable`] also if the store was never given its first rows.
pub fn site(draft: &mut Draft<'_, Row>) -> Read<Box<Site>> {
    match draft.get(&Key::Site(Site::NO))? {
        Some(Row::Site(row)) => Ok(row),
        _ => Err(Unavailable("the store holds no site: its first rows were never written".into())),
    }
}

pub fn terminal(draft: &mut Draft<'_, Row>, terminal_id: &str) -> Read<Option<Terminal>> {
    Ok(match draft.get(&Key::Terminal(terminal_id.to_owned()))? {
        Some(Row::Terminal(row)) => Some(row),
        _ => None,
    })
}

pub fn staff(draft: &mut Draft<'_, Row>, staff_id: &str) -> Read<Option<Staff>> {
    Ok(match draft.get(&Key::Staff(staff_id.to_owned()))? {
        Some(Row::Staff(row)) => Some(row),
        _ => None,
    })
}

pub fn business_day(draft: &mut Draft<'_, Row>, day: i32) -> Read<Option<BusinessDay>> {
    Ok(match draft.get(&Key::BusinessDay(day))? {
        Some(Row::BusinessDay(row)) => Some(row),
        _ => None,
    })
}

pub fn rate(draft: &mut Draft<'_, Row>, rate_id: i64) -> Read<Option<Rate>> {
    Ok(match draft.get(&Key::Rate(rate_id))? {
        Some(Row::Rate(row)) => Some(row),
        _ => None,
    })
}

/// Every rate: they are numbered densely from 1, so all of them are rows by key.
pub fn rates(draft: &mut Draft<'_, Row>) -> Read<Vec<Rate>> {
    let mut rates = Vec::new();
    for rate_id in 1..=Rate::ID_MAX {
        let Some(row) = rate(draft, rate_id)? else { break };
        rates.push(row);
    }
    Ok(rates)
}

pub fn card(draft: &mut Draft<'_, Row>, card_id: &str) -> Read<Option<Card>> {
    Ok(match draft.get(&Key::Card(card_id.to_owned()))? {
        Some(Row::Card(row)) => Some(row),
        _ => None,
    })
}

pub fn member(draft: &mut Draft<'_, Row>, member_no: i64) -> Read<Option<Box<Member>>> {
    Ok(match draft.get(&Key::Member(member_no))? {
        Some(Row::Member(row)) => Some(row),
        _ => None,
    })
}

/// The account of a member at a rate; empty, and in no store yet, before the first deposit.
pub fn account(draft: &mut Draft<'_, Row>, member_no: i64, rate_id: i64) -> Read<Account> {
    Ok(match draft.get(&Key::Account(Account::id_of(member_no, rate_id)))? {
        Some(Row::Account(row)) => row,
        _ => Account::empty(member_no, rate_id),
    })
}

/// What a member has drawn on a day; nothing before the first draw.
pub fn daily_draw(draft: &mut Draft<'_, Row>, member_no: i64, day: i32) -> Read<DailyDraw> {
    Ok(match draft.get(&Key::DailyDraw(member_no, day))? {
        Some(Row::DailyDraw(row)) => row,
        _ => DailyDraw { member_no, day, limit_yen: 0 },
    })
}

pub fn payout(draft: &mut Draft<'_, Row>, payout_id: i64) -> Read<Option<Payout>> {
    Ok(match draft.get(&Key::Payout(payout_id))? {
        Some(Row::Payout(row)) => Some(row),
        _ => None,
    })
}
