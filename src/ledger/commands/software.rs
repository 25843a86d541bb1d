//! Whether a terminal's own software is recent enough, as `hello` and `heartbeat` ask.

use serde::Serialize;

use crate::ledger::call::Stop;
use crate::ledger::fields::Text;
use crate::ledger::texts::{Code, Refusal};

/// Name and version of the terminal's own software, the version last: `seat 1.4`.
pub(super) type Software = Text<64>;

/// Major and minor version of the oldest software that this server works with. No release of the server has left any behind yet: 1.0 is
/// the first that can speak to it.
const SOFTWARE_MIN: (u32, u32) = (1, 0);

/// A terminal that does not say its version, or not in numbers, cannot be judged and is let in.
///
/// # Errors
/// `VERSION_TOO_OLD`, with the oldest version that would do.
pub(super) fn refuse_old(software: Option<&Software>) -> Result<(), Stop> {
    #[derive(Serialize)]
    struct Least {
        software_min: String,
    }
    let version = software.and_then(|software| version_of(software.as_str()));
    if version.is_none_or(|version| version >= SOFTWARE_MIN) {
        return Ok(());
    }
    let (major, minor) = SOFTWARE_MIN;
    Err(Refusal::with(Code::VersionTooOld, &Least { software_min: format!("{major}.{minor}") }).into())
}

/// Of the last word; what follows major and minor does not matter.
fn version_of(software: &str) -> Option<(u32, u32)> {
    let word = software.split_whitespace().next_back()?;
    let mut numbers = word.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn the_version_is_the_last_word_and_of_it_major_and_minor() {
        for (software, version) in [
            ("seat 1.0", Some((1, 0))),
            ("0.9.12", Some((0, 9))),
            ("counter mk 2 v3.14-rc1", Some((3, 14))),
            ("kiosk 7", Some((7, 0))),
            ("unnamed", None),
            ("99999999999.1", None),
            ("", None),
        ] {
            assert_eq!(version_of(software), version, "{software}");
        }
    }
}
