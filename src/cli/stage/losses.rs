//! Packets that are lost on their way: dropped where a machine's cable ends, so that its sender hears of nothing.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::boxes::{Boxes, Machine, NoBoxes, Path, port_of};
use crate::cli::init::{HEARTBEAT_PORT, PEER_PORT};

/// Of what a machine sends, what is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum What {
    Everything,
    /// What goes to the other server.
    ToPeer,
    ToWitness,
    /// The link to the other server, on which entries travel.
    Entries,
    Heartbeats,
}

/// So many in a hundred, on one path or on every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Loss {
    pub(in crate::cli) from: Machine,
    pub(in crate::cli) path: Option<Path>,
    pub(in crate::cli) what: What,
    pub(in crate::cli) percent: u8,
}

/// # Errors
/// This machine has no program that can drop packets.
pub(in crate::cli) fn can_lose() -> Result<(), NoBoxes> {
    let asked = Command::new("nft").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.map(drop).map_err(|e| NoBoxes(format!("nft (package nftables), which drops packets: {e}")))
}

/// From now on these are the losses, and no others. `direct` says whether a cable joins the servers.
///
/// # Errors
/// What nft says.
pub(super) fn lose(losses: &[Loss], boxes: &Boxes, direct: bool) -> Result<(), NoBoxes> {
    let failed = |reason: String| NoBoxes(format!("nft: {reason}"));
    let child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|e| failed(e.to_string()))?;
    // Dropped at once: nft reads to the end.
    let given = child.stdin.take().map(|mut input| input.write_all(script(losses, boxes, direct).as_bytes()));
    let output = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    if output.status.success() && given.is_some_and(|given| given.is_ok()) {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("failed").to_owned()))
}

/// One transaction: the table is made anew. Adding it first makes deleting it no error.
fn script(losses: &[Loss], boxes: &Boxes, direct: bool) -> String {
    let mut text = "add table netdev lab\ndelete table netdev lab\ntable netdev lab {\n".to_owned();
    let has = |machine, path| path == Path::Lan || direct && Machine::SERVERS.contains(&machine);
    let everywhere = losses.iter().flat_map(|loss| [Path::Lan, Path::Direct].map(|path| (*loss, path)));
    let there = everywhere.filter(|(loss, path)| loss.path.is_none_or(|only| only == *path) && has(loss.from, *path));
    for (number, (loss, path)) in there.enumerate() {
        let hook = format!("type filter hook ingress device \"{}\" priority {number}", port_of(loss.from, path));
        let rules: String = rules(loss, path, boxes).iter().map(|rule| format!("{rule}\n")).collect();
        text.push_str(&format!("chain lost{number} {{ {hook}; policy accept;\n{rules}}}\n"));
    }
    text.push_str("}\n");
    text
}

fn rules(loss: Loss, path: Path, boxes: &Boxes) -> Vec<String> {
    let to = |machine| format!("ip daddr {} ", boxes.address(machine));
    let matches = match (loss.what, path) {
        (What::Everything, _) | (What::ToPeer, Path::Direct) => vec![String::new()],
        (What::ToPeer, Path::Lan) => vec![to(loss.from.other())],
        (What::ToWitness, Path::Lan) => vec![to(Machine::Witness)],
        (What::ToWitness, Path::Direct) => vec![],
        (What::Entries, _) => vec![format!("tcp dport {PEER_PORT} "), format!("tcp sport {PEER_PORT} ")],
        (What::Heartbeats, _) => vec![format!("udp dport {HEARTBEAT_PORT} ")],
    };
    let chance = if loss.percent < 100 { format!("numgen random mod 100 < {} ", loss.percent) } else { String::new() };
    matches.into_iter().map(|matched| format!("{matched}{chance}drop")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_a_chain_at_the_end_of_each_cable_that_it_concerns() {
        let loss = |from, path, what, percent| Loss { from, path, what, percent };
        let losses = [
            loss(Machine::ServerA, None, What::ToPeer, 100),
            loss(Machine::Witness, None, What::Everything, 30),
            loss(Machine::ServerB, Some(Path::Direct), What::Entries, 5),
        ];
        let text = script(&losses, &Boxes::Namespaces, true);
        let chains: Vec<&str> = text.lines().filter(|line| !line.contains("table")).collect();
        assert_eq!(
            chains,
            [
                "chain lost0 { type filter hook ingress device \"cable1\" priority 0; policy accept;",
                "ip daddr 198.18.77.2 drop",
                "}",
                "chain lost1 { type filter hook ingress device \"direct1\" priority 1; policy accept;",
                "drop",
                "}",
                "chain lost2 { type filter hook ingress device \"cable3\" priority 2; policy accept;",
                "numgen random mod 100 < 30 drop",
                "}",
                "chain lost3 { type filter hook ingress device \"direct2\" priority 3; policy accept;",
                "tcp dport 7400 numgen random mod 100 < 5 drop",
                "tcp sport 7400 numgen random mod 100 < 5 drop",
                "}",
                "}",
            ]
        );
        assert!(!script(&losses, &Boxes::Namespaces, false).contains("direct"), "no cable joins them");
    }
}
