//! One step of a scenario: something that is done, to whom, after a pause.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cli::stage::{Path, What};

/// Longest pause before a step, seconds.
const WAIT_S_MAX: f64 = 3_600.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Seconds before it.
    #[serde(default)]
    pub(super) wait_s: f64,
    #[serde(rename = "do")]
    pub(super) act: Act,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) whom: Option<Whom>,
    /// Of `pull` and `plug`, `lan` unless it is said; of `lose`, both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<Path>,
    /// Of `lose`: everything, unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) what: Option<What>,
    /// Of `lose`: how many packets of a hundred; all, unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) percent: Option<u8>,
    /// With this step a fault begins, of this name: the longest wait of all terminals from here to the next fault is its gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Act {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and its end waited for.
    Stop,
    /// SIGSTOP, and its end.
    Freeze,
    Thaw,
    Start,
    /// A cable out, and in again.
    Pull,
    Plug,
    /// Of what somebody sends, packets are lost; and an end of all such losses.
    Lose,
    Mend,
    /// Nobody can write a server's store, and an end of it.
    Lock,
    Unlock,
    SwitchOver,
    /// Every processor of this machine is kept busy twice over, and no longer.
    Burden,
    Relieve,
    WaitForPair,
    /// During this step's pause nobody may have been served, and no server says that it serves.
    NobodyServes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Whom {
    /// The server that is Main at that moment, and the other one.
    Main,
    Sub,
    HallA,
    HallB,
    Witness,
    Both,
    /// Both servers and the witness.
    All,
    /// As the step before that named somebody.
    Same,
}

impl Step {
    pub(super) fn new(act: Act, whom: Option<Whom>) -> Self {
        Self { wait_s: 0.0, act, whom, path: None, what: None, percent: None, fault: None }
    }

    pub(super) fn after(self, wait_s: f64) -> Self {
        Self { wait_s, ..self }
    }

    pub(super) fn on(self, path: Path) -> Self {
        Self { path: Some(path), ..self }
    }

    pub(super) fn losing(what: What, percent: u8, whom: Whom) -> Self {
        Self { what: Some(what), percent: Some(percent), ..Self::new(Act::Lose, Some(whom)) }
    }

    /// What is wrong with it, where `somebody` says whether a step before it named anybody, and `direct` whether there is such a cable.
    pub(super) fn mistake(&self, somebody: bool, direct: bool) -> Option<&'static str> {
        let is_on_a_path = matches!(self.act, Act::Pull | Act::Plug | Act::Lose);
        let loses = self.act == Act::Lose;
        if !(0.0..=WAIT_S_MAX).contains(&self.wait_s) {
            return Some("wait_s must be 0 to 3600");
        }
        match (self.act.has_whom(), self.whom) {
            (false, Some(_)) => return Some("takes no whom"),
            (true, None) => return Some("needs whom"),
            (true, Some(Whom::Same)) if !somebody => return Some("nobody was named before"),
            (false, None) | (true, Some(_)) => {}
        }
        match (self.path, self.percent) {
            (Some(_), _) if !is_on_a_path => Some("takes no path"),
            (Some(Path::Direct), _) if !direct => Some("there is no direct path: the scenario needs direct = true"),
            (_, Some(_)) if !loses => Some("takes no percent"),
            (_, Some(percent)) if !(1..=100).contains(&percent) => Some("percent must be 1 to 100"),
            _ if self.what.is_some() && !loses => Some("takes no what"),
            _ => None,
        }
    }
}

impl Act {
    /// Whether it is done to somebody.
    fn has_whom(self) -> bool {
        !matches!(self, Self::Mend | Self::SwitchOver | Self::Burden | Self::Relieve | Self::WaitForPair | Self::NobodyServes)
    }
}

/// As in a file.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_act_does_not_take_is_a_mistake() {
        let kill = Step::new(Act::Kill, Some(Whom::Main));
        let lose = Step::losing(What::Everything, 30, Whom::Main);
        assert_eq!([&kill, &lose].map(|step| step.mistake(false, false)), [None, None]);
        assert_eq!(kill.clone().on(Path::Lan).mistake(false, false), Some("takes no path"));
        assert_eq!(Step { percent: Some(3), ..kill.clone() }.mistake(false, false), Some("takes no percent"));
        assert_eq!(Step { what: Some(What::Entries), ..kill.clone() }.mistake(false, false), Some("takes no what"));
        assert_eq!(Step { whom: None, ..kill }.mistake(false, false), Some("needs whom"));
        assert_eq!(Step { percent: Some(101), ..lose.clone() }.mistake(false, false), Some("percent must be 1 to 100"));
        let direct = lose.on(Path::Direct);
        assert_eq!(direct.mistake(false, true), None);
        assert!(direct.mistake(false, false).is_some_and(|mistake| mistake.contains("direct = true")));
    }
}
