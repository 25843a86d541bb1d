//! The second path of a stage: a cable from server to server, and both configurations told of it, as a person would.

use std::fs;

use super::boxes::{Machine, NoBoxes, direct_address, join as join_boxes};
use super::cast::Cast;
use crate::cli::Failure;
use crate::cli::init::{HEARTBEAT_PORT, PEER_PORT};

/// Entries go over the new cable, heartbeats over both.
///
/// # Errors
/// No cable can be made; a configuration that is not as `init` writes it.
pub(super) fn join(cast: &Cast) -> Result<(), Failure> {
    join_boxes().map_err(|NoBoxes(reason)| Failure::failed(reason))?;
    Machine::SERVERS.into_iter().try_for_each(|server| {
        let file = cast.config(server);
        let bad = |reason: String| Failure::failed(format!("{}: {reason}", file.display()));
        let text = fs::read_to_string(&file).map_err(|e| bad(e.to_string()))?;
        let lan = [server, server.other()].map(|machine| cast.boxes.address(machine).to_string());
        let direct = [server, server.other()].map(|machine| direct_address(machine).to_string());
        let text = rewritten(&text, &lan, &direct).ok_or_else(|| bad("it has not one path, as init writes it".into()))?;
        fs::write(&file, text).map_err(|e| bad(e.to_string()))
    })
}

/// Both addresses: this server's own first.
fn rewritten(text: &str, lan: &[String; 2], direct: &[String; 2]) -> Option<String> {
    let beats = |[local, peer]: &[String; 2]| {
        format!("    {{ local = \"{local}:{HEARTBEAT_PORT}\", peer = \"{peer}:{HEARTBEAT_PORT}\" }},\n")
    };
    let links = |[listen, address]: &[String; 2]| {
        [format!("listen = \"{listen}:{PEER_PORT}\""), format!("address = \"{address}:{PEER_PORT}\"")]
    };
    let mut text = replaced(text, &beats(lan), &format!("{}{}", beats(lan), beats(direct)))?;
    for (old, new) in links(lan).iter().zip(links(direct)) {
        text = replaced(&text, old, &new)?;
    }
    Some(text)
}

fn replaced(text: &str, old: &str, new: &str) -> Option<String> {
    (text.matches(old).count() == 1).then(|| text.replacen(old, new, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_go_over_the_cable_and_heartbeats_over_both_paths() {
        let text = "[peer]\nlisten = \"1.0.0.1:7400\"\naddress = \"1.0.0.2:7400\"\nheartbeats = [\n    { local = \"1.0.0.1:7401\", peer = \"1.0.0.2:7401\" },\n]\n";
        let pair = |net: &str| ["1", "2"].map(|host| format!("{net}.0.0.{host}"));
        let config: toml::Value =
            toml::from_str(&rewritten(text, &pair("1"), &pair("2")).expect("as init writes it")).expect("TOML");
        let peer = &config["peer"];
        assert_eq!((peer["listen"].as_str(), peer["address"].as_str()), (Some("2.0.0.1:7400"), Some("2.0.0.2:7400")));
        assert_eq!(
            (peer["heartbeats"][0]["local"].as_str(), peer["heartbeats"][1]["peer"].as_str()),
            (Some("1.0.0.1:7401"), Some("2.0.0.2:7401"))
        );
        assert_eq!(rewritten("", &pair("1"), &pair("2")), None);
    }
}
