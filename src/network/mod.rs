//! Address takeover on the local network: who answers for a service address, and how the neighbours learn of it.
//!
//! [`Aliases`] puts a service address on an interface with an expiry that the kernel enforces; [`ArpPort`] tells the
//! neighbours, at the moments that [`next_announcement`] names, and hears who else claims the address.
//! Nothing here decides: whether this server may hold an address is the caller's knowledge. IPv4 only; the neighbour
//! advertisements of IPv6 belong beside [`ArpPort`], in a port of their own with the same schedule.
//!
//! **Invariant:** nothing else of this project is imported here, and no type of pnet or rtnetlink leaves this module.

mod aliases;
mod error;
mod frame;
mod neighbours;
mod netlink;
mod news;
mod port;
mod probe;
mod schedule;

pub use aliases::{Aliases, Held};
pub use error::NetworkError;
pub use frame::{ArpFrame, Mac, Operation};
pub use neighbours::{NEIGHBOUR_COUNT_MAX, Neighbours};
pub use news::{AddressNews, Listening, NEWS_LEN_MAX, watch_addresses};
pub use port::ArpPort;
pub use probe::{Occupancy, PROBE_COUNT, PROBE_SPACING, probe_free};
pub use schedule::next_announcement;
