//! The one place where ARP frames leave and arrive.

use std::{
    cell::Cell,
    io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, RawFd},
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::socket::{LinkAddr, bind, recvfrom},
};
use pnet::packet::{arp::ArpHardwareTypes, ethernet::EtherTypes};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::{ArpFrame, Mac, NetworkError, frame::FRAME_LEN};

/// A socket that sends and hears ARP, and nothing else, on one interface. Needs CAP_NET_RAW.
///
/// Not pnet's own channel: that one hears every protocol, in promiscuous mode. What waits to be read is bounded by the
/// kernel's receive buffer; a storm of ARP loses frames there.
pub struct ArpPort {
    interface: String,
    socket: AsyncFd<Socket>,
    /// The interface as it was when the socket was last bound; another number means that it was re-created.
    bound: Cell<Link>,
}

#[derive(Clone, Copy)]
struct Link {
    mac: Mac,
    /// Names the interface by its number, and no protocol: a binding then keeps the one of the socket.
    place: LinkAddr,
}

impl ArpPort {
    /// Opens the socket, once and for long: it blocks the thread for 8 to 30 ms, while the kernel waits for all processors.
    ///
    /// Must be called inside a tokio runtime with I/O. The network namespace is the thread's, at all later calls too.
    ///
    /// # Errors
    /// `NoInterface`, `NotEthernet`, `Failed`.
    pub fn open(interface: &str) -> Result<Self, NetworkError> {
        let link = Link::find(interface)?;
        let open = || {
            let arp = Protocol::from(i32::from(EtherTypes::Arp.0.to_be()));
            let socket = Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(arp))?;
            bind(socket.as_raw_fd(), &link.place)?;
            readable_by_tokio(socket)
        };
        let socket = open().map_err(|cause: io::Error| NetworkError::failed("open a port for arp", interface, cause))?;
        Ok(Self { interface: interface.to_owned(), socket, bound: Cell::new(link) })
    }

    /// The Ethernet address that frames are sent from.
    pub fn mac(&self) -> Mac {
        self.bound.get().mac
    }

    /// Finds the interface again, which may have been re-created or given another Ethernet address. Whatever sends to
    /// everybody does so by itself; to hear again, call it when the carrier comes back.
    ///
    /// # Errors
    /// `NoInterface`, `NotEthernet`, `Failed`.
    pub fn follow_interface(&self) -> Result<(), NetworkError> {
        let link = Link::find(&self.interface)?;
        if link.place.ifindex() != self.bound.get().place.ifindex() {
            bind(self.socket.as_raw_fd(), &link.place)
                .map_err(|cause| NetworkError::failed("follow with the port for arp", &self.interface, cause))?;
        }
        self.bound.set(link);
        // That the interface went down once waits as an error on the socket, and would fail the next frame although it is up.
        let _past = self.socket.get_ref().take_error();
        Ok(())
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
        loop {
            let received = self.socket.async_io(Interest::READABLE, |socket| self.receive(socket.as_raw_fd())).await;
            match received {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(cause) => {
                    return Err(NetworkError::failed("listen for arp", &self.interface, cause));
                }
            }
        }
    }

    /// `None` for what is no business of ours.
    fn receive(&self, socket: RawFd) -> io::Result<Option<ArpFrame>> {
        let mut bytes = [0; FRAME_LEN];
        let (length, from) = match recvfrom::<LinkAddr>(socket, &mut bytes) {
            // Told once, when the interface is switched off or removed.
            Err(Errno::ENETDOWN) => return Ok(None),
            received => received?,
        };
        let bound = self.bound.get();
        // Between its creation and its binding the socket hears all interfaces.
        let heard_here = from.is_some_and(|from| from.ifindex() == bound.place.ifindex());
        let frame = ArpFrame::decode(&bytes[..length]).filter(|_| heard_here);
        // Some switches send a frame back to where it came from.
        Ok(frame.filter(|frame| frame.sender_mac != bound.mac))
    }

    fn send(&self, frame: ArpFrame) -> Result<(), NetworkError> {
        let bytes = frame.encode();
        let sent = self.socket.get_ref().send(&bytes);
        sent.map(drop).map_err(|cause| NetworkError::failed(format!("send arp for {}", frame.target_ip), &self.interface, cause))
    }
}

#[allow(unsafe_code, reason = "tokio offers no safe constructor that is not deprecated")]
fn readable_by_tokio(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the socket owns its one descriptor until it is dropped, `AsyncFd` owns the socket, and nothing takes it out again.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

impl Link {
    fn find(interface: &str) -> Result<Self, NetworkError> {
        let addresses = getifaddrs().map_err(|cause| NetworkError::failed("read the ethernet address", interface, cause))?;
        let place = addresses
            .filter(|entry| entry.interface_name == interface)
            .find_map(|entry| entry.address?.as_link_addr().copied())
            .ok_or_else(|| NetworkError::NoInterface { interface: interface.to_owned() })?;
        match place.addr() {
            Some(mac) if place.hatype() == ArpHardwareTypes::Ethernet.0 => Ok(Self { mac: Mac(mac), place }),
            _ => Err(NetworkError::NotEthernet { interface: interface.to_owned() }),
        }
    }
}
