//! Is an address free? (RFC 5227)

use std::{net::Ipv4Addr, time::Duration};

use tokio::time::timeout;

use super::{ArpPort, Mac, NetworkError};

/// Probes sent before an address counts as free, as RFC 5227 says: one or two may be lost.
pub const PROBE_COUNT: u32 = 3;
/// The RFC waits 1 s to 2 s after each, for slow wireless networks; on a wired segment answers come within milliseconds, and
/// 1.5 s in all is what a takeover without a grant may cost.
pub const PROBE_SPACING: Duration = Duration::from_millis(500);

/// What the probes found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupancy {
    /// Nobody answered any probe.
    Free,
    /// A station with this Ethernet address has the address, or is probing for it at the same time.
    TakenBy(Mac),
}

/// Probes for `address` and waits `spacing` for an answer after each probe: free after `probes * spacing`, taken at once.
///
/// It reads the port; who listens there at the same time should open a second port for the probe.
///
/// # Errors
/// As [`ArpPort::announce`].
pub async fn probe_free(port: &ArpPort, address: Ipv4Addr, probes: u32, spacing: Duration) -> Result<Occupancy, NetworkError> {
    for _ in 0..probes {
        port.probe(address)?;
        if let Ok(rival) = timeout(spacing, rival_for(port, address)).await {
            return Ok(Occupancy::TakenBy(rival?));
        }
    }
    Ok(Occupancy::Free)
}

async fn rival_for(port: &ArpPort, address: Ipv4Addr) -> Result<Mac, NetworkError> {
    loop {
        let frame = port.next().await?;
        if frame.claims(address) || frame.probes(address) {
            return Ok(frame.sender_mac);
        }
    }
}
