//! duplex: two Linux servers, one database service that keeps going when either dies.

pub mod clock;
pub mod config;
pub mod handover;
pub mod ledger;
pub mod machines;
pub mod model;
pub mod wire;
