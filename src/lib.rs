//! duplex: two Linux servers, one database service that keeps going when either dies.

pub mod cli;
pub mod config;
pub mod ledger;
pub mod model;
pub mod wire;
