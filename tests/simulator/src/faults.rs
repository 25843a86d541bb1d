//! What goes wrong, and when: drawn from the seed.

use duplex::journal::model_disk::Faults;
use duplex::machines::failover::{Event, State};

use crate::network::Way;
use crate::server::{End, SYNC_MS};
use crate::world::{Happening, World, server};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Killed,
    PowerCut,
    BothPowerCut,
    Frozen,
    /// What it heard before the cut makes it believe, when it wakes, that the other one is there.
    FrozenThenCut,
    Cut,
    OneWayCut,
    Lossy,
    Flapping,
    Reset,
    WitnessAway,
    WitnessCut,
    SlowDisk,
    HangingDisk,
    SyncFails,
    StoreAway,
    StorageReborn,
    ControlReborn,
    Switchover,
    Stop,
    BothStop,
}

/// The end of something that lasts.
#[derive(Clone, Copy, Debug)]
pub enum Over {
    Ways,
    CutNow { ms: u64 },
    CutAgain { ms: u64, times: u64 },
    WitnessAway,
    WitnessCut(usize),
    Disk(usize),
    Store(usize),
}

/// How often each comes, beside the others.
const WEIGHTS: [(Fault, u64, &str); 21] = [
    (Fault::Killed, 10, "killed"),
    (Fault::PowerCut, 8, "power cut"),
    (Fault::BothPowerCut, 4, "power cut on both"),
    (Fault::Frozen, 6, "frozen"),
    (Fault::FrozenThenCut, 4, "frozen, then cut off"),
    (Fault::Cut, 7, "cut between the servers"),
    (Fault::OneWayCut, 4, "cut one way"),
    (Fault::Lossy, 3, "datagrams lost"),
    (Fault::Flapping, 1, "flapping link"),
    (Fault::Reset, 3, "stream reset"),
    (Fault::WitnessAway, 5, "witness away"),
    (Fault::WitnessCut, 5, "witness cut off from one"),
    (Fault::SlowDisk, 2, "slow disk"),
    (Fault::HangingDisk, 2, "hanging disk"),
    (Fault::SyncFails, 1, "fdatasync fails"),
    (Fault::StoreAway, 3, "store away"),
    (Fault::StorageReborn, 3, "storage actors reborn"),
    (Fault::ControlReborn, 3, "control actors reborn"),
    (Fault::Switchover, 8, "switchover"),
    (Fault::Stop, 3, "clean stop"),
    (Fault::BothStop, 1, "clean stop of both"),
];

impl World {
    pub fn plan_next_fault(&mut self) {
        if self.calm {
            return;
        }
        let total = WEIGHTS.iter().map(|(_, weight, _)| weight).sum();
        let mut drawn = self.dice.roll(total);
        for (fault, weight, _) in WEIGHTS {
            if drawn < weight {
                let after = self.pace * self.dice.scale(200, 12_000);
                return self.after(after, Happening::Fault(fault));
            }
            drawn -= weight;
        }
    }

    pub fn commit(&mut self, fault: Fault) {
        if self.calm {
            return;
        }
        let name = WEIGHTS.iter().find(|(of, ..)| *of == fault).map_or("", |(.., name)| name);
        *self.report.faults.entry(name).or_default() += 1;
        let index = self.victim();
        let back_after = self.dice.scale(50, 12_000);
        let lasts = self.dice.scale(60, 8_000);
        match fault {
            Fault::Killed => self.end(index, End::Killed, back_after),
            Fault::PowerCut => self.end(index, End::PowerCut, back_after),
            Fault::BothPowerCut => {
                let other_after = self.dice.scale(50, 12_000);
                self.end(index, End::PowerCut, back_after);
                self.end(1 - index, End::PowerCut, other_after);
            }
            Fault::Frozen => self.freeze(index, lasts),
            Fault::FrozenThenCut => {
                self.freeze(index, lasts);
                let soon = self.dice.roll(350);
                self.after(soon, Happening::Over(Over::CutNow { ms: lasts }));
            }
            Fault::Cut | Fault::OneWayCut | Fault::Lossy | Fault::Flapping => self.disturb_ways(fault, index, lasts),
            Fault::Reset => self.reset_links(),
            Fault::WitnessAway => {
                self.witness.is_away = true;
                self.witness.life += 1;
                self.after(lasts, Happening::Over(Over::WitnessAway));
            }
            Fault::WitnessCut => {
                self.witness.is_cut[index] = true;
                self.after(lasts, Happening::Over(Over::WitnessCut(index)));
            }
            Fault::SlowDisk | Fault::HangingDisk | Fault::SyncFails | Fault::StoreAway => self.harm_disk(fault, index, lasts),
            Fault::StorageReborn => self.storage_reborn(index),
            Fault::ControlReborn => self.control_reborn(index),
            Fault::Switchover => (0..2).for_each(|index| self.want_switchover(index)),
            Fault::Stop => self.want_stop(index),
            Fault::BothStop => (0..2).for_each(|index| self.want_stop(index)),
        }
        (0..2).for_each(|index| self.settle(index));
    }

