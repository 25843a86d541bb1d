//! What a real running pair does with bad input, crowds, strangers and broken files: a clear answer or a clean close, and nobody
//! else is harmed.

#![allow(clippy::unwrap_used)]

#[path = "support/pair.rs"]
mod pair;

#[path = "support/postgres.rs"]
mod postgres;

#[path = "abuse/behind.rs"]
mod behind;
#[path = "abuse/crowds.rs"]
mod crowds;
#[path = "abuse/imports.rs"]
mod imports;
#[path = "abuse/lines.rs"]
mod lines;
#[path = "abuse/link.rs"]
mod link;
#[path = "abuse/orders.rs"]
mod orders;
#[path = "abuse/requests.rs"]
mod requests;
#[path = "abuse/starts.rs"]
mod starts;
#[path = "abuse/stores.rs"]
mod stores;
