//! The one place where ARP frames leave and arrive.

use std::net::Ipv4Addr;

use pnet::packet::ethernet::EtherTypes;

use super::{
    ArpFrame, Mac, NetworkError,
    ethernet::{EthernetPort, Protocols},
};

/// A socket that sends and hears ARP, and nothing else, on one interface. Needs CAP_NET_RAW.
pub struct ArpPort {
    port: EthernetPort,
}

impl ArpPort {
    /// Opens the socket, once and for long: it blocks the thread for 8 to 30 ms, while the kernel waits for all processors.
    ///
    /// Must be called inside a tokio runtime with I/O. The network namespace is the thread's, at all later calls too.
    ///
    /// # Errors
    /// `NoInterface`, `NotEthernet`, `Failed`.
    pub fn open(interface: &str) -> Result<Self, NetworkError> {
        let arp = Protocols { name: "arp", ethertype: EtherTypes::Arp, filter: vec![] };
        Ok(Self { port: EthernetPort::open(interface, &arp)? })
    }

    /// The Ethernet address that frames are sent from.
    pub fn mac(&self) -> Mac {
        self.port.mac()
    }

    /// Finds the interface again, which may have been re-created or given another Ethernet address. Whatever sends to
    /// everybody does so by itself; to hear again, call it when the carrier comes back.
    ///
    /// # Errors
    /// `NoInterface`, `NotEthernet`, `Failed`.
    pub fn follow_interface(&self) -> Result<(), NetworkError> {
        self.port.follow_interface()
    }

    /// Tells everybody that `address` is here: gratuitous ARP in both forms.
    ///
    /// # Errors
    /// As [`Self::follow_interface`]; `Failed` too while the interface is switched off.
    pub fn announce(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.follow_interface()?;
        self.send(ArpFrame::announcing_request(self.mac(), address))?;
        self.send(ArpFrame::announcing_reply(self.mac(), address))
    }

    /// Tells one neighbour that `address` is here, for those that ignore gratuitous ARP. Linux heeds it only when its
    /// entry did not change within the last second, so it belongs into each round of announcements, after [`Self::announce`].
    ///
    /// # Errors
    /// `Failed`.
    pub fn reply_to(&self, (ip, mac): (Ipv4Addr, Mac), address: Ipv4Addr) -> Result<(), NetworkError> {
        self.send(ArpFrame::answer(self.mac(), address, mac, ip))
    }

    /// Asks `target` for its Ethernet address on behalf of `address`. A station that is asked also learns who asks, even
    /// when it ignores gratuitous ARP: this is how a gateway is told whose Ethernet address is not known.
    ///
    /// # Errors
    /// As [`Self::announce`].
    pub fn ask(&self, target: Ipv4Addr, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.follow_interface()?;
        self.send(ArpFrame::question(self.mac(), address, target))
    }

    /// Asks whether anybody has `address`, without claiming it (RFC 5227).
    ///
    /// # Errors
    /// As [`Self::announce`].
    pub fn probe(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.follow_interface()?;
        self.send(ArpFrame::probe(self.mac(), address))
    }

    /// The next ARP frame of another station. A cancelled wait loses nothing. It waits on while the interface is off or
    /// gone, and hears a re-created one after [`Self::follow_interface`].
    ///
    /// # Errors
    /// `Failed` when the socket is of no more use.
    pub async fn next(&self) -> Result<ArpFrame, NetworkError> {
        self.port.next(|bytes| ArpFrame::decode(bytes).map(|frame| (frame.sender_mac, frame))).await
    }

    fn send(&self, frame: ArpFrame) -> Result<(), NetworkError> {
        self.port.send(&frame.encode(), frame.target_ip)
    }
}
