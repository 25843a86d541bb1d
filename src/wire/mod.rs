//! What travels between the two servers and from terminals.
//!
//! - The peer link: `frames` (what is said), `codec` (as bytes), `link` and `listener` (over TLS), `life` (is the peer's process dead?).
//! - Strangers, here and at the witness: `handshakes` (how many are unfinished), `knocks` (how much is told of them).
//! - Heartbeats: `heartbeat` (as bytes), `hearing` (which ones count), `paths` (sockets).
//! - Terminals: `terminal` (requests), `answer`, `lines`.
//! - The box's own user: `orders`.
//! - Who is who: `pki` (made by `duplex init`), `identity` (files of one box), `trust` (whom to believe), `tls` (settings),
//!   `names` (what people call the two), `first_register` (what an empty witness takes).
//!
//! **Invariant:** nothing here decides anything about roles, modes or epochs, and nothing here reads a wall clock.

mod answer;
pub mod codec;
pub mod first_register;
pub mod frames;
pub mod handshakes;
pub mod hearing;
pub mod heartbeat;
pub mod identity;
pub mod knocks;
pub mod life;
pub mod lines;
pub mod link;
pub mod listener;
pub mod names;
pub mod orders;
pub mod paths;
pub mod pki;
pub mod refusal;
pub mod terminal;
pub mod tls;
pub mod trust;
