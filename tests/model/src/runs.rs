//! What is explored: by the tests, and with more time.

use crate::pair::{Bounds, From, Pair};
use crate::planted::Planted;

#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub name: &'static str,
    pub pair: Pair,
    /// How many states there are, where that is known: another number means that something else was explored than was thought.
    pub states: Option<usize>,
}

/// One command that becomes one entry, up to the epoch after a takeover and the return to a Pair.
const ONE: Bounds = Bounds {
    commands: 1,
    entries: 1,
    crashes: 0,
    rebirths: 0,
    alarms: 0,
    breaks: 0,
    lost_answers: 0,
    late: 0,
    refreshes: 0,
    rollbacks: 0,
    switchovers: 0,
    epochs: 3,
};
const TWO: Bounds = Bounds { commands: 2, entries: 2, ..ONE };

impl Run {
    /// About a minute on two cores.
    pub fn tested() -> Vec<Self> {
        let run = |name, from, bounds, states| Self {
            name,
            pair: Pair { bounds, from, ends_well: bounds.rollbacks == 0, planted: None },
            states: Some(states),
        };
        vec![
            run("first start", From::Boot, Bounds { epochs: 2, ..TWO }, 1_791),
            run("first start, a crash", From::Boot, Bounds { crashes: 1, epochs: 2, ..ONE }, 622_976),
            run("a false alarm", From::Pair, Bounds { alarms: 1, ..ONE }, 192_422),
            run("a crash", From::Pair, Bounds { crashes: 1, ..ONE }, 711_701),
            run("a rebirth and a crash", From::Pair, Bounds { rebirths: 1, crashes: 1, epochs: 2, ..ONE }, 995_285),
            run("a false alarm and a lost answer", From::Pair, Bounds { alarms: 1, lost_answers: 1, ..ONE }, 407_879),
            run("a false alarm and a broken stream", From::Pair, Bounds { breaks: 1, alarms: 1, epochs: 2, ..ONE }, 127_695),
            run("a false alarm and late news", From::Pair, Bounds { late: 1, alarms: 1, epochs: 2, ..ONE }, 238_215),
            run("a disk set back", From::Pair, Bounds { rollbacks: 1, refreshes: 1, epochs: 2, ..ONE }, 19_379),
            run("a switchover", From::Pair, Bounds { switchovers: 1, epochs: 2, ..ONE }, 5_036),
            run(
                "a switchover and a lost answer",
                From::Pair,
                Bounds { switchovers: 1, lost_answers: 1, epochs: 2, ..ONE },
                10_092,
            ),
            run("a switchover and a broken stream", From::Pair, Bounds { switchovers: 1, breaks: 1, epochs: 2, ..ONE }, 20_154),
            run("a switchover and a rebirth", From::Pair, Bounds { switchovers: 1, rebirths: 1, epochs: 2, ..ONE }, 42_686),
            run("a switchover and a false alarm", From::Pair, Bounds { switchovers: 1, alarms: 1, epochs: 2, ..ONE }, 274_118),
            run("a crash in a switchover", From::Switching, Bounds { crashes: 1, epochs: 2, ..ONE }, 531_563),
            run("return with two commands", From::TakenOver, Bounds { commands: 2, ..ONE }, 57_921),
            run("return and late news", From::TakenOver, Bounds { late: 1, ..ONE }, 394_706),
            run("return and a broken stream", From::TakenOver, Bounds { breaks: 1, ..ONE }, 140_470),
            run("return and a false alarm", From::TakenOver, Bounds { alarms: 1, ..ONE }, 326_628),
        ]
    }

