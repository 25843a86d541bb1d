//! Which ways between the boxes carry heartbeats.

use slog::{debug, info, warn};

use super::Round;
use crate::clock;
use crate::config::limits;
use crate::machines::paths::{self, News};

pub(super) const PATIENCE: paths::Patience = paths::Patience {
    silence_ms: limits::PATH_SILENCE_MS,
    none_heard_ms: limits::NO_PATH_HEARD_MS,
    refusals_ms: limits::REFUSED_BEATS_TOLD_MS,
};

impl Round {
    pub(super) fn refuse(&mut self, code: &'static str) {
        debug!(self.log, "refused a heartbeat"; "code" => code);
        self.metrics.heartbeats.refused(code);
        if let Some(news) = self.watch.refused(code, clock::now()) {
            self.tell_of_paths(news);
        }
    }

    pub(super) fn look_at_the_paths(&mut self) {
        let news = self.watch.look(clock::now(), self.watching.connected.get());
        if news.is_empty() {
            return;
        }
        news.into_iter().for_each(|news| self.tell_of_paths(news));
        let silent: Vec<String> = self.watch.silent().map(|path| self.settings.paths[path].name.clone()).collect();
        self.metrics.heartbeats.silent_paths.set(silent.len() as u64);
        self.shown.update(|view| view.silent_paths = silent);
    }

    fn tell_of_paths(&self, news: News) {
        let name = |path: usize| &self.settings.paths[path].name;
        match news {
            News::Silent(path) => {
                warn!(self.log, "no heartbeat comes on this path; another one still carries them"; "path" => name(path))
            }
            News::HeardAgain(path) => info!(self.log, "heartbeats come on this path again"; "path" => name(path)),
            News::NoneHeard => warn!(
                self.log,
                "the peer is connected, but none of its heartbeats is heard on any path: does its process stand still, is their UDP \
                port let through, is keys/secret the same on both servers?"
            ),
            News::NoneHeardIsOver => info!(self.log, "the peer is heard on a path again, or is no longer connected"),
            News::Refused { code, times } => warn!(self.log, "heartbeats are refused"; "code" => code, "times" => times),
        }
    }
}
