//! Handshakes under way at one port, bounded in all and for each address. Beyond a bound the newest displaces the oldest: whoever means
//! it has finished within milliseconds, and a stranger who never finishes keeps nobody out, from wherever he comes.

use std::future::Future;
use std::net::SocketAddr;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::config::limits;

/// Dropping it ends all of them.
pub struct Handshakes<T> {
    tasks: JoinSet<T>,
    /// Oldest first, without those that gave way.
    under_way: Vec<(SocketAddr, AbortHandle)>,
}

impl<T> Default for Handshakes<T> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), under_way: Vec::with_capacity(limits::LINK_HANDSHAKES_MAX) }
    }
}

impl<T: Send + 'static> Handshakes<T> {
    /// Whether one more may be accepted. What gave way ends at its task's next turn; if that takes long, strangers wait in the kernel.
    pub fn has_room(&self) -> bool {
        self.tasks.len() < 2 * limits::LINK_HANDSHAKES_MAX
    }

    /// Begins one more. Whoever gave way for it is returned, and its connection is closed.
    pub fn begin(&mut self, from: SocketAddr, handshake: impl Future<Output = T> + Send + 'static) -> Option<SocketAddr> {
        // Finished and not fetched yet: it gives way to nobody.
        self.under_way.retain(|(_, task)| !task.is_finished());
        let displaced = self.one_too_many(from).map(|at| self.under_way.remove(at)).map(|(displaced, task)| {
            task.abort();
            displaced
        });
        self.under_way.push((from, self.tasks.spawn(handshake)));
        displaced
    }

    fn one_too_many(&self, from: SocketAddr) -> Option<usize> {
        let is_same = |(address, _): &(SocketAddr, AbortHandle)| address.ip() == from.ip();
        let same = self.under_way.iter().filter(|handshake| is_same(handshake)).count();
        if same >= limits::LINK_HANDSHAKES_PER_ADDRESS_MAX {
            return self.under_way.iter().position(is_same);
        }
        (self.under_way.len() >= limits::LINK_HANDSHAKES_MAX).then_some(0)
    }

    /// The next that ends, cancelled if it gave way: there may be room again. `None` if there is none. May be dropped and called again.
    pub async fn ended(&mut self) -> Option<Result<T, JoinError>> {
        self.tasks.join_next().await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn from(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    #[tokio::test]
    async fn the_oldest_of_an_address_gives_way_and_no_other() {
        let mut handshakes = Handshakes::<()>::default();
        assert_eq!(handshakes.begin(from(1, 1), pending()), None);
        let most = u16::try_from(limits::LINK_HANDSHAKES_PER_ADDRESS_MAX).unwrap();
        for port in 1..=most {
            assert_eq!(handshakes.begin(from(2, port), pending()), None);
        }
        assert_eq!(handshakes.begin(from(2, 100), pending()), Some(from(2, 1)));
        assert_eq!(handshakes.begin(from(2, 101), pending()), Some(from(2, 2)));
        assert_eq!(handshakes.begin(from(3, 1), pending()), None);
    }

    #[tokio::test]
    async fn from_many_addresses_the_oldest_of_all_gives_way() {
        let mut handshakes = Handshakes::<()>::default();
        for host in 1..=u8::try_from(limits::LINK_HANDSHAKES_MAX).unwrap() {
            assert_eq!(handshakes.begin(from(host, 1), pending()), None);
        }
        assert_eq!(handshakes.begin(from(200, 1), pending()), Some(from(1, 1)));
    }

    #[tokio::test]
    async fn what_has_finished_gives_way_to_nobody() {
        let mut handshakes = Handshakes::default();
        handshakes.begin(from(1, 1), ready(7));
        tokio::task::yield_now().await;
        for port in 2..=20 {
            handshakes.begin(from(1, port), pending());
        }
        assert_eq!(handshakes.ended().await.unwrap().unwrap(), 7);
        assert!(handshakes.ended().await.unwrap().unwrap_err().is_cancelled());
    }
}