    /// Main twice as often: more hangs on it.
    fn victim(&mut self) -> usize {
        let main = (0..2).find(|index| {
            let process = self.servers[*index].process.as_ref();
            process.is_some_and(|process| process.coordinator.machine.state() == State::Main)
        });
        let any = self.dice.roll(2) as usize;
        main.filter(|_| self.dice.once_in(3)).unwrap_or(any)
    }

    pub fn over(&mut self, what: Over) {
        match what {
            Over::Ways => self.mend_ways(),
            Over::CutNow { .. } if self.calm => {}
            Over::CutNow { ms } => {
                self.network.ways = [Way { is_cut: true, ..Way::default() }; 2];
                self.after(ms, Happening::Over(Over::Ways));
            }
            Over::CutAgain { ms, times } if times > 0 && !self.calm => {
                let is_cut = !self.network.ways[0].is_cut;
                self.network.ways = [Way { is_cut, ..Way::default() }; 2];
                self.release_held();
                self.after(ms, Happening::Over(Over::CutAgain { ms, times: times - 1 }));
            }
            Over::CutAgain { .. } => self.mend_ways(),
            Over::WitnessAway => self.witness.is_away = self.plan.without_arbiter,
            Over::WitnessCut(index) => self.witness.is_cut[index] = false,
            Over::Disk(index) => self.servers[index].sync_ms = SYNC_MS,
            Over::Store(index) => self.servers[index].store.is_away = false,
        }
    }

    fn mend_ways(&mut self) {
        self.network.ways = [Way::default(); 2];
        self.release_held();
    }

    fn disturb_ways(&mut self, fault: Fault, index: usize, lasts: u64) {
        let cut = Way { is_cut: true, ..Way::default() };
        let lossy = Way { lost_percent: self.dice.between(1, 60), jitter_ms: self.dice.scale(1, 200), is_cut: false };
        match fault {
            Fault::OneWayCut => self.network.ways[index] = cut,
            Fault::Lossy => self.network.ways = [lossy; 2],
            Fault::Flapping => {
                let ms = self.dice.scale(100, 3_000);
                return self.over(Over::CutAgain { ms, times: 8 });
            }
            _ => self.network.ways = [cut; 2],
        }
        self.after(lasts, Happening::Over(Over::Ways));
    }

    fn harm_disk(&mut self, fault: Fault, index: usize, lasts: u64) {
        match fault {
            Fault::SyncFails => return self.break_next_sync(index),
            Fault::StoreAway => {
                self.servers[index].store.is_away = true;
                return self.after(lasts, Happening::Over(Over::Store(index)));
            }
            Fault::HangingDisk => self.servers[index].sync_ms = (400, 3_000),
            _ => self.servers[index].sync_ms = (100, 400),
        }
        self.after(lasts, Happening::Over(Over::Disk(index)));
    }

    fn freeze(&mut self, index: usize, lasts: u64) {
        let run = self.servers[index].run;
        if let Some(process) = self.servers[index].process.as_mut() {
            process.is_frozen = true;
            self.after(lasts, Happening::Thaw { server: index, run });
        }
    }

    /// One of the storage actors panics, and begins anew behind its address.
    fn storage_reborn(&mut self, index: usize) {
        let which = self.dice.roll(3);
        if self.servers[index].process.as_ref().is_none_or(|process| process.is_frozen) {
            return;
        }
        self.note(|| format!("{:?}: storage actor {which} is reborn", server(index)));
        let is_over = match which {
            0 => self.updater_reborn(index),
            1 => self.sender_reborn(index),
            _ => self.writer_reborn(index),
        };
        if is_over {
            self.event(index, Event::StorageReborn);
        }
    }

    /// From now on nothing goes wrong any more.
    pub fn calm_down(&mut self) {
        self.note(|| "nothing goes wrong any more".to_owned());
        self.calm = true;
        self.mend_ways();
        (self.witness.is_away, self.witness.is_cut) = (self.plan.without_arbiter, [false; 2]);
        for index in 0..2 {
            self.servers[index].sync_ms = SYNC_MS;
            self.servers[index].store.is_away = false;
            self.servers[index].journal.set_faults(Faults::default());
            let run = self.servers[index].run;
            self.after(0, Happening::Thaw { server: index, run });
            self.after(1_000, Happening::Start { server: index });
        }
    }
}
