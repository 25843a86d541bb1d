//! Two machines, a register and a network that loses and delays, driven at random from a seed: the oracle is P1 and P2, and that
//! a world without further faults ends as a Pair. Small beside a model checker, but it runs the same machine in every test run.

use std::collections::VecDeque;

use super::*;

mod turns;

/// xorshift64*: a seed replays exactly.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// One server: its disk survives, the rest does not.
struct Box {
    disk: Coordination,
    journal: Vec<Position>,
    machine: Option<Failover>,
    events: VecDeque<Event>,
    rule: Rule,
    admits: bool,
    /// DataUpdater may run under this epoch.
    run: Option<Epoch>,
    holds_stream: bool,
    takes: bool,
    watch_level: Option<usize>,
    granting: bool,
    told_standing: Option<Standing>,
}

struct World {
    boxes: [Box; 2],
    register: Register,
    /// Requests on their way to the arbiter; any of them may land late.
    flying: Vec<(usize, Register, Register)>,
    /// Stream open from this server to the other.
    stream: Option<usize>,
    cut: bool,
    /// The arbiter answers nobody; requests go on flying.
    arbiter_away: bool,
    acknowledged: Vec<(Position, Epoch)>,
    acknowledgers: Vec<(Epoch, usize)>,
    dice: Dice,
    next: u8,
}

fn server(index: usize) -> ServerId {
    [ServerId::A, ServerId::B][index]
}

impl World {
    fn new(seed: u64) -> Self {
        let first = register(1, PAIR_A);
        let boxes = [0, 1].map(|index| Box {
            disk: Coordination::first(server(index), &first),
            journal: vec![],
            machine: None,
            events: VecDeque::new(),
            rule: Rule::Closed,
            admits: false,
            run: None,
            holds_stream: false,
            takes: true,
            watch_level: None,
            granting: true,
            told_standing: None,
        });
        let dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut world = Self {
            boxes,
            register: first,
            flying: vec![],
            stream: None,
            cut: false,
            arbiter_away: false,
            acknowledged: vec![],
            acknowledgers: vec![],
            dice,
            next: 0,
        };
        world.start(0);
        world.start(1);
        world
    }

    fn end(&self, index: usize) -> Position {
        self.boxes[index].journal.last().copied().unwrap_or(Position::GENESIS)
    }

    fn start(&mut self, index: usize) {
        let (machine, effects) = Failover::start(self.boxes[index].disk, false);
        self.boxes[index].machine = Some(machine);
        self.boxes[index].granting = true;
        self.perform(index, effects);
    }

    fn crash(&mut self, index: usize) {
        let gone = &mut self.boxes[index];
        (gone.machine, gone.run, gone.rule, gone.admits) = (None, None, Rule::Closed, false);
        gone.events.clear();
        (gone.watch_level, gone.takes) = (None, true);
        gone.told_standing = None;
        self.end_stream();
    }

    fn end_stream(&mut self) {
        if let Some(holder) = self.stream.take() {
            self.boxes[holder].events.push_back(Event::StreamLost);
        }
    }

    fn step(&mut self, index: usize, event: Event) {
        let stored = self.end(index);
        let view = View { stored, recordable: Position::GENESIS };
        let Some(machine) = self.boxes[index].machine.as_mut() else { return };
        let effects = machine.step(&view, event);
        self.perform(index, effects);
    }

