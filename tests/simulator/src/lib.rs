//! Two whole servers in one process, with a clock, disks and a network that a seed rules.
//!
//! What runs is what `duplex serve` is made of: the failover, health, relief and stream machines, the journal with its recovery and its
//! coordination file on disks that keep only what was synced, the tail, the board, the gate and the set of command ids, the frames of
//! the peer link, the filter of heartbeats, and the witness's rules. The simulator's own are the shells of the actors, a small
//! application ([`account`]) with a store in memory, and the terminals.
//!
//! [`World`] plays one [`Plan`]; the [`oracle`] judges P1 to P8 at every answer, and that a world without further faults comes to rest as
//! a pair that has answered everybody. [`Planted`] bugs show that it would see one.
//!
//! Left out: address resolution, TLS, admission, `async`, a person's word, and lost wake-ups between actors.

pub mod account;
mod applier;
mod asking;
mod coordinator;
mod dice;
mod faults;
mod monitor;
mod network;
pub mod oracle;
mod planted;
mod process;
mod receiver;
mod report;
mod sender;
mod server;
mod store;
mod terminals;
mod updater;
mod witness;
mod world;
mod writer;

pub use oracle::Breach;
pub use planted::Planted;
pub use report::Report;
pub use world::{Plan, World};
