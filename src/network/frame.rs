//! ARP frames: built for sending, read with suspicion. No socket here.

use std::{fmt, net::Ipv4Addr};

use pnet::{
    packet::{
        Packet,
        arp::{ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket},
        ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket},
    },
    util::MacAddr,
};

const ETHERNET_HEADER_LEN: usize = 14;
const ARP_LEN: usize = 28;
/// The kernel pads it to the 60 bytes that Ethernet asks for.
pub(super) const FRAME_LEN: usize = ETHERNET_HEADER_LEN + ARP_LEN;
const MAC_LEN: u8 = 6;
const IPV4_LEN: u8 = 4;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody on the segment.
    pub const EVERYBODY: Self = Self([0xff; 6]);
    /// "Not known", as a question writes it.
    pub const UNKNOWN: Self = Self([0; 6]);

    /// Whether one single station can have this address.
    pub fn is_one_station(self) -> bool {
        let group_bit = self.0[0] & 1;
        group_bit == 0 && self != Self::UNKNOWN
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<MacAddr> for Mac {
    fn from(mac: MacAddr) -> Self {
        Self(mac.octets())
    }
}

impl From<Mac> for MacAddr {
    fn from(mac: Mac) -> Self {
        mac.0.into()
    }
}

/// What an ARP frame does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Request,
    Reply,
}

/// One ARP frame for IPv4 over Ethernet, sent or sighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpFrame {
    /// Whom the Ethernet frame goes to.
    pub destination: Mac,
    pub operation: Operation,
    pub sender_mac: Mac,
    /// `0.0.0.0` in a probe.
    pub sender_ip: Ipv4Addr,
    /// Means nothing in a request.
    pub target_mac: Mac,
    pub target_ip: Ipv4Addr,
}

impl ArpFrame {
    /// Gratuitous ARP as a request: "I have `address`", in the form that RFC 5227 recommends.
    pub(super) fn announcing_request(mac: Mac, address: Ipv4Addr) -> Self {
        Self::question(mac, address, address)
    }

    /// Gratuitous ARP as a reply: some devices heed only this form.
    pub(super) fn announcing_reply(mac: Mac, address: Ipv4Addr) -> Self {
        // The target must repeat the sender: Linux takes a reply with any other target for an ordinary one, which
        // does not replace an entry that changed within the last second (`locktime`).
        Self { destination: Mac::EVERYBODY, ..Self::answer(mac, address, mac, address) }
    }

    /// "I have `address`", told to one neighbour as if it had asked.
    pub(super) fn answer(mac: Mac, address: Ipv4Addr, neighbour_mac: Mac, neighbour_ip: Ipv4Addr) -> Self {
        Self {
            destination: neighbour_mac,
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: address,
            target_mac: neighbour_mac,
            target_ip: neighbour_ip,
        }
    }

    /// "Who has `target`? Tell `address`."
    pub(super) fn question(mac: Mac, address: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            destination: Mac::EVERYBODY,
            operation: Operation::Request,
            sender_mac: mac,
            sender_ip: address,
            target_mac: Mac::UNKNOWN,
            target_ip: target,
        }
    }

    /// RFC 5227 probe: a question with no sender address, so that nobody's neighbour table changes.
    pub(super) fn probe(mac: Mac, address: Ipv4Addr) -> Self {
        Self::question(mac, Ipv4Addr::UNSPECIFIED, address)
    }

    /// Whether the sender says that `address` is its own.
    pub fn claims(&self, address: Ipv4Addr) -> bool {
        self.sender_ip == address
    }

    /// Whether the sender is about to take `address`, if nobody defends it (RFC 5227 probe).
    pub fn probes(&self, address: Ipv4Addr) -> bool {
        self.operation == Operation::Request && self.sender_ip.is_unspecified() && self.target_ip == address
    }

    pub(super) fn encode(&self) -> [u8; FRAME_LEN] {
        let mut bytes = [0; FRAME_LEN];
        let (header, body) = bytes.split_at_mut(ETHERNET_HEADER_LEN);
        let mut ethernet = MutableEthernetPacket::new(header).expect("the header has its own 14 bytes");
        ethernet.set_destination(self.destination.into());
        ethernet.set_source(self.sender_mac.into());
        ethernet.set_ethertype(EtherTypes::Arp);
        let mut arp = MutableArpPacket::new(body).expect("the body has its own 28 bytes");
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(MAC_LEN);
        arp.set_proto_addr_len(IPV4_LEN);
        arp.set_operation(self.operation.into());
        arp.set_sender_hw_addr(self.sender_mac.into());
        arp.set_sender_proto_addr(self.sender_ip);
        arp.set_target_hw_addr(self.target_mac.into());
        arp.set_target_proto_addr(self.target_ip);
        bytes
    }

    /// Reads what came from the network; `None` if it is cut short or is not a question or answer of ARP for IPv4 over Ethernet.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let ethernet = EthernetPacket::new(bytes)?;
        let arp = ArpPacket::new(ethernet.payload())?;
        let understood = ethernet.get_ethertype() == EtherTypes::Arp
            && arp.get_hardware_type() == ArpHardwareTypes::Ethernet
            && arp.get_protocol_type() == EtherTypes::Ipv4
            && arp.get_hw_addr_len() == MAC_LEN
            && arp.get_proto_addr_len() == IPV4_LEN;
        if !understood {
            return None;
        }
        Some(Self {
            destination: ethernet.get_destination().into(),
            operation: Operation::read(arp.get_operation())?,
            sender_mac: arp.get_sender_hw_addr().into(),
            sender_ip: arp.get_sender_proto_addr(),
            target_mac: arp.get_target_hw_addr().into(),
            target_ip: arp.get_target_proto_addr(),
        })
    }
}

