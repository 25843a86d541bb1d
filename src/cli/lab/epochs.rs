//! What the servers said about who acknowledges: epoch by epoch, from their logs. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Words with which a server tells that it begins to acknowledge, and whether it does so without the other one.
const BEGINS: [(&str, bool); 3] = [("a pair, as main", false), ("took over, actor", true), ("carrying on alone", true)];

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Epochs {
    /// Who said that it acknowledges in an epoch.
    by: BTreeMap<u64, BTreeSet<usize>>,
    solo: BTreeSet<u64>,
}

impl Epochs {
    pub(super) fn of(words: &[String; 2]) -> Self {
        let mut epochs = Self::default();
        for (server, words) in words.iter().enumerate() {
            for line in words.lines() {
                let Some((_, alone)) = BEGINS.iter().find(|(turn, _)| line.contains(turn)) else { continue };
                let Some(epoch) = epoch_in(line) else { continue };
                epochs.by.entry(epoch).or_default().insert(server);
                if *alone {
                    epochs.solo.insert(epoch);
                }
            }
        }
        epochs
    }

    /// Epochs in which both servers say that they acknowledged.
    pub(super) fn shared(&self) -> Vec<u64> {
        self.by.iter().filter(|(_, servers)| servers.len() > 1).map(|(epoch, _)| *epoch).collect()
    }

    /// How often the one that acknowledges was another one than before.
    pub(super) fn role_changes(&self) -> u64 {
        let servers: Vec<_> = self.by.values().collect();
        servers.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
    }

    /// How often a server went on without the other one.
    pub(super) fn solos(&self) -> u64 {
        self.solo.len() as u64
    }

    pub(super) fn is_solo(&self, epoch: u64) -> bool {
        self.solo.contains(&epoch)
    }

    /// Whether anybody was alone in this epoch or a later one.
    pub(super) fn solo_from(&self, epoch: u64) -> bool {
        self.solo.range(epoch..).next().is_some()
    }
}

fn epoch_in(line: &str) -> Option<u64> {
    line.split("epoch: ").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_carries_on_alone_and_gets_its_pair_back_has_changed_no_role() {
        let one = "a pair, as main, epoch: 1\ncarrying on alone, actor: x, epoch: 2, peer: b\na pair, as main, epoch: 3\n";
        let epochs = Epochs::of(&[one.into(), "a pair, as sub, epoch: 3\n".into()]);
        assert_eq!((epochs.role_changes(), epochs.solos(), epochs.shared()), (0, 1, vec![]));
        assert!(epochs.is_solo(2) && epochs.solo_from(2) && !epochs.solo_from(3));
        let epochs = Epochs::of(&[one.into(), "took over, actor: x, epoch: 4, peer: a\n".into()]);
        assert_eq!((epochs.role_changes(), epochs.solos()), (1, 2));
    }
}
