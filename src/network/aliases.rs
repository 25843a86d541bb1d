//! Service addresses as aliases on an interface, held only as long as somebody keeps refreshing them.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, CacheInfo};

use super::{NetworkError, netlink::Netlink};

/// The kernel's IFNAMSIZ without its closing zero.
const LABEL_LEN_MAX: usize = 15;
/// A longer lifetime is no fence any more; the lease that allows an address is of a few seconds.
const LIFETIME_MAX: Duration = Duration::from_secs(60);
/// How the kernel writes "until it is removed".
const FOR_EVER_S: u32 = u32::MAX;

/// Adds, refreshes and removes aliases. Needs CAP_NET_ADMIN; the network namespace is the opening thread's.
///
/// Interfaces are resolved by name at each call, so one that was re-created is found again.
pub struct Aliases {
    netlink: Netlink,
}

/// How an address was found that is now held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// Away, or here and well.
    Well,
    /// Here, and no use: IPv6 had found it at another station, or had not finished looking. It was added anew.
    Disabled,
}

/// An address that an interface has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub address: IpAddr,
    pub prefix_len: u8,
    /// IPv4 only.
    pub label: String,
    /// Whether the kernel made a route to the subnet from it.
    pub prefix_route: bool,
    /// Until the kernel removes it, in whole seconds; `None` if it stays until somebody removes it.
    pub expires_in: Option<Duration>,
}

impl Aliases {
    /// Must be called inside a tokio runtime, which then carries the conversation with the kernel.
    ///
    /// # Errors
    /// `Failed` when the kernel gives no netlink socket.
    pub fn open() -> Result<Self, NetworkError> {
        let netlink = Netlink::open().map_err(|cause| NetworkError::failed("open netlink", "every interface", cause))?;
        Ok(Self { netlink })
    }

    /// Puts `address` on the interface, or renews its lifetime if it is there. `label` is for IPv4.
    ///
    /// From now on the kernel removes it after `lifetime`, whatever becomes of this process: 0.1 s to 0.3 s later
    /// on a processor that is awake. Since Linux 6.13 it wakes no idle one for that: 1.04 s were seen. The kernel counts whole
    /// seconds, and a fence must not last longer than asked for, so a fraction is cut off.
    ///
    /// # Errors
    /// `BadAlias` for a lifetime outside 1 s to 60 s, a label that is empty or above 15 bytes, or an address that no
    /// host can have; `NoInterface`; `Failed`.
    pub async fn add_or_refresh(
        &self,
        interface: &str,
        address: IpAddr,
        lifetime: Duration,
        label: &str,
    ) -> Result<Was, NetworkError> {
        if let Some(reason) = why_impossible(address, lifetime, label) {
            return Err(NetworkError::BadAlias { address, interface: interface.to_owned(), reason });
        }
        let was = if address.is_ipv6() { self.clear_disabled(interface, address).await? } else { Was::Well };
        let index = self.netlink.index(interface).await?;
        let mut request = self.netlink.handle.address().add(index, address, host_prefix_len(address)).replace();
        let message = request.message_mut();
        // Without a prefix route the choice of source addresses stays as it was.
        let mut flags = AddressFlags::Noprefixroute;
        match address {
            IpAddr::V4(_) => message.attributes.push(AddressAttribute::Label(label.to_owned())),
            // Whether it may be here is not for a question to the segment to say, which would cost a second.
            IpAddr::V6(_) => flags |= AddressFlags::Nodad,
        }
        message.attributes.extend([AddressAttribute::Flags(flags), AddressAttribute::CacheInfo(lasting(lifetime))]);
        self.netlink.answer(&format!("add {address}"), interface, request.execute()).await?;
        Ok(was)
    }

    /// An IPv6 address that somebody added without `nodad` may be disabled for good, and renewing it would leave it so.
    async fn clear_disabled(&self, interface: &str, address: IpAddr) -> Result<Was, NetworkError> {
        let found = self.addresses_of(interface).await?;
        match found.iter().find(|message| host_of(message) == Some(address)) {
            Some(message) if is_disabled(message) => {
                self.remove(interface, address).await?;
                Ok(Was::Disabled)
            }
            Some(_) | None => Ok(Was::Well),
        }
    }

