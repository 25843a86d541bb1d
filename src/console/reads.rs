//! Reads for analysis clients: when they may be answered, and from which position.
//!
//! On Main a read first proves that this server is Main, then waits until the store has everything that was confirmed at that moment:
//! whatever anybody had been told before the read arrived is in the answer. On Sub it is answered at once, and says its position.

use actix_web::http::header::{CACHE_CONTROL, HeaderName, LINK};
use actix_web::web::{self, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use diesel::QueryResult;
use serde::Deserialize;
use slog::warn;
use tokio::time::{Instant, sleep, timeout_at};

use super::format::{Format, csv, json};
use super::problem::Problem;
use super::{Console, POSITION, limits};
use crate::ledger::analysis::{self, LedgerFilter, Lines, Page};
use crate::ledger::calendar::day_from_text;
use crate::model::{Mode, Position, Role, Sequence};
use crate::store::{StoreConnection, StoreError};

const TERMINAL: HeaderName = HeaderName::from_static("x-duplex-terminal");
const KEY: HeaderName = HeaderName::from_static("x-duplex-key");
const AT_LEAST: HeaderName = HeaderName::from_static("x-duplex-at-least");
const MAX_LAG_MS: HeaderName = HeaderName::from_static("x-duplex-max-lag-ms");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Members {
    after: Option<i64>,
    limit: Option<u32>,
    format: Option<Format>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accounts {
    member: Option<i64>,
    after: Option<i64>,
    limit: Option<u32>,
    format: Option<Format>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    day: Option<String>,
    account: Option<i64>,
    after: Option<i64>,
    limit: Option<u32>,
    format: Option<Format>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    format: Option<Format>,
}

type Answered = Result<HttpResponse, Problem>;

pub(super) async fn members(console: Data<Console>, request: HttpRequest, query: Query<Members>) -> Answered {
    let page = page(query.after, query.limit)?;
    console.answer(&request, query.format, move |conn| analysis::members(conn, page).map(Some)).await
}

pub(super) async fn member(console: Data<Console>, request: HttpRequest, no: Path<i64>, query: Query<One>) -> Answered {
    console.answer(&request, query.format, move |conn| analysis::member(conn, *no)).await
}

pub(super) async fn accounts(console: Data<Console>, request: HttpRequest, query: Query<Accounts>) -> Answered {
    let (page, member_no) = (page(query.after, query.limit)?, query.member);
    console.answer(&request, query.format, move |conn| analysis::accounts(conn, member_no, page).map(Some)).await
}

pub(super) async fn ledger(console: Data<Console>, request: HttpRequest, query: Query<Ledger>) -> Answered {
    let page = page(query.after, query.limit)?;
    let filter = LedgerFilter { day: query.day.as_deref().map(day).transpose()?, account_id: query.account };
    console.answer(&request, query.format, move |conn| analysis::ledger(conn, filter, page).map(Some)).await
}

pub(super) async fn totals(console: Data<Console>, request: HttpRequest, date: Path<String>, query: Query<One>) -> Answered {
    let day = day(&date)?;
    console.answer(&request, query.format, move |conn| analysis::day_totals(conn, day)).await
}

fn page(after: Option<i64>, limit: Option<u32>) -> Result<Page, Problem> {
    let limit = limit.unwrap_or(limits::LINES);
    if !(1..=limits::LINES_MAX).contains(&limit) {
        return Err(Problem::bad_request(format_args!("limit: {limit} given, expected 1 to {}", limits::LINES_MAX)));
    }
    Ok(Page { after, limit: i64::from(limit) })
}

fn day(text: &str) -> Result<i32, Problem> {
    day_from_text(text).ok_or_else(|| Problem::bad_request("day: expected a date such as 2026-07-01"))
}

/// What a read asks for in its headers.
struct Wanted {
    terminal: String,
    key: String,
    at_least: Sequence,
    max_lag_ms: Option<u64>,
}

impl Wanted {
    fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let text = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (Some(terminal), Some(key)) = (text(&TERMINAL), text(&KEY)) else { return Err(Problem::no_terminal()) };
        let at_least = Sequence(number(request, &AT_LEAST)?.unwrap_or(0));
        Ok(Self { terminal, key, at_least, max_lag_ms: number(request, &MAX_LAG_MS)? })
    }
}

fn number(request: &HttpRequest, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(value) = request.headers().get(name) else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Problem::bad_request(format_args!("header {name}: expected a whole number")))
}

