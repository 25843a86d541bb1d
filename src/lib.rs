//! duplex: two Linux servers, one database service that keeps going when either dies.

pub mod arbiter;
pub mod config;
pub mod ledger;
pub mod model;
pub mod telemetry;
pub mod wire;
