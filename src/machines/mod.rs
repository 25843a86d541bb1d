//! Pure decisions: no clock, no I/O, no randomness. Time and results come in as arguments, what to do goes out as data.
//!
//! The same code is table-tested here, can be explored by a model checker, and runs in production under `actors`.

pub mod admission;
pub mod failover;
pub mod health;
pub mod occupancy;
pub mod paths;
pub mod relief;
pub mod stream;
