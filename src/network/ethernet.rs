//! A packet socket for one protocol on one interface, which it finds again when that is re-created.

use std::{
    cell::Cell,
    io,
    net::Ipv6Addr,
    os::fd::{AsRawFd, RawFd},
};

use nix::{
    errno::Errno,
    ifaddrs::{InterfaceAddress, getifaddrs},
    sys::socket::{LinkAddr, SockaddrStorage, bind, recvfrom},
};
use pnet::packet::{arp::ArpHardwareTypes, ethernet::EtherType};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::{Mac, NetworkError};

/// Longer than any frame that is understood here: 42 bytes of ARP, 86 of a neighbour advertisement and some options more.
const FRAME_LEN_MAX: usize = 256;

/// Which frames a port is for.
pub(super) struct Protocols {
    /// As errors say it.
    pub(super) name: &'static str,
    pub(super) ethertype: EtherType,
    /// Run by the kernel on each frame of that type; empty: all of them are wanted.
    pub(super) filter: Vec<SockFilter>,
}

/// Not pnet's own channel: that one hears every protocol, in promiscuous mode. What waits to be read is bounded by the
/// kernel's receive buffer; a storm loses frames there.
pub(super) struct EthernetPort {
    interface: String,
    name: &'static str,
    socket: AsyncFd<Socket>,
    /// The interface as it was when the socket was last bound; another number means that it was re-created.
    bound: Cell<Link>,
}

#[derive(Clone, Copy)]
struct Link {
    mac: Mac,
    /// Names the interface by its number, and no protocol: a binding then keeps the one of the socket.
    place: LinkAddr,
    link_local: Option<Ipv6Addr>,
}

impl EthernetPort {
    /// Blocks the thread for 8 to 30 ms, while the kernel waits for all processors.
    pub(super) fn open(interface: &str, protocols: &Protocols) -> Result<Self, NetworkError> {
        let link = Link::find(interface)?;
        let open = || {
            let protocol = Protocol::from(i32::from(protocols.ethertype.0.to_be()));
            let socket = Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
            if !protocols.filter.is_empty() {
                socket.attach_filter(&protocols.filter)?;
            }
            bind(socket.as_raw_fd(), &link.place)?;
            readable_by_tokio(socket)
        };
        let name = protocols.name;
        let socket =
            open().map_err(|cause: io::Error| NetworkError::failed(format!("open a port for {name}"), interface, cause))?;
        Ok(Self { interface: interface.to_owned(), name, socket, bound: Cell::new(link) })
    }

    pub(super) fn mac(&self) -> Mac {
        self.bound.get().mac
    }

    /// The interface's own address that no router passes on.
    pub(super) fn link_local(&self) -> Option<Ipv6Addr> {
        self.bound.get().link_local
    }

    pub(super) fn follow_interface(&self) -> Result<(), NetworkError> {
        let link = Link::find(&self.interface)?;
        if link.place.ifindex() != self.bound.get().place.ifindex() {
            bind(self.socket.as_raw_fd(), &link.place).map_err(|cause| {
                NetworkError::failed(format!("follow with the port for {}", self.name), &self.interface, cause)
            })?;
        }
        self.bound.set(link);
        // That the interface went down once waits as an error on the socket, and would fail the next frame although it is up.
        let _past = self.socket.get_ref().take_error();
        Ok(())
    }

    /// The next frame of another station that `read` understands. A cancelled wait loses nothing.
    pub(super) async fn next<F>(&self, read: impl Fn(&[u8]) -> Option<(Mac, F)>) -> Result<F, NetworkError> {
        loop {
            let received = self.socket.async_io(Interest::READABLE, |socket| self.receive(socket.as_raw_fd(), &read)).await;
            match received {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(cause) => {
                    return Err(NetworkError::failed(format!("listen for {}", self.name), &self.interface, cause));
                }
            }
        }
    }

    /// `about` is the address that the frame is about.
    pub(super) fn send(&self, bytes: &[u8], about: impl std::fmt::Display) -> Result<(), NetworkError> {
        let sent = self.socket.get_ref().send(bytes);
        sent.map(drop).map_err(|cause| NetworkError::failed(format!("send {} for {about}", self.name), &self.interface, cause))
    }

    /// `None` for what is no business of ours.
    fn receive<F>(&self, socket: RawFd, read: impl Fn(&[u8]) -> Option<(Mac, F)>) -> io::Result<Option<F>> {
        let mut bytes = [0; FRAME_LEN_MAX];
        let (length, from) = match recvfrom::<LinkAddr>(socket, &mut bytes) {
            // Told once, when the interface is switched off or removed.
            Err(Errno::ENETDOWN) => return Ok(None),
            received => received?,
        };
        let bound = self.bound.get();
        // Between its creation and its binding the socket hears all interfaces.
        let heard_here = from.is_some_and(|from| from.ifindex() == bound.place.ifindex());
        let frame = read(&bytes[..length]).filter(|_| heard_here);
        // Some switches send a frame back to where it came from.
        Ok(frame.filter(|(sender, _)| *sender != bound.mac).map(|(_, frame)| frame))
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
        let entries: Vec<InterfaceAddress> = addresses.filter(|entry| entry.interface_name == interface).collect();
        let ends = || entries.iter().filter_map(|entry| entry.address.as_ref());
        let place = ends().find_map(|end| end.as_link_addr().copied());
        let place = place.ok_or_else(|| NetworkError::NoInterface { interface: interface.to_owned() })?;
        let link_local =
            ends().filter_map(SockaddrStorage::as_sockaddr_in6).map(|end| end.ip()).find(Ipv6Addr::is_unicast_link_local);
        match place.addr() {
            Some(mac) if place.hatype() == ArpHardwareTypes::Ethernet.0 => Ok(Self { mac: Mac(mac), place, link_local }),
            _ => Err(NetworkError::NotEthernet { interface: interface.to_owned() }),
        }
    }
}
