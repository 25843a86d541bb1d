//! The file that `--report` names: JSON, for programs.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::Failure;

/// Whether it can be written: said before the work and not after it.
pub(super) fn prepare(file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let opened = File::options().create(true).append(true).open(file);
    opened.map(drop).map_err(|e| Failure::usage(format!("--report {}: {e}", file.display())))
}

pub(super) fn write(file: Option<&Path>, report: &impl Serialize) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let bad = |e: io::Error| Failure::failed(format!("--report {}: {e}", file.display()));
    let mut text = serde_json::to_vec_pretty(report).map_err(|e| bad(e.into()))?;
    text.push(b'\n');
    std::fs::write(file, text).map_err(bad)
}
