//! Table tests: orders are written as `run a1` (verb, actor, life).

use std::time::Duration;

use super::*;
use crate::report::State;
use crate::spec::{Backoff, Intensity, Strategy};

mod ending;
mod intensity;
mod order;
mod world;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(elapsed_ms: u64) -> Moment {
    Moment { elapsed: ms(elapsed_ms), unix_ms: 1_000_000 + elapsed_ms }
}

/// A machine and the moment that it believes in.
struct Bench {
    machine: Machine,
    now: u64,
}

/// Build an outline from words: `name(` opens a group, `)` closes it, others are permanent actors,
/// `name?` transient, `name!` temporary. Groups allow 3 restarts in 1 s and wait 10 ms to 25 ms.
fn outline(strategies: &[Strategy], words: &str) -> Outline {
    let intensity = Intensity { restarts: 3, within: ms(1000) };
    let backoff = Backoff { first: ms(10), cap: ms(25) };
    let mut strategies = strategies.iter();
    let mut outline = Outline::default();
    for word in words.split(' ') {
        if let Some(name) = word.strip_suffix('(') {
            let strategy = strategies.next().expect("one strategy for each group");
            outline.open(name.to_owned(), *strategy, intensity, backoff);
        } else if word == ")" {
            outline.close();
        } else {
            let restart = match &word[1..] {
                "?" => Restart::Transient,
                "!" => Restart::Temporary,
                _ => Restart::Permanent,
            };
            outline.actor(word[..1].to_owned(), restart);
        }
    }
    outline
}

impl Bench {
    fn new(strategies: &[Strategy], words: &str) -> Self {
        Self { machine: Machine::new(outline(strategies, words), at(0)), now: 0 }
    }

    /// All up and running.
    fn running(strategies: &[Strategy], words: &str) -> Self {
        let mut bench = Self::new(strategies, words);
        bench.tick(0);
        for id in 0..bench.machine.actors.len() {
            bench.step(Event::Started { actor: id, life: 1 });
        }
        assert!(bench.machine.actors.iter().all(Actor::is_up));
        bench
    }

    fn id(&self, name: &str) -> ActorId {
        let actors = &self.machine.outline.actors;
        actors.iter().position(|actor| actor.name == name).expect("an actor of this name")
    }

    fn life(&self, name: &str) -> u64 {
        self.machine.actors[self.id(name)].life
    }

    fn step(&mut self, event: Event) -> String {
        let effects = self.machine.step(at(self.now), event);
        let due = self.machine.due();
        assert!(due.is_none_or(|due| due > ms(self.now)), "a moment due in the past spins");
        effects.iter().map(|effect| self.word(effect)).collect::<Vec<_>>().join(", ")
    }

    fn word(&self, effect: &Effect) -> String {
        let name = |id: &ActorId| &self.machine.outline.actors[*id].name;
        match effect {
            Effect::Order(id, Order::Run { life }) => format!("run {}{life}", name(id)),
            Effect::Order(id, Order::Hold { life }) => format!("hold {}{life}", name(id)),
            Effect::Order(id, Order::Stop) => format!("stop {}", name(id)),
            Effect::Order(id, Order::Leave) => format!("leave {}", name(id)),
            Effect::End(Ended::Stopped(stopped)) => format!("stopped {:?}", stopped.left_behind),
            Effect::End(Ended::Escalated(escalation)) => format!("escalated {}", escalation.cause),
        }
    }

    fn tick(&mut self, pass_ms: u64) -> String {
        self.now += pass_ms;
        self.step(Event::Tick)
    }

    fn started(&mut self, name: &str) -> String {
        self.step(Event::Started { actor: self.id(name), life: self.life(name) })
    }

    fn held(&mut self, name: &str) -> String {
        self.step(Event::Held { actor: self.id(name), life: self.life(name) })
    }

    fn exits(&mut self, name: &str, end: End) -> String {
        self.step(Event::Exited { actor: self.id(name), life: self.life(name), end })
    }

    fn panics(&mut self, name: &str) -> String {
        self.exits(name, End::Panicked(format!("{name} panicked")))
    }

    fn left(&mut self, name: &str) -> String {
        self.step(Event::Left { actor: self.id(name), last_words: None })
    }

    fn stop(&mut self, within_ms: u64) -> String {
        self.step(Event::Stop { within: ms(within_ms) })
    }

    fn state(&self, path: &str) -> State {
        self.machine.report().find(path).expect("a child at this path").state
    }

    /// Panic, wait out the longest backoff, and be up again.
    fn falls_and_returns(&mut self, name: &str) -> String {
        let orders = self.panics(name);
        self.tick(25);
        self.started(name);
        orders
    }
}
