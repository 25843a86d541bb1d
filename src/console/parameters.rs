//! What a read may ask for in its path and its query. Taken as text and read here by name: the library's own words for a number that is none
//! name neither the parameter nor what it takes.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::error::QueryPayloadError;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::format::Format;
use super::limits;
use super::problem::Problem;
use crate::ledger::analysis::Page;
use crate::ledger::calendar::day_from_text;

/// A query's parameters; any other is refused by name.
pub(super) struct Parameters<T>(T);

impl<T> Deref for Parameters<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Parameters<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = Query::<T>::from_query(request.query_string());
        ready(read.map(|query| Self(query.into_inner())).map_err(|error| match error {
            QueryPayloadError::Deserialize(why) => Problem::bad_request(format_args!("query: {why}")),
            other => Problem::bad_request(other),
        }))
    }
}

/// No parameter at all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    pub format: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Members {
    pub after: Option<String>,
    pub limit: Option<String>,
    pub format: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accounts {
    pub member: Option<String>,
    pub after: Option<String>,
    pub limit: Option<String>,
    pub format: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    pub day: Option<String>,
    pub account: Option<String>,
    pub after: Option<String>,
    pub limit: Option<String>,
    pub format: Option<String>,
}

pub(super) fn page(after: Option<&str>, limit: Option<&str>) -> Result<Page, Problem> {
    let after = after.map(|text| whole_number("after", text)).transpose()?;
    let limit = limit.map_or(Ok(i64::from(limits::LINES)), |text| text.parse().ok().filter(is_a_limit).ok_or(text));
    let limit = limit.map_err(|text| bad("limit", text, format_args!("a whole number, 1 to {}", limits::LINES_MAX)))?;
    Ok(Page { after, limit })
}

fn is_a_limit(lines: &i64) -> bool {
    (1..=i64::from(limits::LINES_MAX)).contains(lines)
}

pub(super) fn format(text: Option<&str>) -> Result<Option<Format>, Problem> {
    let Some(text) = text else { return Ok(None) };
    Format::named(text).map(Some).ok_or_else(|| bad("format", text, "json or csv"))
}

pub(super) fn day(name: &str, text: &str) -> Result<i32, Problem> {
    day_from_text(text).ok_or_else(|| bad(name, text, "a date such as 2026-07-01"))
}

pub(super) fn whole_number(name: &str, text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| bad(name, text, "a whole number"))
}

fn bad(name: &str, given: &str, expected: impl std::fmt::Display) -> Problem {
    Problem::bad_request(format_args!("{name}: {given:?} given, expected {expected}"))
}
