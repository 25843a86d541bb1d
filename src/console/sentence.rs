//! One sentence of state for people who know neither Linux nor databases. Staff are trained on these
//! words, shapes and colours: tests hold them to the letter.

use serde::Serialize;

use super::limits::SWITCHING_MS_MAX;
use crate::handover::Board;
use crate::handover::shown::View;
use crate::model::{Mode, Role, ServerId, UnixMs};

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Both {
    pub ja: String,
    pub en: String,
}

/// What the status page shows largest. Never by colour alone: word, shape and colour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sentence {
    pub sentence: Both,
    /// What it means for the site, and what to do.
    pub line: Both,
    pub shape: char,
    pub colour: &'static str,
}

/// What staff have to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pair,
    Starting,
    Checking,
    Switching,
    SoloWithoutMain,
    SoloWithoutSub,
    Restoring { percent: u64 },
    Decide,
    Stopped,
}

/// The sentence for one look at this server. `peer` is the other server's name.
pub fn sentence(view: &View, board: &Board, me: ServerId, peer: &str, now: UnixMs) -> Sentence {
    say(state(view, board, me, now), peer)
}

fn state(view: &View, board: &Board, me: ServerId, now: UnixMs) -> State {
    let Some(standing) = view.standing else { return State::Starting };
    let undecidable = view.peer_lost.is_some() && view.arbiter_error.is_some();
    match standing.mode {
        _ if !standing.can_acknowledge => State::Stopped,
        Mode::Starting | Mode::Suspended if undecidable => State::Decide,
        Mode::Starting => State::Starting,
        Mode::Pair | Mode::Rejoining if !reachable(view) => State::Checking,
        Mode::Pair => State::Pair,
        Mode::Solo if reachable(view) => State::Restoring { percent: percent(board.peer_stored().0, board.stored().0) },
        // The pair's first server is its home Main: staff know the boxes by their homes.
        Mode::Solo if me == ServerId::A => State::SoloWithoutSub,
        Mode::Solo => State::SoloWithoutMain,
        Mode::Rejoining => State::Restoring { percent: percent(board.stored().0, board.told().0) },
        Mode::Suspended if now.0.saturating_sub(view.since.0) > SWITCHING_MS_MAX => State::Stopped,
        Mode::Suspended => State::Switching,
    }
}

/// Whether the peer is heard.
pub fn reachable(view: &View) -> bool {
    view.peer.is_some() && view.peer_lost.is_none()
}

/// Whether every acknowledgement needs the peer, and it is there.
pub fn in_sync(view: &View) -> bool {
    let (Some(own), Some(peer)) = (view.standing, view.peer) else { return false };
    let pair = own.mode == Mode::Pair && peer.mode == Mode::Pair && own.epoch == peer.epoch;
    pair && own.role != Role::None && reachable(view)
}

/// Never 100: a restore that is complete is a pair.
fn percent(done: u64, of: u64) -> u64 {
    done.saturating_mul(100).checked_div(of).map_or(0, |percent| percent.min(99))
}

fn say(state: State, peer: &str) -> Sentence {
    const STAY_OPEN: (&str, &str) = ("営業は続けられます。早めに復旧してください。", "You can stay open. Restore soon.");
    let (sentence, line, shape, colour) = match state {
        State::Pair => (
            ("二重化運用中", "Running as a pair"),
            ("両方のサーバに記録しています。", "Every entry is kept on both servers."),
            '●',
            "green",
        ),
        State::Starting => (("起動中", "Starting"), ("サーバを準備しています。", "Getting ready."), '◌', "blue"),
        State::Checking => (
            ("相手サーバ確認中", "Checking the other server"),
            ("{server}の応答がありません。確認しています。", "No answer from {server}. Checking."),
            '▲',
            "yellow",
        ),
        State::Switching => (
            ("切替え中", "Switching over"),
            ("会員サービスを一時停止しています。あと約{n}秒。", "Member services pause for about {n} s."),
            '▲',
            "yellow",
        ),
        State::SoloWithoutMain => (("単体運用中(メイン停止)", "Running on one server (main is down)"), STAY_OPEN, '■', "orange"),
        State::SoloWithoutSub => (("単体運用中(サブ停止)", "Running on one server (sub is down)"), STAY_OPEN, '■', "orange"),
        State::Restoring { .. } => (
            ("復旧中({n}%)", "Restoring the pair ({n}%)"),
            ("営業を続けたまま記録を写しています。", "Copying while you stay open."),
            '◌',
            "blue",
        ),
        State::Decide => (
            ("判断待ち", "Waiting for your decision"),
            ("片方の電源が切れていることを確かめてください。", "Make sure the other server is switched off."),
            '✖',
            "red",
        ),
        State::Stopped => {
            (("停止中", "Stopped"), ("会員サービスを利用できません。", "Member services are not available."), '✖', "red")
        }
    };
    let n = match state {
        State::Restoring { percent } => percent,
        _ => SWITCHING_SECONDS,
    };
    let fill = |text: &str| text.replace("{server}", peer).replace("{n}", &n.to_string());
    let both = |(ja, en): (&str, &str)| Both { ja: fill(ja), en: fill(en) };
    Sentence { sentence: both(sentence), line: both(line), shape, colour }
}

/// What is said of a switch-over: silence, lease and grant together stay below a second.
const SWITCHING_SECONDS: u64 = 1;

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
