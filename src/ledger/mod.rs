//! The built-in application: a member stored-value ledger. Neutral words here; a site's own words are a profile.
//!
//! `commands` holds one file for each command and the table of them; `checks` the order of refusals; `call` what a command may
//! do to the rows; `rows` the tables. Everything is a pure function of the request, the rows by key and the time that Main gives.

use std::sync::Arc;

use crate::model::application::{Day, PairCode};
use crate::model::{Application, Bad, Draft, Request, Response, Rows, Status, TerminalId, Unavailable, UnixMs, Verdict};

pub mod analysis;
pub mod answers;
pub mod calendar;
pub mod call;
pub mod chain;
pub mod checks;
pub mod commands;
pub mod fields;
pub mod invariants;
pub mod members;
pub mod query;
pub mod reads;
pub mod rows;
pub mod sample;
pub mod secrets;
pub mod session;
pub mod site;
pub mod tables;
pub mod texts;
pub mod words;
pub mod worth;

use call::{Call, Outcome, Stop};
use commands::Command;
use query::{Found, Query};
use rows::Row;
pub use secrets::Secrets;
pub use site::{SiteDefinition, genesis};

/// The application. Cheap to clone: every thread that executes or parses has its own.
#[derive(Clone, Debug)]
pub struct Ledger {
    secrets: Arc<Secrets>,
}

impl Ledger {
    /// Both servers of a pair must be given the same secrets.
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets: Arc::new(secrets) }
    }
}

impl Application for Ledger {
    type Row = Row;
    type Command = Command;
    type Query = Query;
    type Found = Found;

    fn parse(&self, name: &str, body: &str) -> Result<Command, Bad> {
        Command::parse(name, body)
    }

    fn is_slow(&self, name: &str) -> bool {
        name == "sign_in"
    }

    fn prepare(&self, _name: &str, body: &str) -> Result<String, Bad> {
        commands::sign_in::derive(body, &self.secrets)
    }

    fn may_prepare(&self, terminal: &TerminalId, key: &str, rows: &mut dyn Rows<Row>) -> Result<bool, Unavailable> {
        Ok(checks::identify(terminal, key, &mut Draft::new(rows))?.is_none())
    }

    fn unprepared(&self, _name: &str, body: &str) -> Result<String, Bad> {
        commands::sign_in::without_password(body)
    }

    fn identify(&self, request: &Request<Command>, rows: &mut dyn Rows<Row>) -> Result<Option<Response>, Unavailable> {
        let refused = checks::identify(&request.terminal_id, &request.key, &mut Draft::new(rows))?;
        Ok(refused.map(|code| texts::Refusal::from(code).response()))
    }

    fn name(&self, command: &Command) -> &'static str {
        command.spec().name
    }

    fn changes_data(&self, command: &Command) -> bool {
        command.changes_data()
    }

    fn execute(
        &self,
        request: &Request<Command>,
        found: Option<&Found>,
        draft: &mut Draft<'_, Row>,
        now: UnixMs,
    ) -> Result<Verdict<Query>, Unavailable> {
        let response = match run(&self.secrets, request, found, draft, now) {
            Ok(Outcome::Ask(query)) => return Ok(Verdict::Query(query)),
            Ok(Outcome::Done(body)) => done(body),
            Err(Stop::Refused(refusal)) => refusal.response(),
            Err(Stop::Unavailable(unavailable)) => return Err(unavailable),
        };
        Ok(if request.command.changes_data() { Verdict::Store(response) } else { Verdict::Answer(response) })
    }

    fn day(&self, rows: &mut dyn Rows<Row>) -> Result<Day, Unavailable> {
        let site = reads::site(&mut Draft::new(rows))?;
        Ok(Day { current: site.current_day, records_kept_from: site.records_kept_from })
    }

    fn refusal(&self, code: PairCode) -> Response {
        texts::of_pair(code)
    }
}

fn run(
    secrets: &Secrets,
    request: &Request<Command>,
    found: Option<&Found>,
    draft: &mut Draft<'_, Row>,
    now: UnixMs,
) -> Result<Outcome, Stop> {
    let mut call = Call::new(secrets, request, found, draft, now)?;
    let spec = request.command.spec();
    let outcome = checks::admit(&mut call, spec).and_then(|()| request.command.execute(&mut call));
    call.finish();
    outcome
}

fn done(body: String) -> Response {
    Response { status: Status::Ok, code: String::new(), text_ja: String::new(), text_en: String::new(), body }
}
