//! FailoverCoordinator: the peer is lost; the register, the coordination file, the gate and the addresses follow.

use super::*;
use crate::actors::Storage;
use crate::actors::address_keeper::Hold;
use crate::actors::command_acceptor::Dismiss;
use crate::actors::data_updater::TakeCommands;
use crate::actors::failover_coordinator::{FailoverCoordinator, Neighbours, Notes, Settings};
use crate::actors::replication_applier::ConfirmedMoved;
use crate::actors::replication_receiver::{Admit, StreamWanted, TellHolder};
use crate::actors::replication_sender::{BeginStream, CeaseStream, ContinueStream, StreamNews, TellFollower, WatchLevel};
use crate::actors::state_monitor::{GrantLeases, Judged, Stand};
use crate::arbiter::{Answer, Arbiter, ArbiterError, Asker, CasOutcome};
use crate::handover::{Board, Gate, Shown, Tail};
use crate::journal::{CoordinationFile, Directory, Journal, Limits};
use crate::ledger::Ledger;
use crate::machines::failover::{AddressSet, Event, HoldBy, Loss, Rule, StreamVerdict};
use crate::model::{Coordination, DataId, Epoch, Holder, Mode, Position, Register, Role, ServerId, Standing, StreamNo};
use crate::store::StoreError;
use crate::telemetry::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;

const PAIR_A: Holder = Holder::Pair { main: ServerId::A };
const DATA: [DataId; 2] = [DataId([1; 16]), DataId([2; 16])];

/// A register in memory that can be told not to answer.
struct Desk {
    register: Mutex<Register>,
    away: Mutex<bool>,
}

impl Desk {
    fn answer<T: Send + 'static>(&self, act: impl FnOnce(&mut Register) -> T) -> Answer<'_, T> {
        let away = *self.away.lock().unwrap();
        let result =
            if away { Err(ArbiterError::Unreachable("away".into())) } else { Ok(act(&mut self.register.lock().unwrap())) };
        Box::pin(async move { result })
    }
}

impl Arbiter for Desk {
    fn read(&self, _: Asker, _: Duration) -> Answer<'_, Option<Register>> {
        self.answer(|register| Some(*register))
    }
    fn compare_and_set(&self, _: Asker, expected: &Register, new: &Register, _: Duration) -> Answer<'_, CasOutcome> {
        let (expected, new) = (*expected, *new);
        self.answer(move |register| {
            if *register == expected {
                *register = new;
                CasOutcome::Landed(new)
            } else {
                CasOutcome::Differs(*register)
            }
        })
    }
    fn introduce(&self, _: Asker, _: &str, _: Duration) -> Answer<'_, CasOutcome> {
        self.answer(|register| CasOutcome::Differs(*register))
    }
}

struct Stage {
    coordinator: Addr<FailoverCoordinator<Ledger>>,
    desk: Arc<Desk>,
    notes: Notes,
    storage: Arc<Storage<Ledger>>,
    shown: Arc<Shown>,
    begun: Heard<BeginStream>,
    carried_on: Heard<ContinueStream>,
    held: Heard<Hold>,
    _directory: tempfile::TempDir,
}

async fn stage(me: ServerId) -> Stage {
    let directory = tempfile::tempdir().unwrap();
    let first = Register { epoch: Epoch(1), holder: PAIR_A, data_ids: DATA, recorded: Position::GENESIS };
    let files = |name: &str| {
        std::fs::create_dir(directory.path().join(name)).unwrap();
        Directory::open(directory.path().join(name)).unwrap()
    };
    let notes: Notes =
        Arc::new(Mutex::new(CoordinationFile::create(files("coordination"), Coordination::first(me, &first)).unwrap()));
    let (journal, _) = Journal::open(files("journal"), Limits::default(), DATA[me.index()]).unwrap();
    let board = Arc::new(Board::default());
    let gate = Gate::new(Arc::clone(&board), Box::new(|_| {}), Box::new(|| {}));
    let metrics = Metrics::new(&[], &[], [], Counter::default());
    let no_store = || Err(StoreError::Away { place: "none".into(), reason: "this test has no store".into() });
    let tail = Tail::new(StreamNo(0), Position::GENESIS);
    let storage = Arc::new(Storage::new(board, gate, tail, journal.reader(), metrics, Arc::new(no_store)));
    let shown = Arc::new(Shown::default());
    let desk = Arc::new(Desk { register: Mutex::new(first), away: Mutex::new(false) });
    let (begin, begun) = ear::<BeginStream>();
    let (carry_on, carried_on) = ear::<ContinueStream>();
    let (hold, held) = ear::<Hold>();
    let neighbours = Neighbours {
        begin,
        carry_on,
        cease: ear::<CeaseStream>().0,
        take_commands: ear::<TakeCommands>().0,
        dismiss: ear::<Dismiss>().0,
        watch_level: ear::<WatchLevel>().0,
        tell_follower: ear::<TellFollower>().0,
        admit: ear::<Admit>().0,
        tell_holder: ear::<TellHolder>().0,
        applier: ear::<ConfirmedMoved>().0,
        hold,
        stand: ear::<Stand>().0,
        grant_leases: ear::<GrantLeases>().0,
    };
    let settings = Settings {
        asynchronous: false,
        names: ["a".into(), "b".into()],
        first_register: String::new(),
        notes: Arc::clone(&notes),
        arbiter: Arc::clone(&desk) as Arc<dyn Arbiter>,
        own_numbers: false,
    };
    let (exit, _) = tokio::sync::mpsc::unbounded_channel();
    let coordinator =
        FailoverCoordinator::new(settings, Arc::clone(&storage), Arc::clone(&shown), neighbours, exit, quiet()).start();
    let stage = Stage { coordinator, desk, notes, storage, shown, begun, carried_on, held, _directory: directory };
    until("the register was read", || stage.shown.view().register.is_some()).await;
    stage
}