    /// Larger bounds; nobody has counted their states yet.
    pub fn deep() -> Vec<Self> {
        let run = |name, from, bounds| Self {
            name,
            pair: Pair { bounds, from, ends_well: bounds.rollbacks == 0, planted: None },
            states: None,
        };
        vec![
            run("deep: a rebirth and a false alarm", From::Pair, Bounds { rebirths: 1, alarms: 1, epochs: 2, ..TWO }),
            run("deep: a crash in a switchover", From::Switching, Bounds { crashes: 1, ..ONE }),
            run("deep: a switchover and a crash", From::Pair, Bounds { switchovers: 1, crashes: 1, epochs: 2, ..ONE }),
            run("deep: a switchover, late news", From::Pair, Bounds { switchovers: 1, late: 1, alarms: 1, epochs: 2, ..ONE }),
            run("deep: two crashes", From::Pair, Bounds { crashes: 2, epochs: 2, ..ONE }),
            run("deep: a false alarm and late news", From::Pair, Bounds { late: 1, alarms: 1, ..ONE }),
            run("deep: return, a crash", From::TakenOver, Bounds { crashes: 1, epochs: 4, ..ONE }),
            run("deep: a crash, two commands", From::Pair, Bounds { crashes: 1, ..TWO }),
            run("deep: a crash and an alarm", From::Pair, Bounds { crashes: 1, alarms: 1, ..ONE }),
            run("deep: two alarms", From::Pair, Bounds { alarms: 2, epochs: 4, ..ONE }),
        ]
    }

    /// Bounds within which the bug must be found.
    pub fn planted(bug: Planted) -> Self {
        let (from, bounds) = match bug {
            Planted::SoloBeforeGrant => (From::Pair, Bounds { alarms: 2, ..ONE }),
            Planted::OwnJournalIsNoCondition => (From::Pair, Bounds { crashes: 2, epochs: 2, ..ONE }),
            Planted::NoNeedBeforePair => (From::TakenOver, Bounds { alarms: 2, epochs: 4, ..ONE }),
            Planted::BootWithoutAsking => (From::Pair, Bounds { crashes: 1, ..TWO }),
            Planted::FallBackByReading => (From::TakenOver, Bounds { refreshes: 1, alarms: 1, epochs: 4, ..ONE }),
            Planted::FallBackWithoutRaise => (From::TakenOver, Bounds { breaks: 1, crashes: 1, epochs: 4, ..ONE }),
            Planted::RestartedSoloServes
            | Planted::IdsOutliveACut
            | Planted::PairBeforeLevel
            | Planted::ReturningServerAsks
            | Planted::ComparesByNumber => (From::TakenOver, Bounds { crashes: 1, epochs: 4, ..ONE }),
            Planted::RepeatBeforeConfirmed => (From::Pair, Bounds { crashes: 1, ..ONE }),
            Planted::UncheckedDisk => (From::Pair, Bounds { rollbacks: 1, refreshes: 1, crashes: 1, ..ONE }),
            Planted::SoloComparedAsPair => (From::TakenOver, ONE),
            Planted::ReadWithoutEcho | Planted::ArbiterOverwrites => (From::Pair, Bounds { alarms: 2, ..ONE }),
            Planted::RunOutlivesItsWriter => (From::Pair, Bounds { rebirths: 1, crashes: 1, epochs: 2, ..TWO }),
            Planted::ArbiterForgets => (From::Pair, Bounds { crashes: 2, epochs: 4, ..ONE }),
            Planted::SwitchWithoutArbiter => (From::Pair, Bounds { switchovers: 1, alarms: 1, ..ONE }),
            Planted::IntentEntitles => (From::Pair, Bounds { switchovers: 1, alarms: 1, ..ONE }),
            Planted::AnyIntentWillDo => (From::Pair, Bounds { switchovers: 1, crashes: 1, ..ONE }),
        };
        // What these break is that a pair comes of it.
        let ends_well = matches!(bug, Planted::SwitchWithoutArbiter | Planted::IntentEntitles | Planted::AnyIntentWillDo);
        Self { name: "planted", pair: Pair { bounds, from, ends_well, planted: Some(bug) }, states: None }
    }
}
