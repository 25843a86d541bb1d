//! The stateright model: what may happen, what follows, and what must hold.

use stateright::{Model, Property};

use crate::actions::Action;
use crate::machines::failover::State;
use crate::planted::Planted;
use crate::world::World;

/// How often each thing may still go wrong, and how much may be done. Exhaustive means: every order of all that is within these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Different commands, and entries made of them: a command that is lost is sent again.
    pub commands: u8,
    pub entries: u8,
    /// Servers that crash, anywhere, also between two effects of one step.
    pub crashes: u8,
    /// Storage actors that are reborn while their server lives.
    pub rebirths: u8,
    /// The peer counts as lost though it runs: silence, delay, loss in one direction.
    pub alarms: u8,
    /// Streams that break though both servers run.
    pub breaks: u8,
    /// Answers of the arbiter that never come.
    pub lost_answers: u8,
    /// Heartbeats and readings of the register that come late.
    pub late: u8,
    /// Refreshes of the recorded position.
    pub refreshes: u8,
    /// Disks that are set back to the day of their installation, once the arbiter has recorded more.
    pub rollbacks: u8,
    /// A Main that is told to give its role to its Sub.
    pub switchovers: u8,
    /// No server asks for an epoch above this one.
    pub epochs: u64,
}

impl Bounds {
    /// One bound by its name.
    ///
    /// # Errors
    /// There is none of that name, or the number is too large for it.
    pub fn set(&mut self, name: &str, number: u64) -> Result<(), String> {
        let bound = match name {
            "commands" => &mut self.commands,
            "entries" => &mut self.entries,
            "crashes" => &mut self.crashes,
            "rebirths" => &mut self.rebirths,
            "alarms" => &mut self.alarms,
            "breaks" => &mut self.breaks,
            "lost_answers" => &mut self.lost_answers,
            "late" => &mut self.late,
            "refreshes" => &mut self.refreshes,
            "rollbacks" => &mut self.rollbacks,
            "switchovers" => &mut self.switchovers,
            "epochs" => {
                self.epochs = number;
                return Ok(());
            }
            _ => return Err("no bound of that name".into()),
        };
        *bound = u8::try_from(number).map_err(|_| "at most 255".to_owned())?;
        Ok(())
    }
}

/// The pair, its bounds, and the bug that was planted into it, if any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair {
    pub bounds: Bounds,
    pub planted: Option<Planted>,
    /// From every state: without further faults, both end as a pair that acknowledges.
    pub ends_well: bool,
    pub from: From,
}

/// Where the exploration begins; what is found from a later beginning is found with fewer steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// At the first start of both.
    Boot,
    #[default]
    Pair,
    /// A, the Main, is asked to give its role to B; B was told to note its intent.
    Switching,
    /// A, the Main, stored a command that never travelled, and crashed; B took over and is Solo; A has just been started again.
    TakenOver,
}

impl Model for Pair {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new(self.bounds, self.planted);
        world.begin_from(self.from);
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.breach.is_none() {
            world.enabled(actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.take(action);
        Some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.servers.iter().all(|server| server.disk.spent.0 <= self.bounds.epochs)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(KEPT, |_, world: &World| world.breach.is_none()),
            // Without these, "kept" could mean that nothing happens.
            Property::sometimes("a command is acknowledged", |_, world: &World| !world.acknowledged.is_empty()),
            Property::sometimes("the other server takes over", |_, world: &World| is_solo(world, 1)),
            Property::sometimes("the other server is made Main", |_, world: &World| {
                world.life(1).is_some_and(|life| life.machine.state() == State::Main)
            }),
            Property::sometimes("two that were not a pair are one again", |_, world: &World| {
                world.is_a_pair() && world.register.epoch.0 > 1
            }),
        ];
        if self.ends_well {
            properties.push(Property::always(ENDS_WELL, |_, world: &World| world.ends_well()));
        }
        properties
    }
}

/// Names of the properties that a counterexample breaks.
pub const KEPT: &str = "P1, P2 and P3 hold";
pub const ENDS_WELL: &str = "without further faults both end as a pair that acknowledges";

fn is_solo(world: &World, server: usize) -> bool {
    world.life(server).is_some_and(|life| matches!(life.machine.state(), State::Solo(_)))
}