impl Stage {
    async fn tell(&self, event: Event) {
        self.coordinator.send(Judged(event)).await.unwrap();
    }

    fn mode(&self) -> Mode {
        self.shown.mode()
    }

    fn peer(&self, epoch: u64, holder: Holder) -> Event {
        let me = self.shown.view().standing.unwrap();
        Event::PeerSays(Standing { epoch: Epoch(epoch), holder, role: Role::None, ..me })
    }

    async fn become_main(&self) {
        self.tell(self.peer(1, PAIR_A)).await;
        self.coordinator.send(StreamNews::Compared).await.unwrap();
        until("main", || self.mode() == Mode::Pair).await;
    }
}

#[actix::test]
async fn a_main_whose_sub_dies_carries_on_alone_under_a_grant_that_is_on_its_disk() {
    let stage = stage(ServerId::A).await;
    stage.become_main().await;
    assert_eq!(stage.storage.gate.rule(), Rule::Both(Epoch(1)));
    stage.tell(Event::PeerLost(Loss::Dead)).await;
    until("solo", || stage.mode() == Mode::Solo).await;
    assert_eq!(stage.storage.gate.rule(), Rule::Own(Epoch(2)));
    let solo = Holder::Solo { server: ServerId::A };
    assert_eq!(stage.notes.lock().unwrap().current().held, (Epoch(2), solo));
    assert_eq!(stage.desk.register.lock().unwrap().holder, solo);
    until("both addresses", || stage.held.last().is_some_and(|hold| hold.set == AddressSet::Both && hold.by == HoldBy::Grant))
        .await;
    assert_eq!(stage.carried_on.all().len(), 1, "the same run goes on");
}

#[actix::test]
async fn a_sub_whose_main_dies_begins_a_run_of_its_own() {
    let stage = stage(ServerId::B).await;
    stage.tell(stage.peer(1, PAIR_A)).await;
    let verdict = stage.coordinator.send(StreamWanted { epoch: Epoch(1), holder: PAIR_A }).await.unwrap();
    assert_eq!(verdict, StreamVerdict::AsSub);
    stage.tell(Event::PeerLost(Loss::Dead)).await;
    until("solo", || stage.mode() == Mode::Solo).await;
    until("begun", || stage.begun.all().iter().any(|begun| begun.epoch == Epoch(2))).await;
    assert_eq!(stage.storage.gate.rule(), Rule::Own(Epoch(2)));
}

/// Or it could not be granted the place of the other: what it lacks nobody was told.
#[actix::test]
async fn on_the_way_back_nothing_is_recorded_that_the_peer_lacks() {
    let stage = stage(ServerId::A).await;
    stage.become_main().await;
    stage.tell(Event::PeerLost(Loss::Dead)).await;
    until("solo", || stage.mode() == Mode::Solo).await;
    stage.tell(Event::PeerBack).await;
    stage.coordinator.send(StreamNews::Near).await.unwrap();
    until("the peer is needed", || stage.storage.gate.rule() == Rule::Both(Epoch(2))).await;
    let ahead = Position { epoch: Epoch(2), sequence: crate::model::Sequence(10), ..Position::GENESIS };
    stage.storage.board.set_stored(ahead);
    stage.tell(Event::RefreshDue).await;
    stage.coordinator.send(StreamNews::Lost).await.unwrap();
    until("alone again", || stage.storage.gate.rule() == Rule::Own(Epoch(2))).await;
    assert_eq!(stage.desk.register.lock().unwrap().recorded, Position::GENESIS);
    stage.tell(Event::RefreshDue).await;
    until("recorded", || stage.desk.register.lock().unwrap().recorded == ahead).await;
}

#[actix::test]
async fn without_the_arbiter_nobody_acknowledges_alone() {
    let stage = stage(ServerId::A).await;
    stage.become_main().await;
    *stage.desk.away.lock().unwrap() = true;
    stage.tell(Event::PeerLost(Loss::Dead)).await;
    until("suspended", || stage.mode() == Mode::Suspended).await;
    tokio::time::pause();
    pass(5_000).await;
    assert_eq!((stage.mode(), stage.storage.gate.rule()), (Mode::Suspended, Rule::Closed));
    tokio::time::resume();
    *stage.desk.away.lock().unwrap() = false;
    stage.tell(Event::RetryDue).await;
    until("solo", || stage.mode() == Mode::Solo).await;
}

#[actix::test]
async fn a_main_that_finds_the_other_in_the_register_drops_everything_and_rejoins() {
    let stage = stage(ServerId::A).await;
    stage.become_main().await;
    stage.desk.register.lock().unwrap().epoch = Epoch(2);
    stage.desk.register.lock().unwrap().holder = Holder::Solo { server: ServerId::B };
    stage.tell(Event::PeerLost(Loss::Dead)).await;
    until("rejoining", || stage.mode() == Mode::Rejoining).await;
    assert_eq!(stage.storage.gate.rule(), Rule::Closed);
    until("no address", || stage.held.last().is_some_and(|hold| hold.set == AddressSet::None)).await;
}