    /// Removes `address` from the interface, under whatever prefix it is there; done already if it, or the interface, is gone.
    ///
    /// # Errors
    /// `Failed` when the kernel refuses; the address may still be there.
    pub async fn remove(&self, interface: &str, address: IpAddr) -> Result<(), NetworkError> {
        let found = match self.addresses_of(interface).await {
            Err(NetworkError::NoInterface { .. }) => return Ok(()),
            found => found?,
        };
        for message in found.into_iter().filter(|message| host_of(message) == Some(address)) {
            let request = self.netlink.handle.address().del(message).execute();
            match self.netlink.answer(&format!("remove {address}"), interface, request).await {
                Err(error) if !means_gone(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the interface has `address`, under whatever prefix.
    ///
    /// # Errors
    /// `NoInterface`, `Failed`.
    pub async fn holds(&self, interface: &str, address: IpAddr) -> Result<bool, NetworkError> {
        Ok(self.list(interface).await?.iter().any(|held| held.address == address))
    }

    /// All addresses of the interface.
    ///
    /// # Errors
    /// `NoInterface`, `Failed`.
    pub async fn list(&self, interface: &str) -> Result<Vec<Held>, NetworkError> {
        Ok(self.addresses_of(interface).await?.iter().filter_map(read_held).collect())
    }

    /// Whether the interface is switched on and its cable alive.
    ///
    /// # Errors
    /// `NoInterface`, `Failed`.
    pub async fn carrier(&self, interface: &str) -> Result<bool, NetworkError> {
        self.netlink.carrier(interface).await
    }

    /// The default gateway behind the interface, if the routing table has one: it must learn of a takeover too.
    ///
    /// # Errors
    /// `NoInterface`, `Failed`.
    pub async fn gateway(&self, interface: &str) -> Result<Option<Ipv4Addr>, NetworkError> {
        self.netlink.gateway(interface).await
    }

    async fn addresses_of(&self, interface: &str) -> Result<Vec<AddressMessage>, NetworkError> {
        let index = self.netlink.index(interface).await?;
        let request = self.netlink.handle.address().get().set_link_index_filter(index);
        self.netlink.collect("list the addresses", interface, request.execute()).await
    }
}

/// An alias is a host, never a network: of a wider prefix the kernel would delete it together with the subnet's first address.
fn host_prefix_len(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Still looked for on the segment, or found there (`dadfailed`).
fn is_disabled(message: &AddressMessage) -> bool {
    let disabled = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    message.header.flags.intersects(disabled)
}

fn why_impossible(address: IpAddr, lifetime: Duration, label: &str) -> Option<String> {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || is_broadcast || address.is_loopback() {
        return Some("no host on a network can have this address".to_owned());
    }
    if lifetime < Duration::from_secs(1) || lifetime > LIFETIME_MAX {
        return Some(format!("the lifetime {lifetime:?} is not within 1 s and {LIFETIME_MAX:?}"));
    }
    if label.is_empty() || label.len() > LABEL_LEN_MAX || label.contains('\0') {
        return Some(format!("the label {label:?} is not 1 to {LABEL_LEN_MAX} bytes of text"));
    }
    None
}

fn lasting(lifetime: Duration) -> CacheInfo {
    let seconds = u32::try_from(lifetime.as_secs()).expect("checked to be at most a minute");
    let mut times = CacheInfo::default();
    times.ifa_valid = seconds;
    // Preferred as long as valid: a deprecated address would not be used for answers any more.
    times.ifa_preferred = seconds;
    times
}

/// Somebody else, or the end of its lifetime, was quicker.
fn means_gone(error: &NetworkError) -> bool {
    match error {
        NetworkError::NoInterface { .. } => true,
        NetworkError::Failed { cause, .. } => cause.kind() == std::io::ErrorKind::AddrNotAvailable,
        NetworkError::NotEthernet { .. } | NetworkError::BadAlias { .. } => false,
    }
}

/// The interface's own address: `Address` would be the other end on a point-to-point link.
/// IPv6 says `Local` there only.
pub(super) fn host_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let of_ipv6 = || {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) if address.is_ipv6() => Some(*address),
            _ => None,
        })
    };
    local.or_else(of_ipv6)
}

fn read_held(message: &AddressMessage) -> Option<Held> {
    let mut held = Held {
        address: host_of(message)?,
        prefix_len: message.header.prefix_len,
        label: String::new(),
        prefix_route: true,
        expires_in: None,
    };
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Label(label) => held.label.clone_from(label),
            AddressAttribute::Flags(flags) => held.prefix_route = !flags.contains(AddressFlags::Noprefixroute),
            AddressAttribute::CacheInfo(times) if times.ifa_valid != FOR_EVER_S => {
                held.expires_in = Some(Duration::from_secs(times.ifa_valid.into()));
            }
            _ => {}
        }
    }
    Some(held)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn an_alias_that_cannot_work_is_refused_with_the_reason() {
        let second = Duration::from_secs(1);
        let table = [
            (Ipv4Addr::UNSPECIFIED.into(), second, "eth0:main", "no host"),
            (Ipv4Addr::BROADCAST.into(), second, "eth0:main", "no host"),
            (Ipv4Addr::LOCALHOST.into(), second, "eth0:main", "no host"),
            (Ipv4Addr::new(224, 0, 0, 1).into(), second, "eth0:main", "no host"),
            (Ipv6Addr::UNSPECIFIED.into(), second, "eth0:main", "no host"),
            (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(), second, "eth0:main", "no host"),
            (HOST, Duration::from_millis(999), "eth0:main", "lifetime 999ms"),
            (HOST, Duration::from_millis(60_001), "eth0:main", "lifetime 60.001s"),
            (HOST, second, "", "label \"\""),
            (HOST, second, "enp0s31f6:dxmain", "label \"enp0s31f6:dxmain\""),
            (HOST, second, "a\0b", "label"),
        ];
        for (address, lifetime, label, reason) in table {
            let refused = why_impossible(address, lifetime, label).expect("it is impossible");
            assert!(refused.contains(reason), "{refused} does not say {reason}");
        }
        assert_eq!(why_impossible(HOST, second, "eth0:main"), None);
    }

    #[test]
    fn a_fraction_of_a_second_never_makes_the_fence_last_longer() {
        assert_eq!(lasting(Duration::from_millis(2_999)).ifa_valid, 2);
    }
}
