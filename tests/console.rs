//! The HTTP interface as its clients see it: a real server on loopback over a store that the store's own apply has filled.

#![allow(clippy::unwrap_used)]

// Shared with the tests of the store, which use all of it.
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/database.rs"]
mod database;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/history.rs"]
mod history;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/postgres.rs"]
mod postgres;

#[path = "console/house.rs"]
mod house;

#[path = "console/commands.rs"]
mod commands;
#[path = "console/description.rs"]
mod description;
#[path = "console/freshness.rs"]
mod freshness;
#[path = "console/reads.rs"]
mod reads;
#[path = "console/status.rs"]
mod status;
