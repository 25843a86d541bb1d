//! The gate in its shortest form, and the promises, judged the moment anything is answered.
//!
//! Whatever may be acknowledged is acknowledged at once: a terminal that repeats its command would hear it just then.

use crate::machines::failover::Rule;
use crate::model::Epoch;
use crate::planted::Planted;
use crate::world::{BOTH, Breach, Entry, World};

/// What a server may answer.
struct Open {
    epoch: Epoch,
    /// Entries that may be acknowledged.
    confirmed: usize,
    /// Whether a read would be answered now.
    reads: bool,
}

impl World {
    pub fn answer(&mut self) {
        for server in BOTH {
            let Some(open) = self.open(server) else { continue };
            let own = &self.servers[server];
            let news: Vec<Entry> =
                own.journal.iter().take(open.confirmed).filter(|entry| !self.acknowledged.contains(entry)).copied().collect();
            if open.reads || !news.is_empty() {
                self.check_that_nothing_is_lacking(server);
            }
            if !news.is_empty() {
                self.check_that_no_other_acknowledges(open.epoch, server);
            }
            for entry in news {
                self.acknowledge(entry);
            }
        }
    }

    fn open(&self, server: usize) -> Option<Open> {
        let own = &self.servers[server];
        let life = own.life.as_ref()?;
        // Without DataUpdater nobody is answered.
        life.run?;
        let own_part = if self.has(Planted::OwnJournalIsNoCondition) { own.journal.len() } else { own.synced };
        let on_both = own_part.min(life.peer_stored);
        let open = match life.rule {
            Rule::Closed | Rule::Leased(_) => return None,
            Rule::Own(epoch) => Open { epoch, confirmed: own.synced, reads: true },
            Rule::Both(epoch) => Open { epoch, confirmed: on_both, reads: self.stream == Some(server) },
        };
        Some(match self.planted {
            Some(Planted::RepeatBeforeConfirmed) => Open { confirmed: own.journal.len(), ..open },
            Some(Planted::ReadWithoutEcho) => Open { reads: true, ..open },
            _ => open,
        })
    }

    /// P2, for acknowledgements and reads alike. An id that is known without its entry would be answered "done, repeated".
    fn check_that_nothing_is_lacking(&mut self, server: usize) {
        let own = &self.servers[server];
        let lacking = self.acknowledged.iter().find(|entry| own.journal.get(entry.at.sequence.0 as usize - 1) != Some(entry));
        let breach = lacking.map(|entry| Breach::Lost { server, entry: *entry }).or_else(|| {
            let ids = own.life.as_ref().into_iter().flat_map(|life| &life.ids);
            let unheld = ids.copied().find(|id| own.journal.iter().all(|entry| entry.command != *id));
            unheld.map(|command| Breach::NeverDone { command })
        });
        self.breach = self.breach.or(breach);
    }

    fn check_that_no_other_acknowledges(&mut self, epoch: Epoch, server: usize) {
        self.acknowledgers.insert((epoch, server));
        if self.acknowledgers.contains(&(epoch, 1 - server)) {
            self.breach.get_or_insert(Breach::TwoAcknowledgers { epoch });
        }
    }

    fn acknowledge(&mut self, entry: Entry) {
        if self.acknowledged.iter().any(|before| before.command == entry.command) {
            self.breach.get_or_insert(Breach::Twice { command: entry.command });
        }
        self.acknowledged.push(entry);
    }
}
