//! One sentence of state for people who know neither Linux nor databases. Words, shapes and colours are those that
//! staff are taught; a test holds them to the letter.

use serde::Serialize;

use super::forecast::ArbiterKind;
use super::limits::{ADDRESS_PATIENCE_MS, ARBITER_SILENCE_MS_MAX, SWITCHING_MS_MAX};
use crate::clock;
use crate::config::{ReplicationMode, limits};
use crate::handover::Board;
use crate::handover::shown::View;
use crate::model::{Mode, Moment, Role, Sequence, ServerId, UnixMs};

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

/// What the sentence is about, besides what the actors show.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    pub me: ServerId,
    /// The other server's name.
    pub peer: &'a str,
    pub replication: ReplicationMode,
    /// Whether this program moves the service addresses.
    pub moves_addresses: bool,
    /// Who decides when the other one is not heard.
    pub arbiter: ArbiterKind,
}

/// When it is looked at, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub wall: UnixMs,
    pub moment: Moment,
}

/// Which of the states that staff know it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pair(ReplicationMode),
    Starting,
    Checking,
    Switching,
    SoloWithoutMain,
    SoloWithoutSub,
    Restoring {
        percent: u64,
    },
    /// The store does not follow: on Main commands are not let in, or soon will not be; on Sub reports are old.
    Backlog(Waits),
    Unserved(Why),
}

/// For whom a store that does not follow is a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Terminals,
    /// There is room for some seconds more.
    NobodyYet,
    Reports,
}

/// Why this server serves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It should be reached at a service address, and holds none.
    NoAddress,
    /// It is so because a third machine has it.
    AddressInUse,
    /// The other server has newer records, perhaps it is known since when, and does not answer.
    Stale {
        since: Option<UnixMs>,
    },
    /// The other server has newer records, and they cannot be brought here by rungs 1 and 2 of the rejoin ladder.
    StaysOut,
    /// Neither the peer nor the arbiter answers.
    NoArbiter,
    /// The arbiter answers that it will not decide.
    ArbiterRefuses,
    /// Only a person can tell whether the peer is off.
    AsksAPerson,
    Stopped,
}

/// The sentence for one look at this server.
pub fn sentence(view: &View, board: &Board, server: Server<'_>, look: Look) -> Sentence {
    say(state(view, board, server, look), server.peer)
}

fn state(view: &View, board: &Board, server: Server<'_>, look: Look) -> State {
    let Some(standing) = view.standing else { return State::Starting };
    let since_ms = look.wall.0.saturating_sub(view.since.0);
    // A peer that is there decides only in the Pair that both are of, and then soon.
    let is_alone = view.peer_lost.is_some() || standing.mode == Mode::Suspended && since_ms > SWITCHING_MS_MAX;
    let undecidable = is_alone && arbiter_is_silent(view, look.moment);
    match standing.mode {
        _ if !standing.can_acknowledge => State::Unserved(Why::Stopped),
        Mode::Starting | Mode::Suspended if undecidable && server.arbiter == ArbiterKind::Person => {
            State::Unserved(Why::AsksAPerson)
        }
        Mode::Starting | Mode::Suspended if undecidable && view.arbiter_refuses => State::Unserved(Why::ArbiterRefuses),
        Mode::Starting | Mode::Suspended if undecidable => State::Unserved(Why::NoArbiter),
        Mode::Starting => State::Starting,
        Mode::Rejoining if board.stays_out().is_some() => State::Unserved(Why::StaysOut),
        Mode::Rejoining if reachable(view) && nobody_serves(view) => {
            if since_ms > SWITCHING_MS_MAX {
                State::Unserved(Why::Stopped)
            } else {
                State::Switching
            }
        }
        Mode::Rejoining if !reachable(view) && since_ms > SWITCHING_MS_MAX => {
            State::Unserved(Why::Stale { since: view.newer_since() })
        }
        Mode::Pair | Mode::Rejoining if !reachable(view) => State::Checking,
        Mode::Pair | Mode::Solo if is_behind(board) => State::Backlog(waits(board, standing.role)),
        Mode::Pair | Mode::Solo if lacks_address(view, server, since_ms) => State::Unserved(match view.conflicts.is_empty() {
            true => Why::NoAddress,
            false => Why::AddressInUse,
        }),
        Mode::Pair => State::Pair(server.replication),
        // Heard, but without a stream nothing is copied.
        Mode::Solo if reachable(view) && board.peer_stored() > Sequence(0) => {
            State::Restoring { percent: percent(board.peer_stored().0, board.stored().0) }
        }
        Mode::Solo if was_main(view, server.me) => State::SoloWithoutSub,
        Mode::Solo => State::SoloWithoutMain,
        Mode::Rejoining => State::Restoring { percent: percent(board.stored().0, board.told().0) },
        Mode::Suspended if since_ms > SWITCHING_MS_MAX => State::Unserved(Why::Stopped),
        Mode::Suspended => State::Switching,
    }
}

