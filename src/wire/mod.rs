//! What travels between the two servers and from terminals: frames (pure), the peer link, heartbeats, the terminal line protocol.

pub mod frames;
