//! What happens to addresses and cables without being asked for here.

use std::{collections::HashMap, io, net::IpAddr, time::Duration};

use futures_util::{Stream, StreamExt};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{NetworkError, aliases::host_of, netlink::has_carrier};

/// News waiting to be read. More are dropped: news only make one look sooner. Who holds an address refreshes it each 0.5 s
/// anyway, and who watches a cable also asks [`super::Aliases::carrier`] now and then.
pub const NEWS_LEN_MAX: usize = 64;

/// Between the end of the news and the next attempt to hear them: whoever waits looks for himself meanwhile, and a kernel that gives no
/// socket costs nothing.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// A change on this machine, whoever made it: a person, another program, the kernel, or this process itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressNews {
    /// An interface lost this address: removed, or its lifetime ended.
    Removed { address: IpAddr },
    /// The interface gained (`up`) or lost its cable, was switched on or off, or was taken away.
    Carrier { interface: String, up: bool },
}

/// Begins to listen; must be called inside a tokio runtime, which then carries the listening until the receiver is dropped.
/// The network namespace is the calling thread's. The receiver ends if the kernel's socket does.
///
/// # Errors
/// `Failed` when the kernel gives no netlink socket.
pub fn watch_addresses() -> Result<mpsc::Receiver<AddressNews>, NetworkError> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
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

/// News that go on: the kernel ends a socket whose reader is too slow for it, and then a new one is opened.
pub struct Listening<Open> {
    open: Open,
    news: Option<mpsc::Receiver<AddressNews>>,
    again_at: Instant,
}

impl<Open: FnMut() -> Result<mpsc::Receiver<AddressNews>, NetworkError>> Listening<Open> {
    /// `open` is [`watch_addresses`], or what a test puts in its place.
    ///
    /// # Errors
    /// The first time, as `open` says.
    pub fn begin(mut open: Open) -> Result<Self, NetworkError> {
        let news = Some(open()?);
        Ok(Self { open, news, again_at: Instant::now() })
    }

    /// The next news. May be dropped and called again. After an error there may be news that nobody heard.
    ///
    /// # Errors
    /// `Failed` when they have ended or cannot be heard again yet: once a second at most.
    pub async fn next(&mut self) -> Result<AddressNews, NetworkError> {
        let news = match &mut self.news {
            Some(news) => news,
            none => {
                sleep_until(self.again_at).await;
                self.again_at = Instant::now() + LISTEN_AGAIN;
                none.insert((self.open)()?)
            }
        };
        if let Some(told) = news.recv().await {
            return Ok(told);
        }
        self.news = None;
        self.again_at = Instant::now() + LISTEN_AGAIN;
        Err(NetworkError::failed("go on hearing of addresses", "every interface", io::ErrorKind::BrokenPipe))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn news_that_end_are_heard_again_after_a_second_and_never_at_once() {
        let (mut opened, removed) = (0, AddressNews::Removed { address: IpAddr::from([127, 0, 0, 1]) });
        let open = || {
            opened += 1;
            let (kernel, news) = mpsc::channel(1);
            match opened {
                // The socket is there, and ends at once.
                1 | 3 => Ok(news),
                2 => Err(NetworkError::failed("watch addresses", "every interface", io::ErrorKind::OutOfMemory)),
                _ => {
                    kernel.try_send(removed.clone()).unwrap();
                    Ok(news)
                }
            }
        };
        let (mut listening, begun, mut failures) = (Listening::begin(open).unwrap(), Instant::now(), 0);
        let told = loop {
            match listening.next().await {
                Ok(told) => break told,
                Err(_) => failures += 1,
            }
        };
        assert_eq!((told, failures, begun.elapsed()), (removed.clone(), 3, 3 * LISTEN_AGAIN));
    }
}
