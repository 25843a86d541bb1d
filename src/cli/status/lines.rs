//! Lines of a status about what may come and what has been: what ails a server, what would happen now, what failed.

use serde::Deserialize;

use super::{Status, Words};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Forecast {
    pub peer_dies: Words,
    pub cable_breaks: Words,
    pub arbiter_dies: Words,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Failure {
    pub code: String,
    pub times: u64,
    pub first: String,
    pub last: String,
}

pub(super) fn of_illness(status: &Status) -> impl Iterator<Item = String> {
    let peers = status.peer.complaints.words().map(|words| format!("{} says that it is ill: {words}", status.peer.name));
    status.complaints.words().map(|words| format!("ill: {words}")).chain(peers)
}

/// A server that does not know its own state has none.
pub(super) fn of_forecast(status: &Status) -> impl Iterator<Item = String> {
    let Forecast { peer_dies, cable_breaks, arbiter_dies } = &status.forecast;
    let told = [
        (format!("if {} dies", status.peer.name), peer_dies),
        (format!("if {} cannot be reached", status.peer.name), cable_breaks),
        (format!("if the {} dies", status.arbiter.kind), arbiter_dies),
    ];
    told.into_iter().filter(|(_, then)| !then.en.is_empty()).map(|(what, then)| format!("{what}: {}", then.en))
}

pub(super) fn of_failures(status: &Status) -> impl Iterator<Item = String> {
    status.failures.iter().map(|failure| {
        let Failure { code, times, first, last } = failure;
        match times {
            1 => format!("failed once since the start: {code}, {last}"),
            _ => format!("failed {times} times since the start: {code}, first {first}, last {last}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_ails_what_would_happen_and_what_failed_is_a_line_each() {
        let status: Status = serde_json::from_value(json!({
            "peer": {"name": "hall-2", "complaints": {"journal": false, "store": true, "lan": false, "arbiter": false}}, "arbiter": {"kind": "witness"},
            "complaints": {"journal": true, "store": false, "lan": true, "arbiter": false},
            "forecast": {"peer_dies": {"en": "nothing changes"}, "cable_breaks": {"en": "it waits"}, "arbiter_dies": {"en": "no takeover"}},
            "failures": [{"code": "gap", "times": 1, "first": "10:00", "last": "10:00"},
                {"code": "late", "times": 3, "first": "10:01", "last": "10:09"}],
        }))
        .unwrap();
        assert_eq!(of_illness(&status).count(), 3);
        assert_eq!(of_illness(&status).last().as_deref(), Some("hall-2 says that it is ill: the store is away, locked or full"));
        let forecast =
            ["if hall-2 dies: nothing changes", "if hall-2 cannot be reached: it waits", "if the witness dies: no takeover"];
        assert_eq!(of_forecast(&status).collect::<Vec<_>>(), forecast);
        let failures =
            ["failed once since the start: gap, 10:00", "failed 3 times since the start: late, first 10:01, last 10:09"];
        assert_eq!(of_failures(&status).collect::<Vec<_>>(), failures);
        assert_eq!(of_forecast(&Status::default()).count(), 0);
    }
}
