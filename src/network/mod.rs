//! Address takeover on the local network: who answers for a service address, and how the neighbours learn of it.
//!
//! [`Aliases`] puts a service address on an interface with an expiry that the kernel enforces; [`Segment`] tells the
//! neighbours, by ARP and by neighbour advertisements, at the moments that [`Announcing`] names, and hears who else claims the address.
//! Nothing here decides: whether this server may hold an address is the caller's knowledge.
//!
//! **Invariant:** nothing else of this project is imported here, and no type of pnet or rtnetlink leaves this module.

mod aliases;
mod error;
mod ethernet;
mod frame;
mod ndp;
mod ndp_port;
mod neighbours;
mod netlink;
mod news;
mod port;
mod schedule;
mod segment;
mod sighting;

pub use aliases::{Aliases, Held, Was};
pub use error::NetworkError;
pub use frame::{ArpFrame, Mac, Operation};
pub use ndp::{NdpFrame, NdpMessage};
pub use ndp_port::NdpPort;
pub use neighbours::{NEIGHBOUR_COUNT_MAX, Neighbours};
pub use news::{AddressNews, Listening, NEWS_LEN_MAX, watch_addresses};
pub use port::ArpPort;
pub use schedule::{Announcing, next_announcement};
pub use segment::Segment;
pub use sighting::{Said, Sighting};
