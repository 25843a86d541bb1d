//! What travels between the two servers and from terminals: frames (pure), the peer link, heartbeats, the terminal line protocol.

mod answer;
pub mod codec;
pub mod first_register;
pub mod frames;
pub mod hearing;
pub mod heartbeat;
pub mod identity;
pub mod life;
pub mod lines;
pub mod link;
pub mod listener;
pub mod paths;
pub mod pki;
pub mod refusal;
pub mod terminal;
pub mod tls;
pub mod trust;