/// Whether this server was Main when it lost the other one. A restarted one does not know; then staff know the boxes by their homes, and
/// the pair's first server is its home Main.
fn was_main(view: &View, me: ServerId) -> bool {
    view.last_takeover.map_or(me == ServerId::A, |last| !last.took_over)
}

/// Whether the peer, which has newer records, says that it may not serve either.
fn nobody_serves(view: &View) -> bool {
    view.peer.is_some_and(|peer| matches!(peer.mode, Mode::Suspended | Mode::Starting))
}

/// Whether the peer is heard.
pub fn reachable(view: &View) -> bool {
    view.peer.is_some() && view.peer_lost.is_none()
}

/// Whether the arbiter did not answer, or was heard too long ago to count on it.
pub fn arbiter_is_silent(view: &View, now: Moment) -> bool {
    view.arbiter_error.is_some() || view.arbiter_heard.is_some_and(|heard| now.since(heard) > ARBITER_SILENCE_MS_MAX)
}

/// Whether the store fails, or so much waits for it that commands are not let in. (So many bytes stop them too, and are not published.)
fn is_behind(board: &Board) -> bool {
    board.store_fails() || lets_nobody_in(board)
}

/// Whether DataUpdater takes no more commands because of the store.
fn lets_nobody_in(board: &Board) -> bool {
    if board.reading_fails() || board.journal_is_long() {
        return true;
    }
    // The applied one first: it never passes the other, so the difference is never less than it was.
    let applied = board.applied().0;
    board.confirmed().0.saturating_sub(applied) >= limits::UNAPPLIED_ENTRIES_MAX as u64
}

fn waits(board: &Board, role: Role) -> Waits {
    match role {
        Role::Sub => Waits::Reports,
        Role::Main | Role::None if lets_nobody_in(board) || board.waits_to_start() => Waits::Terminals,
        Role::Main | Role::None => Waits::NobodyYet,
    }
}

/// Whether terminals should find this server at a service address, and cannot.
fn lacks_address(view: &View, server: Server<'_>, since_ms: i64) -> bool {
    let serves = view.standing.is_some_and(|standing| standing.role != Role::None);
    server.moves_addresses && serves && view.addresses.is_empty() && since_ms > ADDRESS_PATIENCE_MS
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
        State::Pair(replication) => (("二重化運用中", "Running as a pair"), kept(replication), '●', "green"),
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
        State::Backlog(waits) => {
            (("記録の反映が遅れています", "The records are not being applied"), who_waits(waits), '▲', "yellow")
        }
        State::Unserved(why) => {
            let (sentence, line) = unserved(why);
            (sentence, line, '✖', "red")
        }
    };
    let n = match state {
        State::Restoring { percent } => percent,
        _ => SWITCHING_SECONDS,
    };
    let since = match state {
        State::Unserved(Why::Stale { since: Some(since) }) => clock::date(since),
        _ => String::new(),
    };
    let fill = |text: &str| text.replace("{since}", &since).replace("{server}", peer).replace("{n}", &n.to_string());
    let both = |(ja, en): (&str, &str)| Both { ja: fill(ja), en: fill(en) };
    Sentence { sentence: both(sentence), line: both(line), shape, colour }
}