impl Console {
    /// Reads when and as far as the request asks for, and writes the lines in the format that it asks for.
    async fn answer<F>(&self, request: &HttpRequest, format: Option<Format>, read: F) -> Answered
    where
        F: FnOnce(&mut StoreConnection) -> QueryResult<Option<Lines>> + Send + 'static,
    {
        let wanted = Wanted::read(request)?;
        let _turn = self.reads.try_acquire().map_err(|_| Problem::busy())?;
        self.until_answerable(&wanted).await?;
        let (position, lines) = self.read(wanted, read).await?;
        let format = Format::of(format, request);
        let next = lines.next.map(|after| next_page(request, after));
        let body = match format {
            Format::Json => json(position, &lines, next.as_deref()).map_err(|_| Problem::internal())?.into_bytes(),
            Format::Csv => csv(&lines).map_err(|_| Problem::internal())?,
        };
        let mut response = HttpResponse::Ok();
        response.content_type(format.content_type()).insert_header((POSITION, position_text(position)));
        // Names and addresses belong in no cache on the way.
        response.insert_header((CACHE_CONTROL, "no-store"));
        if let Some(next) = next {
            response.insert_header((LINK, format!("<{next}>; rel=\"next\"")));
        }
        Ok(response.body(body))
    }

    /// Waits, bounded, until this server may answer and its store has what the answer must hold.
    async fn until_answerable(&self, wanted: &Wanted) -> Result<(), Problem> {
        let deadline = Instant::now() + limits::READ_LIMIT;
        let view = self.shown.view();
        let (mode, role) = view.standing.map_or((Mode::Starting, Role::None), |standing| (standing.mode, standing.role));
        match (mode, role) {
            (Mode::Pair | Mode::Solo, Role::Main) => {
                let proven = timeout_at(deadline, (self.prove_main)()).await;
                if !matches!(proven, Ok(Ok(()))) {
                    return Err(Problem::not_serving(Mode::Suspended));
                }
                // Looked at after the proof, not at arrival: a server that has just become Main learns by it what was confirmed.
                let confirmed = self.board.confirmed();
                if wanted.at_least > confirmed {
                    return Err(Problem::not_in_history(confirmed, wanted.at_least));
                }
                self.until_applied(confirmed, deadline).await
            }
            (Mode::Pair, Role::Sub) => {
                self.until_applied(wanted.at_least, deadline).await?;
                let age_ms = (self.freshness)();
                match wanted.max_lag_ms {
                    Some(most) if age_ms.is_none_or(|age| age > most) => Err(Problem::not_fresh(age_ms, most)),
                    _ => Ok(()),
                }
            }
            (mode, _) => Err(Problem::not_serving(mode)),
        }
    }

    async fn until_applied(&self, wanted: Sequence, deadline: Instant) -> Result<(), Problem> {
        loop {
            let applied = self.board.applied();
            if applied >= wanted {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Problem::behind(applied, wanted));
            }
            sleep(limits::APPLIED_POLL).await;
        }
    }

    /// Who asks is checked in the same transaction that answers.
    async fn read<F>(&self, wanted: Wanted, read: F) -> Result<(Position, Lines), Problem>
    where
        F: FnOnce(&mut StoreConnection) -> QueryResult<Option<Lines>> + Send + 'static,
    {
        let store = self.store.clone();
        let done = web::block(move || {
            store.read(|position, conn| match analysis::refuse_reader(conn, &wanted.terminal, &wanted.key)? {
                Some(code) => Ok(Err(Problem::refused(code))),
                None => Ok(read(conn)?.map(|lines| (position, lines)).ok_or_else(Problem::no_such_row)),
            })
        });
        match done.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                warn!(self.log, "a read failed"; "reason" => error.to_string());
                Err(match error {
                    StoreError::Away { .. } | StoreError::Locked { .. } | StoreError::Full { .. } => Problem::store_away(),
                    _ => Problem::internal(),
                })
            }
            // It panicked: the panic hook has told where.
            Err(_) => Err(Problem::internal()),
        }
    }
}

pub(super) fn position_text(position: Position) -> String {
    format!("{}/{}", position.epoch.0, position.sequence.0)
}

/// The request's own path and parameters, further on.
fn next_page(request: &HttpRequest, after: i64) -> String {
    let kept = request.query_string().split('&').filter(|part| !part.is_empty() && !part.starts_with("after="));
    let parameters: Vec<_> = kept.map(str::to_owned).chain([format!("after={after}")]).collect();
    format!("{}?{}", request.path(), parameters.join("&"))
}
