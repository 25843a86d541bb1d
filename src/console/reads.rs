//! Reads for analysis clients: when they may be answered, and from which position.
//!
//! On Main a read first proves that this server is Main, then waits until the store has everything that was confirmed at that moment:
//! whatever anybody had been told before the read arrived is in the answer. On Sub it is answered at once, and says its position.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, LINK};
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use slog::warn;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::format::{Format, csv, json};
use super::parameters::{Accounts, Ledger, Members, One, Parameters, day, format, page, whole_number};
use super::problem::Problem;
use super::{Console, POSITION, limits};
use crate::ledger::analysis::{self, LedgerFilter, Lines};
use crate::model::{Epoch, Mode, Position, Role, Sequence};
use crate::store::{QueryResult, StoreConnection, StoreError};

const TERMINAL: HeaderName = HeaderName::from_static("x-duplex-terminal");
const KEY: HeaderName = HeaderName::from_static("x-duplex-key");
const AT_LEAST: HeaderName = HeaderName::from_static("x-duplex-at-least");
const MAX_LAG_MS: HeaderName = HeaderName::from_static("x-duplex-max-lag-ms");

type Answered = Result<HttpResponse, Problem>;

pub(super) async fn members(console: Data<Console>, request: HttpRequest, query: Parameters<Members>) -> Answered {
    let (page, format) = (page(query.after.as_deref(), query.limit.as_deref())?, format(query.format.as_deref())?);
    console.answer(&request, format, move |conn| analysis::members(conn, page).map(Some)).await
}

pub(super) async fn member(console: Data<Console>, request: HttpRequest, no: Path<String>, query: Parameters<One>) -> Answered {
    let (no, format) = (whole_number("no", &no)?, format(query.format.as_deref())?);
    console.answer(&request, format, move |conn| analysis::member(conn, no)).await
}

pub(super) async fn accounts(console: Data<Console>, request: HttpRequest, query: Parameters<Accounts>) -> Answered {
    let (page, format) = (page(query.after.as_deref(), query.limit.as_deref())?, format(query.format.as_deref())?);
    let member_no = query.member.as_deref().map(|text| whole_number("member", text)).transpose()?;
    console.answer(&request, format, move |conn| analysis::accounts(conn, member_no, page).map(Some)).await
}

pub(super) async fn ledger(console: Data<Console>, request: HttpRequest, query: Parameters<Ledger>) -> Answered {
    let (page, format) = (page(query.after.as_deref(), query.limit.as_deref())?, format(query.format.as_deref())?);
    let day = query.day.as_deref().map(|text| day("day", text)).transpose()?;
    let account_id = query.account.as_deref().map(|text| whole_number("account", text)).transpose()?;
    let filter = LedgerFilter { day, account_id };
    console.answer(&request, format, move |conn| analysis::ledger(conn, filter, page).map(Some)).await
}

pub(super) async fn totals(console: Data<Console>, request: HttpRequest, date: Path<String>, query: Parameters<One>) -> Answered {
    let (day, format) = (day("date", &date)?, format(query.format.as_deref())?);
    console.answer(&request, format, move |conn| analysis::day_totals(conn, day)).await
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
        let at_least = Sequence(position(request)?.unwrap_or(0));
        Ok(Self { terminal, key, at_least, max_lag_ms: number(request, &MAX_LAG_MS)? })
    }
}

fn number(request: &HttpRequest, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(value) = request.headers().get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(whole);
    number.map(Some).ok_or_else(|| Problem::bad_request(format_args!("header {name}: expected a whole number")))
}

/// A sequence alone, or with its epoch as `X-Duplex-Position` gives it. Only the sequence is looked at: what was acknowledged by both
/// servers keeps it.
fn position(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    let Some(value) = request.headers().get(AT_LEAST) else { return Ok(None) };
    let sequence = value.to_str().ok().and_then(|text| match text.split_once('/') {
        Some((epoch, sequence)) => whole(epoch).and(whole(sequence)),
        None => whole(text),
    });
    let expected = "expected a whole number, or epoch/sequence";
    sequence.map(Some).ok_or_else(|| Problem::bad_request(format_args!("header {AT_LEAST}: {expected}")))
}

fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A read may be answered: in this epoch, from this entry on.
#[derive(Clone, Copy)]
struct Ready {
    epoch: Epoch,
    at_least: Sequence,
}

fn refuse_old(age_ms: Option<u64>, most_ms: u64) -> Result<(), Problem> {
    let fresh = age_ms.is_some_and(|age_ms| age_ms <= most_ms);
    if fresh { Ok(()) } else { Err(Problem::not_fresh(age_ms, most_ms)) }
}