/// Why this server serves nobody, and what to do.
fn unserved(why: Why) -> ((&'static str, &'static str), (&'static str, &'static str)) {
    const STOPPED: (&str, &str) = ("停止中", "Stopped");
    match why {
        Why::NoAddress => (
            ("サービス用アドレスを使えません", "The service address cannot be used"),
            (
                "端末がこのサーバに接続できません。ネットワークを確認してください。",
                "Terminals cannot reach this server. Check its network.",
            ),
        ),
        Why::AddressInUse => (
            ("サービス用アドレスを別の機器が使っています", "Another device uses the service address"),
            (
                "その機器をネットワークから外してください。会員サービスは自動で始まります。",
                "Take that device off the network. Member services then start by themselves.",
            ),
        ),
        Why::Stale { since: None } => (
            STOPPED,
            ("新しい記録は{server}にあります。{server}を起動してください。", "{server} has newer records. Start {server}."),
        ),
        Why::Stale { since: Some(_) } => (
            STOPPED,
            (
                "{since}からの新しい記録は{server}にあります。{server}を起動してください。",
                "{server} has newer records, since {since}. Start {server}.",
            ),
        ),
        Why::StaysOut => (
            ("復旧できません", "Cannot be restored"),
            (
                "このサーバの記録は{server}の記録とつながりません。サポートに連絡してください。",
                "This server's records do not fit those of {server}. Call support.",
            ),
        ),
        Why::NoArbiter => (("停止中(証人サーバ応答なし)", "Stopped (no answer from the witness)"), LOOK_AT_THE_WITNESS),
        Why::ArbiterRefuses => (
            ("停止中(証人サーバが許可しません)", "Stopped (the witness refuses)"),
            ("サポートに連絡してください。", "Call support."),
        ),
        Why::AsksAPerson => (
            ("停止中(確認待ち)", "Stopped (a person must decide)"),
            (
                "{server}の電源が切れていることを確かめ、このサーバで確認の操作をしてください。",
                "Make sure that {server} is off, then say so on this server (`duplex confirm-alone`).",
            ),
        ),
        Why::Stopped => (STOPPED, ("会員サービスを利用できません。", "Member services are not available.")),
    }
}

fn who_waits(waits: Waits) -> (&'static str, &'static str) {
    match waits {
        Waits::Reports => (
            "このサーバの分析用データが古くなっています。サポートに連絡してください。",
            "Data for analysis on this server are out of date. Call support.",
        ),
        Waits::Terminals => {
            ("会員サービスをお待たせしています。サポートに連絡してください。", "Member services have to wait. Call support.")
        }
        Waits::NobodyYet => {
            ("会員サービスはまだ続いています。サポートに連絡してください。", "Member services still go on. Call support.")
        }
    }
}

/// Where an entry is when its terminal is told "done".
fn kept(replication: ReplicationMode) -> (&'static str, &'static str) {
    match replication {
        ReplicationMode::Sync => ("両方のサーバに記録しています。", "Every entry is kept on both servers."),
        ReplicationMode::Async => (
            "まず一方のサーバに記録し、続けてもう一方に写しています。",
            "Entries are stored on one server first, then copied to the other.",
        ),
    }
}

const LOOK_AT_THE_WITNESS: (&str, &str) =
    ("証人サーバの電源と、このサーバのネットワークを確認してください。", "Check the witness's power and this server's network.");

/// What is said of a switch-over: silence, lease and grant together stay below a second.
const SWITCHING_SECONDS: u64 = 1;

#[cfg(test)]
#[path = "sentence_tests.rs"]
mod tests;
