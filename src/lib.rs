//! duplex: two Linux servers, one database service that keeps going when either dies.

pub mod ledger;
pub mod model;
pub mod schema;
pub mod store;
