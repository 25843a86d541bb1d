//! What the status endpoint, metrics and answers show of this server, written by the control actors whenever it changes.

use std::net::IpAddr;
use std::sync::Mutex;

use super::locked;
use crate::config::limits;
use crate::model::{Complaints, Epoch, Mode, Moment, Register, Role, Standing, UnixMs};

/// Words of [`View::peer_lost`] for a peer that is not heard.
pub const DEAD: &str = "dead";
pub const SILENT: &str = "silent";

#[derive(Debug, Default)]
pub struct Shown {
    inner: Mutex<View>,
}

/// One consistent look.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub standing: Option<Standing>,
    /// Wall clock when role, mode or epoch last changed.
    pub since: UnixMs,
    pub peer: Option<Standing>,
    /// What ails this server, and the peer by its last heartbeat.
    pub complaints: Complaints,
    pub peer_complaints: Complaints,
    /// Ill, and said so to the peer, which shall go on without this server.
    pub leaves: bool,
    pub peer_silence_ms: u64,
    /// Why the peer counts as lost, if it does; for people.
    pub peer_lost: Option<&'static str>,
    /// Heartbeat paths that are silent while another one is heard, or all of them while the peer is connected.
    pub silent_paths: Vec<String>,
    pub arbiter_heard: Option<Moment>,
    pub arbiter_error: Option<String>,
    /// It answered that it will not decide.
    pub arbiter_refuses: bool,
    pub register: Option<Register>,
    /// When the register's holder came to hold it, as far as the arbiter has told: that epoch, and the date.
    pub register_since: Option<(Epoch, UnixMs)>,
    /// Service addresses held here now.
    pub addresses: Vec<IpAddr>,
    /// Hardware addresses of third machines that have lately been seen to claim ours.
    pub conflicts: Vec<String>,
    /// Hardware address behind which this server holds service addresses, and the peer by its last heartbeat.
    pub service_mac: Option<[u8; 6]>,
    pub peer_mac: Option<[u8; 6]>,
    pub last_takeover: Option<Takeover>,
}

/// The last time that this server began to serve alone.
#[derive(Clone, Copy, Debug)]
pub struct Takeover {
    pub at: UnixMs,
    /// From the other one; a Main that lost its Sub carried on.
    pub took_over: bool,
    /// From the loss of the peer to the open gate, milliseconds.
    pub took_ms: u64,
    /// Entries that the lost Main had stored by its last word and this server had not; `async` only, where it acknowledged them.
    pub may_be_lost: Option<u64>,
}

impl View {
    /// Since when the other server has newer data, where the register says that it has.
    pub fn newer_since(&self) -> Option<UnixMs> {
        let (epoch, since) = self.register_since?;
        self.register.filter(|register| register.epoch == epoch).map(|_| since)
    }
}

impl Shown {
    pub fn view(&self) -> View {
        locked(&self.inner).clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut View)) {
        change(&mut locked(&self.inner));
    }

    /// Whether the arbiter answered the last time, and not long ago. Everybody hears it every two seconds.
    pub fn arbiter_answers(&self, now: Moment) -> bool {
        let view = locked(&self.inner);
        view.arbiter_error.is_none() && view.arbiter_heard.is_some_and(|heard| now.since(heard) <= limits::ARBITER_SILENT_MS)
    }

    /// The peer's last word, if nothing says that it is gone.
    pub fn heard_peer(&self) -> Option<Standing> {
        let view = locked(&self.inner);
        view.peer.filter(|_| !matches!(view.peer_lost, Some(DEAD | SILENT)))
    }

    pub fn arbiter_heard(&self) -> Option<Moment> {
        locked(&self.inner).arbiter_heard
    }

    pub fn service_mac(&self) -> Option<[u8; 6]> {
        locked(&self.inner).service_mac
    }

    /// A peer that has just started does not know its own yet: what was known stays.
    pub fn set_peer_mac(&self, mac: Option<[u8; 6]>) {
        if mac.is_some() {
            locked(&self.inner).peer_mac = mac;
        }
    }

    pub fn peer_mac(&self) -> Option<[u8; 6]> {
        locked(&self.inner).peer_mac
    }

    pub fn mode(&self) -> Mode {
        locked(&self.inner).standing.map_or(Mode::Starting, |standing| standing.mode)
    }

    pub fn role(&self) -> Role {
        locked(&self.inner).standing.map_or(Role::None, |standing| standing.role)
    }
}
