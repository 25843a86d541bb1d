//! The last act of a server that leaves: its addresses go, whatever state its actors are in.

use std::time::Duration;

use crate::actors::address_keeper::ServiceAddresses;
use crate::machines::failover::AddressSet;
use crate::network::Aliases;

/// The kernel's own expiry follows within about two seconds; longer than that nothing here may take.
const LIMIT: Duration = Duration::from_millis(500);

/// Removes all service addresses, on a thread and runtime of its own.
pub(super) fn now(addresses: Option<&ServiceAddresses>) {
    let Some(addresses) = addresses.cloned() else { return };
    let work = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            // A failure leaves it to the kernel's expiry.
            let _ = tokio::time::timeout(LIMIT, async {
                let Ok(aliases) = Aliases::open() else { return };
                for address in addresses.of(AddressSet::Both) {
                    let _ = aliases.remove(&addresses.interface, address).await;
                }
            })
            .await;
        });
    };
    let _ = std::thread::spawn(work).join();
}
