//! duplex: two Linux servers, one database service that keeps going when either dies.

pub mod actors;
pub mod arbiter;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod handover;
pub mod journal;
pub mod layout;
pub mod ledger;
pub mod machines;
pub mod model;
pub mod network;
pub mod run;
pub mod schema;
pub mod store;
pub mod telemetry;
pub mod wire;
