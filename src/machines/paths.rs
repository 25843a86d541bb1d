//! What heartbeats say of the ways between the boxes: a path that is silent while another one is heard, datagrams that do not count, and
//! a peer that is reached otherwise but never by a heartbeat. Nobody is lost by any of this; somebody should look.

use crate::model::Moment;

/// Milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After so long a path is silent.
    pub silence_ms: u64,
    /// After so long without any, a peer that is connected is heard on no path. Longer than a dead connection is taken for one.
    pub none_heard_ms: u64,
    /// Refusals are told at most this often.
    pub refusals_ms: u64,
}

/// What a person should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// By the path's place in the configuration.
    Silent(usize),
    HeardAgain(usize),
    /// The peer is there, and no heartbeat of it comes on any path.
    NoneHeard,
    /// That is over: heartbeats come again, or the peer is gone as a whole.
    NoneHeardIsOver,
    /// So many datagrams since the last telling did not count.
    Refused {
        code: &'static str,
        times: u64,
    },
}

#[derive(Clone, Debug)]
pub struct PathWatch {
    patience: Patience,
    started: Moment,
    paths: Vec<Watched>,
    none_heard: bool,
    refused: u64,
    refused_told: Option<Moment>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    heard: Option<Moment>,
    silent: bool,
}

impl PathWatch {
    pub fn new(patience: Patience, paths: usize, now: Moment) -> Self {
        let paths = vec![Watched::default(); paths];
        Self { patience, started: now, paths, none_heard: false, refused: 0, refused_told: None }
    }

    /// An authentic heartbeat came on that path.
    pub fn heard(&mut self, path: usize, now: Moment) {
        if let Some(watched) = self.paths.get_mut(path) {
            watched.heard = Some(now);
        }
    }

    /// A datagram did not count.
    pub fn refused(&mut self, code: &'static str, now: Moment) -> Option<News> {
        self.refused += 1;
        if self.refused_told.is_some_and(|told| now.since(told) < self.patience.refusals_ms) {
            return None;
        }
        self.refused_told = Some(now);
        Some(News::Refused { code, times: std::mem::take(&mut self.refused) })
    }

    /// Time has passed. `is_connected`: the peer's process is known to be there by other means.
    pub fn look(&mut self, now: Moment, is_connected: bool) -> Vec<News> {
        let mut news = Vec::new();
        let silent_ms = |watched: &Watched, started| now.since(watched.heard.unwrap_or(started));
        let is_heard =
            self.paths.iter().any(|watched| watched.heard.is_some_and(|heard| now.since(heard) < self.patience.silence_ms));
        for (path, watched) in self.paths.iter_mut().enumerate() {
            let is_silent = silent_ms(watched, self.started) >= self.patience.silence_ms;
            // Without any path it is the peer that is silent, which is told elsewhere; a path that was silent before stays so.
            if is_silent && is_heard && !watched.silent {
                watched.silent = true;
                news.push(News::Silent(path));
            } else if !is_silent && watched.silent {
                watched.silent = false;
                news.push(News::HeardAgain(path));
            }
        }
        let none_ms = self.paths.iter().map(|watched| silent_ms(watched, self.started)).min();
        let none = is_connected && none_ms.is_some_and(|ms| ms >= self.patience.none_heard_ms);
        match (self.none_heard, none) {
            (false, true) => news.push(News::NoneHeard),
            (true, false) => news.push(News::NoneHeardIsOver),
            _ => {}
        }
        self.none_heard = none;
        news
    }

    /// Which paths are silent, in configured order: beside others, or all of them while the peer is there.
    pub fn silent(&self) -> impl Iterator<Item = usize> {
        let all = self.none_heard;
        self.paths.iter().enumerate().filter(move |(_, watched)| all || watched.silent).map(|(path, _)| path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(paths: usize) -> PathWatch {
        PathWatch::new(Patience { silence_ms: 2_000, none_heard_ms: 6_000, refusals_ms: 60_000 }, paths, Moment(10_000))
    }

    #[test]
    fn a_path_that_is_silent_beside_another_is_told_once_and_once_when_it_is_heard_again() {
        let mut watch = watch(2);
        watch.heard(0, Moment(10_000));
        watch.heard(1, Moment(10_000));
        watch.heard(0, Moment(11_999));
        assert_eq!(watch.look(Moment(11_999), true), []);
        assert_eq!(watch.look(Moment(12_000), true), [News::Silent(1)]);
        assert_eq!((watch.look(Moment(12_001), true), watch.silent().collect::<Vec<_>>()), (vec![], vec![1]));
        watch.heard(1, Moment(12_500));
        assert_eq!(watch.look(Moment(12_500), true), [News::HeardAgain(1)]);
        assert_eq!(watch.silent().count(), 0);
    }

    #[test]
    fn a_path_that_was_never_heard_counts_from_the_start() {
        let mut watch = watch(2);
        watch.heard(0, Moment(12_000));
        assert_eq!(watch.look(Moment(12_000), true), [News::Silent(1)]);
    }

    #[test]
    fn a_peer_that_is_silent_on_all_paths_is_no_news_of_paths() {
        let mut watch = watch(2);
        watch.heard(0, Moment(10_000));
        watch.heard(1, Moment(10_000));
        assert_eq!(watch.look(Moment(20_000), false), []);
    }

    #[test]
    fn a_peer_that_is_connected_but_heard_on_no_path_is_told_once() {
        let mut watch = watch(1);
        assert_eq!(watch.look(Moment(15_999), true), []);
        assert_eq!(watch.look(Moment(16_000), true), [News::NoneHeard]);
        assert_eq!((watch.look(Moment(17_000), true), watch.silent().collect::<Vec<_>>()), (vec![], vec![0]));
        watch.heard(0, Moment(18_000));
        assert_eq!(watch.look(Moment(18_000), true), [News::NoneHeardIsOver]);
        assert_eq!(watch.silent().count(), 0);
        assert_eq!(watch.look(Moment(24_000), true), [News::NoneHeard]);
    }

    #[test]
    fn refusals_are_told_at_once_and_then_together() {
        let mut watch = watch(1);
        assert_eq!(watch.refused("not_authentic", Moment(10_000)), Some(News::Refused { code: "not_authentic", times: 1 }));
        assert_eq!(watch.refused("not_authentic", Moment(10_025)), None);
        assert_eq!(watch.refused("not_authentic", Moment(70_000)), Some(News::Refused { code: "not_authentic", times: 2 }));
    }
}
