//! What happens to addresses and cables without being asked for here.

use std::{collections::HashMap, net::Ipv4Addr};

use futures_util::{Stream, StreamExt};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
};
use tokio::sync::mpsc;

use super::{NetworkError, aliases::host_of, netlink::has_carrier};

/// News waiting to be read. More are dropped: news only make one look sooner. Who holds an address refreshes it each 0.5 s
/// anyway, and who watches a cable also asks [`super::Aliases::carrier`] now and then.
pub const NEWS_LEN_MAX: usize = 64;

/// A change on this machine, whoever made it: a person, another program, the kernel, or this process itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressNews {
    /// An interface lost this address: removed, or its lifetime ended.
    Removed { address: Ipv4Addr },
    /// The interface gained (`up`) or lost its cable, was switched on or off, or was taken away.
    Carrier { interface: String, up: bool },
}

/// Begins to listen; must be called inside a tokio runtime, which then carries the listening until the receiver is dropped.
/// The network namespace is the calling thread's. The receiver ends if the kernel's socket does.
///
/// # Errors
/// `Failed` when the kernel gives no netlink socket.
pub fn watch_addresses() -> Result<mpsc::Receiver<AddressNews>, NetworkError> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr];
    let (conversation, _, messages) = rtnetlink::new_multicast_connection(&groups)
        .map_err(|cause| NetworkError::failed("watch addresses", "every interface", cause))?;
    let (sender, receiver) = mpsc::channel(NEWS_LEN_MAX);
    let messages = messages.map(|(message, _)| message);
    tokio::spawn(async move {
        tokio::select! {
            () = conversation => {}
            () = pass_on(messages, sender) => {}
        }
    });
    Ok(receiver)
}

async fn pass_on(
    mut messages: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
    reader: mpsc::Sender<AddressNews>,
) {
    let mut carriers = Carriers::default();
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = reader.closed() => return,
        };
        let Some(message) = message else { return };
        if let Some(news) = carriers.read(&message)
            && reader.try_send(news).is_err()
        {
            // It may have been a carrier's, so each is told again when the kernel repeats it.
            carriers.0.clear();
        }
    }
}

/// The carrier of each interface as last told, because the kernel repeats the state at every change of anything.
#[derive(Default)]
struct Carriers(HashMap<u32, bool>);

impl Carriers {
    fn read(&mut self, message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<AddressNews> {
        let NetlinkPayload::InnerMessage(message) = &message.payload else {
            return None;
        };
        match message {
            RouteNetlinkMessage::DelAddress(address) => Some(AddressNews::Removed { address: host_of(address)? }),
            RouteNetlinkMessage::NewLink(link) if is_interface(link) => {
                let up = has_carrier(link);
                let before = self.0.insert(link.header.index, up);
                (before != Some(up)).then(|| carrier(link, up))?
            }
            RouteNetlinkMessage::DelLink(link) if is_interface(link) => {
                self.0.remove(&link.header.index);
                carrier(link, false)
            }
            _ => None,
        }
    }
}

/// A bridge tells of its ports in the same words.
fn is_interface(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}

fn carrier(link: &LinkMessage, up: bool) -> Option<AddressNews> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(AddressNews::Carrier { interface: name.clone(), up }),
        _ => None,
    })
}
