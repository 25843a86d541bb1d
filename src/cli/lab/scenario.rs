//! A scenario: what happens to a pair at work, step by step, as a file that a person reads and writes.

use serde::{Deserialize, Serialize};

use super::step::{Act, Step};
use crate::cli::{Failure, load};

/// Steps of one scenario; a soak's round has some hundred.
const STEPS_MAX: usize = 2_000;
/// Rounds of one scenario: an hour and a half of a link that flaps every three seconds. All of its history is read into memory.
const TIMES_MAX: u32 = 1_000;

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
    /// What it shows if it holds, in one sentence, for whoever chooses.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) proves: String,
    /// The rows of the list of faults (ARCHITECTURE.md) that it plays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rows: Vec<u8>,
    /// Takes so long that it is played only when it is named.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(super) long: bool,
    /// A cable of their own joins the two servers: entries go over it, heartbeats over it and over the LAN.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(super) direct: bool,
    /// How often the other server may become the one that serves; more is a broken promise of its own, `roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role_changes_max: Option<u64>,
    /// How often a server may go on without the other one; more is a broken promise of its own, `pair`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) solos_max: Option<u64>,
    /// How often all steps are taken, one after another.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub(super) times: u32,
    pub(super) steps: Vec<Step>,
}

fn terminals() -> u16 {
    24
}

fn per_second() -> f64 {
    200.0
}

fn once() -> u32 {
    1
}

fn is_once(times: &u32) -> bool {
    *times == 1
}

fn is_not(set: &bool) -> bool {
    !set
}

impl Scenario {
    /// Everything else as it is where a file does not say it.
    pub(super) fn new(name: String, title: String, steps: Vec<Step>) -> Self {
        Self {
            name,
            title,
            steps,
            terminals: terminals(),
            per_second: per_second(),
            proves: String::new(),
            rows: vec![],
            long: false,
            direct: false,
            role_changes_max: None,
            solos_max: None,
            times: once(),
        }
    }

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
        if !(1..=TIMES_MAX).contains(&self.times) {
            return Err(format!("times is {}, expected 1 to {TIMES_MAX}", self.times));
        }
        let mut somebody = false;
        for (number, step) in self.steps.iter().enumerate() {
            if let Some(mistake) = step.mistake(somebody, self.direct) {
                return Err(format!("step {}: {}: {mistake}", number + 1, step.act));
            }
            somebody |= step.whom.is_some();
        }
        Ok(())
    }

    /// Whether it needs a program that drops packets.
    pub(super) fn loses_packets(&self) -> bool {
        self.steps.iter().any(|step| step.act == Act::Lose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Scenario::read("s.toml", text).expect_err("it is bad").message
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
        assert_eq!(refused(&format!("{head}times = 0\n[[steps]]\ndo = \"mend\"\n")), "s.toml: times is 0, expected 1 to 1000");
    }
}
