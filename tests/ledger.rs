//! The ledger application over rows in memory.

#![allow(clippy::unwrap_used)]

#[path = "ledger/world.rs"]
mod world;

#[path = "ledger/bodies.rs"]
mod bodies;
#[path = "ledger/cards.rs"]
mod cards;
#[path = "ledger/days.rs"]
mod days;
#[path = "ledger/members.rs"]
mod members;
#[path = "ledger/order.rs"]
mod order;
#[path = "ledger/payouts.rs"]
mod payouts;
#[path = "ledger/random.rs"]
mod random;
#[path = "ledger/site.rs"]
mod site;
#[path = "ledger/strangers.rs"]
mod strangers;
#[path = "ledger/tampering.rs"]
mod tampering;
#[path = "ledger/texts.rs"]
mod texts;
#[path = "ledger/timing.rs"]
mod timing;
#[path = "ledger/value.rs"]
mod value;
