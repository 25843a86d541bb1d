//! A scenario: what happens to a pair at work, step by step, as a file that a person reads and writes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cli::{Failure, load};

/// Steps of one scenario; a soak's round has some hundred.
const STEPS_MAX: usize = 2_000;
/// Longest pause before a step, seconds.
const WAIT_S_MAX: f64 = 3_600.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) name: String,
    /// What it is about, for the table.
    pub(super) title: String,
    #[serde(default = "terminals")]
    pub(super) terminals: u16,
    /// Commands a second of all terminals together.
    #[serde(default = "per_second")]
    pub(super) per_second: f64,
    /// How often who acknowledges may change; more is a broken promise of its own, `roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role_changes_max: Option<u64>,
    pub(super) steps: Vec<Step>,
}

fn terminals() -> u16 {
    24
}

fn per_second() -> f64 {
    200.0
}

/// One thing that is done, after a pause.
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
    /// The cable out of the switch, and into it.
    Pull,
    Plug,
    SwitchOver,
    /// Every processor of this machine is kept busy twice over, and no longer.
    Burden,
    Relieve,
    WaitForPair,
}

impl Act {
    /// Whether it is done to somebody.
    fn has_whom(self) -> bool {
        !matches!(self, Self::SwitchOver | Self::Burden | Self::Relieve | Self::WaitForPair)
    }
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

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Start => "start",
            Self::Pull => "pull",
            Self::Plug => "plug",
            Self::SwitchOver => "switch-over",
            Self::Burden => "burden",
            Self::Relieve => "relieve",
            Self::WaitForPair => "wait-for-pair",
        })
    }
}

impl Scenario {
    /// Reads a scenario's text; `file` names it in an error.
    ///
    /// # Errors
    /// Line and reason.
    pub(super) fn read(file: &str, text: &str) -> Result<Self, Failure> {
        let bad = |reason: String| Failure::usage(format!("{file}: {reason}"));
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            bad(format!("line {line}: {}", error.message()))
        })?;
        scenario.check().map_err(bad)?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=STEPS_MAX).contains(&self.steps.len()) {
            return Err(format!("{} steps, expected 1 to {STEPS_MAX}", self.steps.len()));
        }
        if !load::is_rate(self.per_second) || self.terminals == 0 || self.terminals > 3_500 {
            return Err("per_second must be above 0, and terminals 1 to 3500".into());
        }
        let mut somebody = false;
        for (number, step) in self.steps.iter().enumerate() {
            let refuse = |reason: &str| Err(format!("step {}: {}: {reason}", number + 1, step.act));
            if !(0.0..=WAIT_S_MAX).contains(&step.wait_s) {
                return refuse("wait_s must be 0 to 3600");
            }
            match (step.act.has_whom(), step.whom) {
                (false, Some(_)) => return refuse("takes no whom"),
                (false, None) => {}
                (true, None) => return refuse("needs whom"),
                (true, Some(Whom::Same)) if !somebody => return refuse("nobody was named before"),
                (true, Some(_)) => somebody = true,
            }
        }
        Ok(())
    }
}

/// Those that come with the program, in the order of a run.
pub(super) fn built_in() -> Vec<Scenario> {
    let files = [
        include_str!("../../../scenarios/main-killed.toml"),
        include_str!("../../../scenarios/sub-killed.toml"),
        include_str!("../../../scenarios/witness-killed.toml"),
        include_str!("../../../scenarios/power-cut.toml"),
        include_str!("../../../scenarios/main-frozen.toml"),
        include_str!("../../../scenarios/main-isolated.toml"),
        include_str!("../../../scenarios/sub-isolated.toml"),
        include_str!("../../../scenarios/cable-flaps.toml"),
        include_str!("../../../scenarios/main-stopped.toml"),
        include_str!("../../../scenarios/switch-over.toml"),
        include_str!("../../../scenarios/killed-while-switching.toml"),
        include_str!("../../../scenarios/killed-while-returning.toml"),
        include_str!("../../../scenarios/processors-busy.toml"),
    ];
    files.iter().map(|text| Scenario::read("a scenario of this program", text).expect("a test reads them all")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Scenario::read("s.toml", text).expect_err("it is bad").message
    }

    #[test]
    fn every_scenario_of_this_program_can_be_read_and_has_a_name_of_its_own() {
        let mut names: Vec<String> = built_in().into_iter().map(|scenario| scenario.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count), (13, 13));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_or_step() {
        let head = "name = \"n\"\ntitle = \"t\"\n";
        assert_eq!(
            refused(&format!("{head}speed = 3\n[[steps]]\ndo = \"kill\"\n")).split(": unknown").next(),
            Some("s.toml: line 3")
        );
        assert!(refused(&format!("{head}[[steps]]\ndo = \"explode\"\n")).starts_with("s.toml: line 4: unknown variant"));
        let step = |step: &str| refused(&format!("{head}[[steps]]\n{step}\n"));
        assert_eq!(step("do = \"kill\""), "s.toml: step 1: kill: needs whom");
        assert_eq!(step("do = \"kill\"\nwhom = \"same\""), "s.toml: step 1: kill: nobody was named before");
        assert_eq!(step("do = \"kill\"\nwhom = \"main\"\nwait_s = -1.0"), "s.toml: step 1: kill: wait_s must be 0 to 3600");
        assert_eq!(refused(&format!("{head}steps = []\n")), "s.toml: 0 steps, expected 1 to 2000");
    }
}
