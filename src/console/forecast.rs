//! What would happen now: one sentence each for the death of the peer, of the way between the two, and of the arbiter. For whoever is
//! about to pull a plug, or wonders whether the next one that is pulled will be noticed.

use serde::Serialize;

use super::sentence::{Both, arbiter_is_silent, in_sync};
use crate::handover::shown::View;
use crate::model::{Mode, Moment, Role};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    pub peer_dies: Both,
    pub cable_breaks: Both,
    pub arbiter_dies: Both,
}

/// Who decides when the two do not hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArbiterKind {
    Machine,
    Person,
}

/// What decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    /// In sync; whether this server and whether the peer could win a grant.
    Pair {
        role: Role,
        is_ill: bool,
        could_win: bool,
        peer_could_win: bool,
    },
    Alone,
    /// The peer serves, and this server is behind.
    Behind,
    Unserved,
}

type Text = (&'static str, &'static str);

const GOES_ON: Text = ("このサーバだけで1秒以内に営業を続けます。", "this server goes on alone within a second");
const TAKES_OVER: Text = ("このサーバが1秒以内に引き継ぎます。", "this server takes over within a second");
const ONE_GOES_ON: Text =
    ("どちらか一方が1秒以内に営業を続けます。", "one of the two goes on alone within a second, and the other one stops");
const PEER_GOES_ON: Text =
    ("{server}だけで1秒以内に営業を続けます。", "{server} goes on alone within a second, and this server stops");
const STOPS: Text = ("証人サーバが応答するまで会員サービスは止まります。", "member services stop until the witness answers");
const NOTHING: Text = ("何も変わりません。", "nothing changes");
const ONLY_PEER: Text = (
    "会員サービスは止まります。新しい記録は{server}にしかありません。",
    "member services stop: only {server} has the newest records",
);
const WAITS: Text = ("復旧はそのあいだ待ちます。", "{server} goes on, and this server waits to be restored");
const NO_TAKEOVER: Text = (
    "営業は続きますが、証人サーバが戻るまで自動の引き継ぎはできません。",
    "nothing stops, but nobody can take over until it is back",
);
const NO_PAIR: Text = (
    "営業は続きますが、証人サーバが戻るまで二重化に戻れません。",
    "nothing stops, but the two cannot be a pair again until it is back",
);
const ILL: Text = (
    "このサーバが営業を続けますが、障害があるため会員サービスが遅れるか止まります。",
    "this server goes on alone, but it is ill: member services may be slow or stop",
);
const SILENT_NOW: Text =
    ("いま応答がありません。戻るまで自動の引き継ぎはできません。", "it does not answer now: nobody can take over until it does");
const A_PERSON: Text = (
    "{server}が止まっていることを人が確認するまで会員サービスは止まります。",
    "member services stop until a person has made sure that {server} is off, and says so here (`duplex confirm-alone`)",
);
const NOBODY_DECIDES: Text = ("判定用の機器はありません。人が判断します。", "there is no third machine: a person decides");
const UNSERVED: Text = ("いまこのサーバは会員サービスをしていません。", "this server serves nobody now");

/// The forecast for one look at this server; `peer` is the other one's name.
pub fn forecast(view: &View, now: Moment, peer: &str, arbiter: ArbiterKind) -> Forecast {
    let without_arbiter = if arbiter == ArbiterKind::Person { NOBODY_DECIDES } else { NO_PAIR };
    let (peer_dies, cable_breaks, arbiter_dies) = match look(view, now) {
        Now::Pair { .. } if arbiter == ArbiterKind::Person => (A_PERSON, A_PERSON, NOBODY_DECIDES),
        Now::Pair { could_win: false, peer_could_win: false, .. } => (STOPS, STOPS, SILENT_NOW),
        Now::Pair { could_win: false, .. } => (STOPS, PEER_GOES_ON, SILENT_NOW),
        Now::Pair { role, is_ill, peer_could_win, .. } => {
            let alone = match role {
                _ if is_ill => ILL,
                Role::Main => GOES_ON,
                Role::Sub | Role::None => TAKES_OVER,
            };
            (alone, if peer_could_win { ONE_GOES_ON } else { alone }, NO_TAKEOVER)
        }
        Now::Alone => (NOTHING, NOTHING, without_arbiter),
        Now::Behind => (ONLY_PEER, WAITS, without_arbiter),
        Now::Unserved => (UNSERVED, UNSERVED, UNSERVED),
    };
    let both = |(ja, en): Text| Both { ja: ja.replace("{server}", peer), en: en.replace("{server}", peer) };
    Forecast { peer_dies: both(peer_dies), cable_breaks: both(cable_breaks), arbiter_dies: both(arbiter_dies) }
}

