use super::*;
use crate::handover::shown::Takeover;
use crate::model::{DataId, Epoch, Holder, Position, Register, Sequence, Standing};

fn standing(mode: Mode, role: Role) -> Standing {
    let (epoch, holder) = (Epoch(3), Holder::Pair { main: ServerId::A });
    Standing { epoch, holder, data_id: DataId([0; 16]), mode, role, can_acknowledge: true }
}

/// This server in `mode`, with a peer that is heard and in a pair.
fn view(mode: Mode) -> View {
    let (own, peer) = (standing(mode, Role::Main), standing(Mode::Pair, Role::Sub));
    View { standing: Some(own), peer: Some(peer), ..View::default() }
}

fn without_peer(mode: Mode) -> View {
    View { peer_lost: Some("silent"), ..view(mode) }
}

const HALL_1: Server<'_> = Server {
    me: ServerId::A,
    peer: "hall-2",
    replication: ReplicationMode::Sync,
    moves_addresses: false,
    arbiter: ArbiterKind::Machine,
};

fn board() -> Board {
    let board = Board::default();
    board.set_stored(Position { sequence: Sequence(200), ..Position::GENESIS });
    board.set_peer_stored(Sequence(50));
    board.set_told(Sequence(400));
    board
}

type Said = (String, String, char, &'static str);

fn said(view: &View, board: &Board, server: Server<'_>, ms: i64) -> Said {
    let look = Look { wall: UnixMs(ms), moment: Moment(ms.unsigned_abs()) };
    let Sentence { sentence, line, shape, colour } = sentence(view, board, server, look);
    (format!("{} / {}", sentence.ja, sentence.en), format!("{} / {}", line.ja, line.en), shape, colour)
}

fn said_at(view: &View, me: ServerId, ms: i64) -> Said {
    said(view, &board(), Server { me, ..HALL_1 }, ms)
}

fn is(said: &Said, sentence: &str, line: &str, shape: char, colour: &str) {
    assert_eq!((said.0.as_str(), said.1.as_str(), said.2, said.3), (sentence, line, shape, colour));
}

fn says(view: &View, sentence: &str, line: &str, shape: char, colour: &str) {
    is(&said_at(view, ServerId::A, 0), sentence, line, shape, colour);
}

#[test]
fn a_pair_is_green_and_keeps_every_entry_on_both_servers() {
    let line = "両方のサーバに記録しています。 / Every entry is kept on both servers.";
    says(&view(Mode::Pair), "二重化運用中 / Running as a pair", line, '●', "green");
}

#[test]
fn an_asynchronous_pair_does_not_claim_that_every_entry_is_on_both_servers() {
    let server = Server { replication: ReplicationMode::Async, ..HALL_1 };
    let line = "まず一方のサーバに記録し、続けてもう一方に写しています。 / \
        Entries are stored on one server first, then copied to the other.";
    is(&said(&view(Mode::Pair), &board(), server, 0), "二重化運用中 / Running as a pair", line, '●', "green");
}

#[test]
fn a_store_that_does_not_follow_is_told_while_commands_are_not_let_in() {
    let line = "会員サービスをお待たせしています。サポートに連絡してください。 / Member services have to wait. Call support.";
    let board = board();
    board.set_applied(Position { sequence: Sequence(100), ..Position::GENESIS });
    board.raise_confirmed(Sequence(100 + limits::UNAPPLIED_ENTRIES_MAX as u64 - 1));
    assert_eq!(said(&view(Mode::Pair), &board, HALL_1, 0).3, "green");
    board.raise_confirmed(Sequence(100 + limits::UNAPPLIED_ENTRIES_MAX as u64));
    for view in [view(Mode::Pair), without_peer(Mode::Solo)] {
        let said = said(&view, &board, HALL_1, 0);
        is(&said, "記録の反映が遅れています / The records are not being applied", line, '▲', "yellow");
    }
    let mut sub = view(Mode::Pair);
    sub.standing.as_mut().unwrap().role = Role::Sub;
    let said = said(&sub, &board, HALL_1, 0);
    assert!(said.1.ends_with("Data for analysis on this server are out of date. Call support."), "{said:?}");
}

#[test]
fn a_store_that_fails_is_said_at_once_and_no_longer_once_it_works() {
    let board = board();
    let too_long = |board: &Board, is_long| {
        let _ = board.set_journal_is_long(is_long);
    };
    for set in [Board::set_applying_fails, Board::set_reading_fails, too_long] {
        set(&board, true);
        assert_eq!(said(&view(Mode::Pair), &board, HALL_1, 0).3, "yellow");
        set(&board, false);
        assert_eq!(said(&view(Mode::Pair), &board, HALL_1, 0).3, "green");
    }
}

/// Entries wait in memory: nobody waits for them before it is full.
#[test]
fn a_main_whose_store_only_fails_to_be_written_does_not_say_that_services_wait() {
    let board = board();
    board.set_applying_fails(true);
    let told = said(&view(Mode::Pair), &board, HALL_1, 0).1;
    assert!(told.ends_with("Member services still go on. Call support."), "{told}");
    board.set_reading_fails(true);
    let told = said(&view(Mode::Pair), &board, HALL_1, 0).1;
    assert!(told.ends_with("Member services have to wait. Call support."), "{told}");
}

/// After a switchover the homes say the wrong thing.
#[test]
fn a_survivor_that_knows_whom_it_lost_says_so_wherever_its_home_is() {
    let took_over = |took_over| {
        let last_takeover = Some(Takeover { at: UnixMs(0), took_over, took_ms: 30, may_be_lost: None });
        said_at(&View { last_takeover, ..without_peer(Mode::Solo) }, ServerId::A, 0).0
    };
    assert!(took_over(true).ends_with("(main is down)"));
    assert!(took_over(false).ends_with("(sub is down)"));
}

#[test]
fn a_server_that_should_hold_a_service_address_and_holds_none_says_so_after_a_moment() {
    let line = "端末がこのサーバに接続できません。ネットワークを確認してください。 / \
        Terminals cannot reach this server. Check its network.";
    let server = Server { moves_addresses: true, ..HALL_1 };
    for view in [view(Mode::Pair), without_peer(Mode::Solo)] {
        assert_ne!(said(&view, &board(), server, ADDRESS_PATIENCE_MS).3, "red", "it is only just being taken");
        let late = said(&view, &board(), server, ADDRESS_PATIENCE_MS + 1);
        is(&late, "サービス用アドレスを使えません / The service address cannot be used", line, '✖', "red");
        let taken = View { conflicts: vec!["02:00:00:00:00:09".into()], ..view.clone() };
        let (in_use, line) = (
            "サービス用アドレスを別の機器が使っています / Another device uses the service address",
            "その機器をネットワークから外してください。会員サービスは自動で始まります。 / \
                Take that device off the network. Member services then start by themselves.",
        );
        is(&said(&taken, &board(), server, ADDRESS_PATIENCE_MS + 1), in_use, line, '✖', "red");
        let held = View { addresses: vec![std::net::IpAddr::from([10, 0, 0, 100])], ..view };
        assert_ne!(said(&held, &board(), server, ADDRESS_PATIENCE_MS + 1).3, "red");
    }
    assert_ne!(said(&view(Mode::Rejoining), &board(), server, ADDRESS_PATIENCE_MS + 1).3, "red", "it should hold none");
}

#[test]
fn an_arbiter_heard_long_ago_helps_nobody_to_decide() {
    let heard = View { arbiter_heard: Some(Moment(0)), ..without_peer(Mode::Suspended) };
    let limit = ARBITER_SILENCE_MS_MAX as i64;
    assert_ne!(said_at(&heard, ServerId::A, limit).0, "停止中(証人サーバ応答なし) / Stopped (no answer from the witness)");
    assert_eq!(said_at(&heard, ServerId::A, limit + 1).0, "停止中(証人サーバ応答なし) / Stopped (no answer from the witness)");
}

#[test]
fn a_server_that_stands_nowhere_yet_is_starting() {
    let line = "サーバを準備しています。 / Getting ready.";
    says(&View::default(), "起動中 / Starting", line, '◌', "blue");
    says(&view(Mode::Starting), "起動中 / Starting", line, '◌', "blue");
}

#[test]
fn a_peer_that_does_not_answer_is_named() {
    let line = "hall-2の応答がありません。確認しています。 / No answer from hall-2. Checking.";
    says(&without_peer(Mode::Pair), "相手サーバ確認中 / Checking the other server", line, '▲', "yellow");
    let unheard = View { peer: None, ..view(Mode::Rejoining) };
    says(&unheard, "相手サーバ確認中 / Checking the other server", line, '▲', "yellow");
}

#[test]
fn who_runs_alone_says_which_of_the_boxes_is_down() {
    let alone = without_peer(Mode::Solo);
    let line = "営業は続けられます。早めに復旧してください。 / You can stay open. Restore soon.";
    says(&alone, "単体運用中(サブ停止) / Running on one server (sub is down)", line, '■', "orange");
    let other = said_at(&alone, ServerId::B, 0);
    assert_eq!(other.0, "単体運用中(メイン停止) / Running on one server (main is down)");
}

#[test]
fn a_restore_counts_what_the_returning_server_has_of_the_other_ones_journal() {
    let line = "営業を続けたまま記録を写しています。 / Copying while you stay open.";
    says(&view(Mode::Solo), "復旧中(25%) / Restoring the pair (25%)", line, '◌', "blue");
    says(&view(Mode::Rejoining), "復旧中(50%) / Restoring the pair (50%)", line, '◌', "blue");
    let board = board();
    board.set_peer_stored(Sequence(0));
    let without_a_stream = said(&view(Mode::Solo), &board, HALL_1, 0);
    assert_eq!(without_a_stream.0, "単体運用中(サブ停止) / Running on one server (sub is down)");
}

#[test]
fn a_server_that_stays_out_does_not_claim_that_anything_is_copied() {
    let line = "このサーバの記録はhall-2の記録とつながりません。サポートに連絡してください。 / \
        This server's records do not fit those of hall-2. Call support.";
    let board = board();
    board.set_stays_out(Some("cannot_cut"));
    let refused = said(&view(Mode::Rejoining), &board, HALL_1, 0);
    is(&refused, "復旧できません / Cannot be restored", line, '✖', "red");
    board.set_stays_out(None);
    assert_eq!(said(&view(Mode::Rejoining), &board, HALL_1, 0).3, "blue");
}

#[test]
fn a_stale_server_alone_names_who_has_newer_records() {
    let line = "新しい記録はhall-2にあります。hall-2を起動してください。 / hall-2 has newer records. Start hall-2.";
    let alone = without_peer(Mode::Rejoining);
    assert_eq!(said_at(&alone, ServerId::A, SWITCHING_MS_MAX).3, "yellow");
    is(&said_at(&alone, ServerId::A, SWITCHING_MS_MAX + 1), "停止中 / Stopped", line, '✖', "red");

    let holder = Holder::Solo { server: ServerId::B };
    let register = Register { epoch: Epoch(4), holder, data_ids: [DataId([0; 16]); 2], recorded: Position::GENESIS };
    let since = UnixMs(1_795_874_520_000);
    let dated = View { register: Some(register), register_since: Some((Epoch(4), since)), ..alone };
    let date = clock::date(since);
    let told = said_at(&dated, ServerId::A, SWITCHING_MS_MAX + 1);
    assert!(date.starts_with("2026-11-2"), "{date}");
    assert!(told.1.ends_with(&format!("hall-2 has newer records, since {date}. Start hall-2.")), "{told:?}");
    let raised = View { register: Some(Register { epoch: Epoch(5), ..register }), ..dated };
    assert!(!said_at(&raised, ServerId::A, SWITCHING_MS_MAX + 1).1.contains("since"), "the date is another epoch's");
}

#[test]
fn nothing_is_called_restored_while_the_other_server_may_not_serve_either() {
    let mut stale = view(Mode::Rejoining);
    stale.peer.as_mut().unwrap().mode = Mode::Suspended;
    assert_eq!(said_at(&stale, ServerId::A, 0).3, "yellow");
    assert_eq!(said_at(&stale, ServerId::A, SWITCHING_MS_MAX + 1).0, "停止中 / Stopped");
    let asks = View { arbiter_error: Some("no answer".into()), ..view(Mode::Suspended) };
    let late = said_at(&asks, ServerId::B, SWITCHING_MS_MAX + 1);
    assert_eq!(late.0, "停止中(証人サーバ応答なし) / Stopped (no answer from the witness)");
}

#[test]
fn a_switch_over_is_yellow_and_one_that_does_not_end_is_a_stop() {
    let line = "会員サービスを一時停止しています。あと約1秒。 / Member services pause for about 1 s.";
    says(&without_peer(Mode::Suspended), "切替え中 / Switching over", line, '▲', "yellow");
    let later = said_at(&without_peer(Mode::Suspended), ServerId::A, SWITCHING_MS_MAX + 1);
    assert_eq!((later.0.as_str(), later.2, later.3), ("停止中 / Stopped", '✖', "red"));
}

#[test]
fn without_peer_and_arbiter_a_person_decides_and_is_told_what_to_make_sure_of() {
    let line =
        "証人サーバの電源と、このサーバのネットワークを確認してください。 / Check the witness's power and this server's network.";
    for mode in [Mode::Starting, Mode::Suspended] {
        let cut_off = View { arbiter_error: Some("no answer".into()), ..without_peer(mode) };
        says(&cut_off, "停止中(証人サーバ応答なし) / Stopped (no answer from the witness)", line, '✖', "red");
    }
}

#[test]
fn a_witness_that_answers_and_refuses_is_not_called_silent() {
    let refused =
        View { arbiter_error: Some("the arbiter refuses".into()), arbiter_refuses: true, ..without_peer(Mode::Suspended) };
    let line = "サポートに連絡してください。 / Call support.";
    says(&refused, "停止中(証人サーバが許可しません) / Stopped (the witness refuses)", line, '✖', "red");
}

#[test]
fn where_a_person_decides_the_person_is_told_what_to_make_sure_of() {
    let refused = View { arbiter_error: Some("only a person".into()), arbiter_refuses: true, ..without_peer(Mode::Suspended) };
    let server = Server { arbiter: ArbiterKind::Person, ..HALL_1 };
    let said = sentence(&refused, &Board::default(), server, Look { wall: UnixMs(0), moment: Moment(0) });
    assert_eq!(said.sentence.en, "Stopped (a person must decide)");
    assert_eq!(said.line.en, "Make sure that hall-2 is off, then say so on this server (`duplex confirm-alone`).");
}

#[test]
fn a_server_that_cannot_acknowledge_is_stopped_whatever_else_holds() {
    let mut halted = view(Mode::Suspended);
    halted.standing.as_mut().unwrap().can_acknowledge = false;
    says(&halted, "停止中 / Stopped", "会員サービスを利用できません。 / Member services are not available.", '✖', "red");
}

#[test]
fn a_restore_is_never_shown_as_complete_before_there_is_a_pair() {
    assert_eq!([percent(0, 0), percent(5, 10), percent(10, 10), percent(11, 10)], [0, 50, 99, 99]);
}

#[test]
fn in_sync_takes_two_servers_of_one_pair_that_hear_each_other() {
    assert!(in_sync(&view(Mode::Pair)));
    assert!(!in_sync(&without_peer(Mode::Pair)));
    assert!(!in_sync(&view(Mode::Solo)));
    let mut older = view(Mode::Pair);
    older.peer.as_mut().unwrap().epoch = Epoch(2);
    assert!(!in_sync(&older));
}
