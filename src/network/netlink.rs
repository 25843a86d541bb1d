//! One conversation with the kernel about interfaces, addresses and routes.

use std::{future::Future, io, net::Ipv4Addr, time::Duration};

use futures_util::{Stream, TryStreamExt};
use netlink_packet_route::{
    link::{LinkFlags, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage},
};
use nix::errno::Errno;
use rtnetlink::{Handle, RouteMessageBuilder};
use tokio::{task::JoinHandle, time::timeout};

use super::NetworkError;

/// The kernel answers within microseconds; an alias is refreshed each 0.5 s, and a lost answer must not cost the next refresh.
const ANSWER_WAIT: Duration = Duration::from_millis(400);

/// Requests only: what changes by itself is told by `news`, on a socket of its own, because there the kernel also
/// repeats changes that were asked for here, and they would be taken for the answers.
pub(super) struct Netlink {
    pub(super) handle: Handle,
    conversation: JoinHandle<()>,
}

impl Netlink {
    /// Must be called inside a tokio runtime, which then carries the conversation. The network namespace is the thread's.
    pub(super) fn open() -> io::Result<Self> {
        let (conversation, handle, _) = rtnetlink::new_connection()?;
        Ok(Self { handle, conversation: tokio::spawn(conversation) })
    }

    /// Awaits the kernel's answer; `action` reads like `add 10.0.0.1`.
    ///
    /// What was not answered in time may still be done, but never after a later request: they go out in order.
    pub(super) async fn answer<T>(
        &self,
        action: &str,
        interface: &str,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, NetworkError> {
        let cause = match timeout(ANSWER_WAIT, request).await {
            // When the conversation breaks off, a request ends without an answer, and that looks like success.
            Ok(Ok(_)) if self.conversation.is_finished() => io::ErrorKind::BrokenPipe.into(),
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => cause_of(error),
            Err(_late) => io::ErrorKind::TimedOut.into(),
        };
        if cause.raw_os_error() == Some(Errno::ENODEV as i32) {
            return Err(NetworkError::NoInterface { interface: interface.to_owned() });
        }
        Err(NetworkError::failed(action, interface, cause))
    }

    /// Awaits all parts of an answer in many parts.
    pub(super) async fn collect<T>(
        &self,
        action: &str,
        interface: &str,
        parts: impl Stream<Item = Result<T, rtnetlink::Error>>,
    ) -> Result<Vec<T>, NetworkError> {
        self.answer(action, interface, parts.try_collect()).await
    }

    /// The number that the interface has now; a re-created interface has another one.
    pub(super) async fn index(&self, interface: &str) -> Result<u32, NetworkError> {
        Ok(self.link(interface).await?.header.index)
    }

    pub(super) async fn carrier(&self, interface: &str) -> Result<bool, NetworkError> {
        Ok(has_carrier(&self.link(interface).await?))
    }

    pub(super) async fn gateway(&self, interface: &str) -> Result<Option<Ipv4Addr>, NetworkError> {
        let index = self.index(interface).await?;
        let any_ipv4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes = self.handle.route().get(any_ipv4).execute();
        let routes = self.collect("read the routes", interface, routes).await?;
        Ok(routes.iter().find_map(|route| default_gateway(route, index)))
    }

    async fn link(&self, interface: &str) -> Result<LinkMessage, NetworkError> {
        let links = self.handle.link().get().match_name(interface.to_owned()).execute();
        let links = self.collect("read the state", interface, links).await?;
        links.into_iter().next().ok_or_else(|| NetworkError::NoInterface { interface: interface.to_owned() })
    }
}

/// Switched on, and the other end of the cable is alive.
pub(super) fn has_carrier(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp)
}

fn default_gateway(route: &RouteMessage, interface_index: u32) -> Option<Ipv4Addr> {
    let leaves_there = route.attributes.contains(&RouteAttribute::Oif(interface_index));
    if route.header.destination_prefix_length != 0 || !leaves_there {
        return None;
    }
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(*gateway),
        _ => None,
    })
}

fn cause_of(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(refusal) => refusal.to_io(),
        other => io::Error::other(other),
    }
}