fn look(view: &View, now: Moment) -> Now {
    let Some(standing) = view.standing else { return Now::Unserved };
    let could_win = view.arbiter_heard.is_some() && !arbiter_is_silent(view, now) && !view.leaves;
    match standing.mode {
        Mode::Pair if in_sync(view) => {
            let (is_ill, peer_could_win) = (view.complaints.is_ill(), !view.peer_complaints.arbiter);
            Now::Pair { role: standing.role, is_ill, could_win, peer_could_win }
        }
        Mode::Solo => Now::Alone,
        Mode::Rejoining if view.peer_lost.is_none() && view.peer.is_some_and(|peer| peer.mode == Mode::Solo) => Now::Behind,
        Mode::Starting | Mode::Pair | Mode::Rejoining | Mode::Suspended => Now::Unserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Complaints, DataId, Epoch, Holder, ServerId, Standing};

    fn standing(mode: Mode, role: Role) -> Standing {
        let holder = Holder::Pair { main: ServerId::A };
        Standing { epoch: Epoch(3), holder, data_id: DataId::default(), mode, role, can_acknowledge: true }
    }

    fn pair(role: Role) -> View {
        let peer_role = if role == Role::Main { Role::Sub } else { Role::Main };
        View {
            standing: Some(standing(Mode::Pair, role)),
            peer: Some(standing(Mode::Pair, peer_role)),
            arbiter_heard: Some(Moment(1_000)),
            ..View::default()
        }
    }

    fn told(view: &View) -> [String; 3] {
        let Forecast { peer_dies, cable_breaks, arbiter_dies } = forecast(view, Moment(1_500), "hall-2", ArbiterKind::Machine);
        [peer_dies.en, cable_breaks.en, arbiter_dies.en]
    }

    #[test]
    fn a_pair_with_its_witness_survives_any_one_death() {
        assert_eq!(told(&pair(Role::Main)), [GOES_ON.1, ONE_GOES_ON.1, NO_TAKEOVER.1]);
        assert_eq!(told(&pair(Role::Sub)), [TAKES_OVER.1, ONE_GOES_ON.1, NO_TAKEOVER.1]);
    }

    #[test]
    fn a_pair_whose_servers_do_not_hear_the_witness_stops_with_the_next_death() {
        let deaf = View { arbiter_error: Some("refused".into()), ..pair(Role::Main) };
        let peer_goes_on = "hall-2 goes on alone within a second, and this server stops";
        assert_eq!(told(&deaf), [STOPS.1, peer_goes_on, SILENT_NOW.1]);
        let peer_complaints = Complaints { arbiter: true, ..Complaints::default() };
        assert_eq!(told(&View { peer_complaints, ..deaf }), [STOPS.1, STOPS.1, SILENT_NOW.1]);
        assert_eq!(told(&View { peer_complaints, ..pair(Role::Main) }), [GOES_ON.1, GOES_ON.1, NO_TAKEOVER.1]);
    }

    #[test]
    fn without_a_third_machine_a_person_is_told_to_decide() {
        let told = |view: &View| forecast(view, Moment(1_500), "hall-2", ArbiterKind::Person);
        let in_pair = told(&pair(Role::Sub));
        assert!(in_pair.peer_dies.en.contains("until a person has made sure that hall-2 is off"));
        assert_eq!((in_pair.cable_breaks, in_pair.arbiter_dies.en.as_str()), (in_pair.peer_dies.clone(), NOBODY_DECIDES.1));
        let alone = View { standing: Some(standing(Mode::Solo, Role::Main)), ..View::default() };
        assert_eq!(told(&alone).peer_dies.en, NOTHING.1);
    }

    #[test]
    fn a_server_that_is_ill_does_not_promise_that_all_goes_on() {
        let complaints = Complaints { store: true, ..Complaints::default() };
        assert_eq!(told(&View { complaints, ..pair(Role::Sub) })[0], ILL.1);
    }

    #[test]
    fn a_survivor_misses_nothing_more_and_a_returning_server_everything() {
        let alone = View { standing: Some(standing(Mode::Solo, Role::Main)), ..View::default() };
        assert_eq!(told(&alone), [NOTHING.1, NOTHING.1, NO_PAIR.1]);
        let peer = Some(standing(Mode::Solo, Role::Main));
        let behind = View { standing: Some(standing(Mode::Rejoining, Role::None)), peer, ..View::default() };
        assert!(told(&behind)[0].ends_with("only hall-2 has the newest records"));
        assert_eq!(told(&View::default()), [UNSERVED.1; 3]);
    }
}
