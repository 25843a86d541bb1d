//! The built-in application: a member stored-value ledger. Neutral words here; a site's own words are a profile.

pub mod rows;
pub mod tables;