impl Console {
    /// Reads when and as far as the request asks for, and writes the lines in the format that it asks for.
    async fn answer<F>(&self, request: &HttpRequest, format: Option<Format>, read: F) -> Answered
    where
        F: FnOnce(&mut StoreConnection) -> QueryResult<Option<Lines>> + Send + 'static,
    {
        let wanted = Wanted::read(request)?;
        let turn = Arc::clone(&self.reads).try_acquire_owned().map_err(|_| Problem::busy())?;
        let ready = self.until_answerable(&wanted).await?;
        let (position, found) = self.read(turn, wanted, read).await?;
        self.refuse_changed(ready, position)?;
        let Some(lines) = found else {
            let mut nothing = Problem::no_such_row().error_response();
            nothing.headers_mut().insert(POSITION, position_header(position));
            return Ok(nothing);
        };
        let format = Format::of(format, request);
        let next = lines.next.map(|after| next_page(request, after));
        let body = match format {
            Format::Json => json(position, &lines, next.as_deref()).map_err(|_| Problem::internal())?.into_bytes(),
            Format::Csv => csv(&lines).map_err(|_| Problem::internal())?,
        };
        let mut response = HttpResponse::Ok();
        response.content_type(format.content_type()).insert_header((POSITION, position_header(position)));
        // Names and addresses belong in no cache on the way.
        response.insert_header((CACHE_CONTROL, "no-store"));
        if let Some(next) = next {
            response.insert_header((LINK, format!("<{next}>; rel=\"next\"")));
        }
        Ok(response.body(body))
    }

    /// Waits, bounded, until this server may answer and its store has what the answer must hold.
    async fn until_answerable(&self, wanted: &Wanted) -> Result<Ready, Problem> {
        let deadline = Instant::now() + limits::READ_LIMIT;
        let (mode, role, epoch) = self.stands();
        let at_least = match (mode, role) {
            (Mode::Pair | Mode::Solo, Role::Main) => self.until_main(wanted.at_least, deadline).await?,
            (Mode::Pair, Role::Sub) => wanted.at_least,
            (mode, _) => return Err(Problem::not_serving(mode)),
        };
        self.until_applied(at_least, deadline).await?;
        match wanted.max_lag_ms {
            Some(most) if role == Role::Sub => refuse_old((self.parts.freshness)(), most)?,
            // Main has just proven that nobody knows more.
            Some(_) | None => {}
        }
        Ok(Ready { epoch, at_least })
    }

    /// Waits for the proof; gives what was confirmed by then, which the answer must hold.
    async fn until_main(&self, at_least: Sequence, deadline: Instant) -> Result<Sequence, Problem> {
        let proven = timeout_at(deadline, (self.parts.prove_main)()).await;
        if !matches!(proven, Ok(Ok(()))) {
            return Err(Problem::not_serving(Mode::Suspended));
        }
        // Looked at after the proof, not at arrival: a server that has just become Main learns by it what was confirmed.
        let confirmed = self.parts.board.confirmed();
        if at_least > confirmed { Err(Problem::not_in_history(confirmed, at_least)) } else { Ok(confirmed) }
    }

    /// While a read waited for its turn this server may have lost its place, and its store may be under repair by now.
    fn refuse_changed(&self, ready: Ready, position: Position) -> Result<(), Problem> {
        let (mode, _, epoch) = self.stands();
        if !matches!(mode, Mode::Pair | Mode::Solo) || epoch != ready.epoch {
            return Err(Problem::not_serving(Mode::Suspended));
        }
        if position.sequence < ready.at_least {
            return Err(Problem::behind(position.sequence, ready.at_least));
        }
        Ok(())
    }

    fn stands(&self) -> (Mode, Role, Epoch) {
        let standing = self.parts.shown.view().standing;
        standing.map_or((Mode::Starting, Role::None, Epoch(0)), |standing| (standing.mode, standing.role, standing.epoch))
    }

    async fn until_applied(&self, wanted: Sequence, deadline: Instant) -> Result<(), Problem> {
        loop {
            let applied = self.parts.board.applied();
            if applied >= wanted {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Problem::behind(applied, wanted));
            }
            sleep(limits::APPLIED_POLL).await;
        }
    }

    /// Who asks is checked in the same transaction that answers. The turn goes along: a read that is given up here still runs there.
    async fn read<F>(&self, turn: OwnedSemaphorePermit, wanted: Wanted, read: F) -> Result<(Position, Option<Lines>), Problem>
    where
        F: FnOnce(&mut StoreConnection) -> QueryResult<Option<Lines>> + Send + 'static,
    {
        let store = self.parts.store.clone();
        let done = web::block(move || {
            let _turn = turn;
            store.read(|position, conn| match analysis::refuse_reader(conn, &wanted.terminal, &wanted.key)? {
                Some(code) => Ok(Err(Problem::refused(code))),
                None => Ok(Ok((position, read(conn)?))),
            })
        });
        match timeout(limits::STORE_LIMIT, done).await {
            Ok(Ok(Ok(found))) => found,
            Ok(Ok(Err(error))) => {
                warn!(self.parts.log, "a read failed"; "reason" => error.to_string());
                Err(match error {
                    StoreError::Away { .. } | StoreError::Locked { .. } | StoreError::Full { .. } => Problem::store_away(),
                    _ => Problem::internal(),
                })
            }
            // It panicked: the panic hook has told where.
            Ok(Err(_)) => Err(Problem::internal()),
            Err(_) => Err(Problem::store_away()),
        }
    }
}

fn position_header(position: Position) -> HeaderValue {
    let text = format!("{}/{}", position.epoch.0, position.sequence.0);
    HeaderValue::try_from(text).expect("digits and a slash stand in any header")
}

/// The request's own path and parameters, further on.
fn next_page(request: &HttpRequest, after: i64) -> String {
    let kept = request.query_string().split('&').filter(|part| !part.is_empty() && !part.starts_with("after="));
    let parameters: Vec<_> = kept.map(str::to_owned).chain([format!("after={after}")]).collect();
    format!("{}?{}", request.path(), parameters.join("&"))
}
