//! duplex: two Linux servers, one database service that keeps going when either dies.

pub mod journal;
pub mod ledger;
pub mod model;
pub mod wire;