    /// In order; a crash may come between any two.
    fn perform(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            if self.dice.roll(400) == 0 && !self.calm() {
                return self.crash(index);
            }
            self.perform_one(index, effect);
        }
        let standing = self.boxes[index].machine.as_ref().map(Failover::standing);
        if standing != self.boxes[index].told_standing {
            self.boxes[index].told_standing = standing;
        }
    }

    fn calm(&self) -> bool {
        self.next == u8::MAX
    }

    fn perform_one(&mut self, index: usize, effect: Effect) {
        let own = &mut self.boxes[index];
        match effect {
            Effect::Note(disk) => {
                assert!(disk.held.0 >= own.disk.held.0, "the epoch held never goes back");
                own.disk = disk;
            }
            Effect::Ask { expected, new } => self.flying.push((index, expected, new)),
            Effect::ReadRegister if self.arbiter_away => {}
            Effect::ReadRegister => own.events.push_back(Event::Register(self.register)),
            Effect::Gate(rule) => own.rule = rule,
            Effect::Begin { epoch, holder } => {
                own.run = matches!(holder, Holder::Solo { .. }).then_some(epoch);
                self.end_stream();
                self.boxes[index].holds_stream = true;
            }
            Effect::Continue { epoch, .. } => own.run = Some(epoch),
            Effect::Cease => {
                (own.run, own.holds_stream) = (None, false);
                if self.stream == Some(index) {
                    self.end_stream();
                }
            }
            Effect::Admit(admits) => {
                own.admits = admits;
                if !admits && self.stream == Some(1 - index) {
                    self.end_stream();
                }
            }
            Effect::Stream(verdict) => self.open_stream(index, verdict),
            Effect::TakeCommands(takes) => own.takes = takes,
            Effect::WatchLevel => own.watch_level = Some(own.journal.len()),
            Effect::Tell(tell) => self.tell(index, tell),
            Effect::GrantLeases(granting) => own.granting = granting,
            Effect::Exit(_) => self.crash(index),
            Effect::Addresses(..) | Effect::Dismiss | Effect::Story(_) => {}
        }
    }

    fn tell(&mut self, index: usize, tell: TellPeer) {
        if self.stream.is_none() {
            return;
        }
        let event = match tell {
            TellPeer::Intend(register) => Event::IntendWanted(register),
            TellPeer::Enter(register) => Event::EnterWanted(register),
            TellPeer::Intended(register) => Event::PeerIntended(register),
        };
        self.boxes[1 - index].events.push_back(event);
    }

    /// The follower has judged: compare, take over or cut, as `machines::stream` does.
    fn open_stream(&mut self, follower: usize, verdict: StreamVerdict) {
        let holder = 1 - follower;
        let may_cut = match verdict {
            StreamVerdict::AsSub => false,
            StreamVerdict::Rejoining => true,
            StreamVerdict::NotNow | StreamVerdict::EpochOld { .. } => return,
        };
        let common = (0..)
            .take_while(|&n| self.boxes[0].journal.get(n) == self.boxes[1].journal.get(n) && n < self.boxes[0].journal.len());
        let common = common.count();
        if self.boxes[follower].journal.len() > common {
            let fresh = self.boxes[holder].run.is_none();
            if may_cut {
                self.boxes[follower].journal.truncate(common);
            } else if fresh && self.boxes[holder].journal.len() == common {
                self.boxes[holder].journal = self.boxes[follower].journal.clone();
            } else {
                return;
            }
        }
        self.stream = Some(holder);
        if !may_cut {
            // DataUpdater starts once both are compared.
            let epoch = self.boxes[holder].disk.held.0;
            self.boxes[holder].run.get_or_insert(epoch);
        }
        self.boxes[holder].events.push_back(Event::Compared);
    }

    /// A command, if this server would execute one; acknowledged as soon as its rule allows.
    fn execute(&mut self, index: usize) {
        let Some(epoch) = self.boxes[index].run else { return };
        let own = &self.boxes[index];
        if own.rule == Rule::Closed || !own.takes || own.machine.is_none() {
            return;
        }
        let last = self.end(index);
        let mut digest = last.digest.0;
        digest.rotate_left(3);
        digest[0] = digest[0].wrapping_add(self.dice.roll(251) as u8 + 1);
        let epoch = epoch.max(last.epoch);
        self.boxes[index].journal.push(Position { epoch, sequence: last.sequence.next(), digest: Digest(digest) });
        self.acknowledge(index);
    }

    fn replicate(&mut self) {
        let Some(holder) = self.stream.filter(|_| !self.cut) else { return };
        let (from, to) = (&self.boxes[holder].journal, &self.boxes[1 - holder].journal);
        if self.boxes[1 - holder].machine.is_none() || to.len() > from.len() || from[..to.len()] != to[..] {
            return self.end_stream();
        }
        if let Some(next) = from.get(to.len()).copied() {
            self.boxes[1 - holder].journal.push(next);
        }
        self.acknowledge(holder);
        if !self.boxes[holder].takes && self.boxes[holder].journal.len() == self.boxes[1 - holder].journal.len() {
            self.boxes[holder].events.push_back(Event::Drained);
        }
        let level = self.boxes[holder].watch_level.is_some_and(|mark| self.boxes[1 - holder].journal.len() >= mark);
        if level {
            self.boxes[holder].watch_level = None;
            self.boxes[holder].events.push_back(Event::PeerLevel);
        } else if self.boxes[holder].watch_level.is_none() {
            self.boxes[holder].events.push_back(Event::PeerNear);
        }
    }

    /// P1 and P2, the moment anything is acknowledged.
    fn acknowledge(&mut self, index: usize) {
        let upto = match self.boxes[index].rule {
            Rule::Closed | Rule::Leased(_) => return,
            Rule::Own(_) => self.boxes[index].journal.len(),
            Rule::Both(_) if self.stream == Some(index) && !self.cut => {
                self.boxes[index].journal.len().min(self.boxes[1 - index].journal.len())
            }
            Rule::Both(_) => return,
        };
        let epoch = self.boxes[index].disk.held.0;
        for (position, _) in &self.acknowledged {
            let held = self.boxes[index].journal.get(position.sequence.0 as usize - 1);
            assert_eq!(held, Some(position), "P2: {} acknowledges but lacks an acknowledged entry", index);
        }
        let newest = self.acknowledged.len();
        for position in self.boxes[index].journal[..upto].iter().skip(newest) {
            self.acknowledged.push((*position, epoch));
            self.acknowledgers.push((epoch, index));
        }
        let others = self.acknowledgers.iter().filter(|(at, who)| *at == epoch && *who != index);
        assert_eq!(others.count(), 0, "P1: two acknowledgers in epoch {}", epoch.0);
    }
}

#[test]
fn two_machines_in_a_world_of_faults_lose_nothing_and_end_as_a_pair() {
    for seed in 1..=400 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.random_turn();
        }
        world.settle();
        assert!(world.is_a_pair(), "seed {seed}: {:?}, register {:?}", world.states(), world.register);
        assert!(!world.acknowledged.is_empty(), "seed {seed}: nothing was acknowledged");
    }
}

/// P5: disks that say Pair of the same epoch need nobody else, whatever the two tried while they missed each other.
#[test]
fn two_servers_of_one_pair_that_are_both_up_serve_without_the_arbiter() {
    let mut seen = 0;
    for seed in 1..=400 {
        let mut world = World::new(seed);
        world.arbiter_away = true;
        for _ in 0..300 {
            world.random_turn();
            world.arbiter_away = true;
        }
        let pair_of_one_epoch =
            world.boxes[0].disk.held == world.boxes[1].disk.held && world.boxes.iter().all(|own| own.disk.in_sync);
        if pair_of_one_epoch {
            seen += 1;
            world.go_on_without_faults();
            assert!(world.is_a_pair(), "seed {seed}: {:?}", world.states());
        }
    }
    assert_eq!(seen, 400, "nobody can leave the first pair without the arbiter");
}