impl Operation {
    fn read(operation: ArpOperation) -> Option<Self> {
        match operation {
            ArpOperations::Request => Some(Self::Request),
            ArpOperations::Reply => Some(Self::Reply),
            _ => None,
        }
    }
}

impl From<Operation> for ArpOperation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Request => ArpOperations::Request,
            Operation::Reply => ArpOperations::Reply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn any_frame() -> impl Strategy<Value = ArpFrame> {
        let operation = prop_oneof![Just(Operation::Request), Just(Operation::Reply)];
        (any::<[[u8; 6]; 3]>(), operation, any::<[[u8; 4]; 2]>()).prop_map(|(macs, operation, ips)| ArpFrame {
            destination: Mac(macs[0]),
            operation,
            sender_mac: Mac(macs[1]),
            sender_ip: ips[0].into(),
            target_mac: Mac(macs[2]),
            target_ip: ips[1].into(),
        })
    }

    #[test]
    fn an_announcing_request_is_the_frame_that_the_rfc_draws() {
        let bytes = ArpFrame::announcing_request(MAC, ADDRESS).encode();
        let drawn = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, // Ethernet
            0, 1, 0x08, 0x00, 6, 4, 0, 1, // Ethernet, IPv4, lengths, request
            2, 0, 0, 0, 0, 1, 10, 0, 0, 1, // sender
            0, 0, 0, 0, 0, 0, 10, 0, 0, 1, // target
        ];
        assert_eq!(bytes, drawn);
    }

    #[test]
    fn an_announcing_reply_goes_to_everybody_and_repeats_its_sender_as_target() {
        let frame = ArpFrame::announcing_reply(MAC, ADDRESS);
        assert_eq!((frame.destination, frame.operation), (Mac::EVERYBODY, Operation::Reply));
        assert_eq!((frame.target_mac, frame.target_ip), (frame.sender_mac, frame.sender_ip));
    }

    #[test]
    fn a_probe_claims_nothing_and_is_known_as_a_probe() {
        let probe = ArpFrame::probe(MAC, ADDRESS);
        assert!(!probe.claims(ADDRESS));
        assert!(probe.probes(ADDRESS));
    }

    #[test]
    fn a_mac_is_printed_as_people_write_it() {
        assert_eq!(Mac([2, 0, 0xab, 0, 0, 1]).to_string(), "02:00:ab:00:00:01");
    }

    #[test]
    fn a_frame_of_another_protocol_or_operation_is_ignored() {
        let good = ArpFrame::probe(MAC, ADDRESS).encode();
        let foreign = [(12, 0x86), (15, 6), (16, 0x86), (18, 8), (19, 16), (21, 3)];
        for (place, value) in foreign {
            let mut bytes = good;
            bytes[place] = value;
            assert_eq!(ArpFrame::decode(&bytes), None, "byte {place} = {value:#x}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(frame in any_frame(), padding in 0..30usize) {
            let mut bytes = frame.encode().to_vec();
            bytes.resize(FRAME_LEN + padding, 0);
            prop_assert_eq!(ArpFrame::decode(&bytes), Some(frame));
        }

        #[test]
        fn a_cut_frame_is_ignored(frame in any_frame(), length in 0..FRAME_LEN) {
            prop_assert_eq!(ArpFrame::decode(&frame.encode()[..length]), None);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = ArpFrame::decode(&bytes);
        }
    }
}
