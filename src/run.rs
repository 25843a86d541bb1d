//! One server: its files opened, its actors placed on their threads, and the supervision tree as one visible list.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle, System};
use slog::{Logger, crit, info};
use supervisors::{Child, Ended, Group, Hang, Strategy, Tree, seat};
use tokio::sync::mpsc;

use crate::actors::address_keeper::AddressKeeper;
use crate::actors::command_acceptor::{CommandAcceptor, Release};
use crate::actors::data_updater::{self, DataUpdater};
use crate::actors::failover_coordinator::{self, FailoverCoordinator, StopWanted};
use crate::actors::journal_writer::{self, JournalWriter};
use crate::actors::replication_applier::{self, ConfirmedMoved, ReplicationApplier};
use crate::actors::replication_receiver::{self, ReplicationReceiver};
use crate::actors::replication_sender::{self, ReplicationSender, ToThePeer};
use crate::actors::state_monitor::{NeedsThePeer, StateMonitor};
use crate::actors::{Reply, Storage, address_keeper};
use crate::config::Config;
use crate::console::{Console, Parts};
use crate::handover::{Board, Gate, Tail};
use crate::ledger::{Ledger, commands};
use crate::machines::failover::Story;
use crate::model::StreamNo;
use crate::telemetry::{self, metrics::Metrics};
use crate::wire::refusal::LinkError;

mod arbiters;
mod cautions;
mod links;
mod open;
mod orders;
mod patience;
mod prove;
mod threads;
pub mod told;
mod withdraw;

use open::{Opened, open};
pub use open::{Unopened, Why};
use threads::Threads;
use told::Told;

/// Every actor's name: in the tree, in the log, and in `[log.actors]`.
pub const ACTORS: &[&str] = &[
    "state-monitor",
    "address-keeper",
    "failover-coordinator",
    "journal-writer",
    "replication-sender",
    "data-updater",
    "replication-receiver",
    "replication-applier",
    "command-acceptor",
    "console",
    "server",
];

/// Messages that may wait at an actor's door. Bulk never goes through mailboxes, so this bounds bursts of notices only.
const MAILBOX: usize = 256;

/// As `duplex --help` lists it.
const HUNG: i32 = 70;

/// Runs this server until it is told to stop, gives up, or must not go on.
///
/// # Errors
/// [`Unopened`]: it could not start.
pub fn serve(config: Config) -> Result<ExitCode, Unopened> {
    System::new().block_on(async move { Ok(run(open(config).await?).await) })
}

/// Dropping the guard writes what the log still queues: at the end, and before the process is ended from another thread.
type LastLines = Arc<Mutex<Option<telemetry::Guard>>>;

fn write_out(last_lines: &LastLines) {
    drop(last_lines.lock().unwrap_or_else(PoisonError::into_inner).take());
}

async fn run(mut opened: Opened) -> ExitCode {
    let last_lines: LastLines = Arc::new(Mutex::new(opened.telemetry.take()));
    let log = opened.logs.for_actor("server");
    info!(log, "starting"; "server" => &opened.config.server.name, "version" => env!("CARGO_PKG_VERSION"));
    let addresses = opened.addresses.clone();
    let mut told = opened.told.take().unwrap_or_else(Told::listen);
    let _claim = opened.claim.take();
    let (exit, mut exits) = mpsc::unbounded_channel();
    let threads = Threads::start();
    let (tree, stop) = match start_tree(opened, &threads, exit, &last_lines) {
        Ok(started) => started,
        Err(error) => {
            crit!(log, "cannot start"; "reason" => error);
            write_out(&last_lines);
            return ExitCode::FAILURE;
        }
    };
    let code = until_over(&tree, &stop, &mut exits, &mut told, &log).await;
    // Addresses first: nothing that can block may keep them here.
    withdraw::now(addresses.as_ref());
    tree.stop(Duration::from_secs(1)).await;
    info!(log, "stopped");
    write_out(&last_lines);
    code
}

/// Waits for a person, a breach, or the end of the tree.
async fn until_over(
    tree: &Tree,
    stop: &actix::Recipient<StopWanted>,
    exits: &mut mpsc::UnboundedReceiver<Story>,
    told: &mut Told,
    log: &Logger,
) -> ExitCode {
    loop {
        tokio::select! {
            Some(why) = exits.recv() => {
                return if why == Story::Stopped { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            }
            ended = tree.wait() => {
                if let Ended::Escalated(escalation) = ended {
                    crit!(log, "gave up: the other server is the last supervisor";
                        "child" => &escalation.child, "cause" => &escalation.cause);
                }
                return ExitCode::FAILURE;
            }
            signal = told.to_end() => {
                info!(log, "told to end"; "signal" => signal);
                stop.do_send(StopWanted);
            }
        }
    }
}

fn gate(board: &Arc<Board>, acceptor: actix::Recipient<Release>, applier: actix::Recipient<ConfirmedMoved>) -> Gate<Reply> {
    let asked = Arc::clone(board);
    let tell_applier = move || {
        if asked.ask_to_apply() {
            applier.do_send(ConfirmedMoved);
        }
    };
    Gate::new(Arc::clone(board), Box::new(move |answers| acceptor.do_send(Release(answers))), Box::new(tell_applier))
}

/// All actors, in the order in which they start and restart.
fn start_tree(
    opened: Opened,
    threads: &Threads,
    exit: mpsc::UnboundedSender<Story>,
    last_lines: &LastLines,
) -> Result<(Tree, actix::Recipient<StopWanted>), String> {
    let Opened {
        config, app, logs, journal, place, notes, shown, settings, first_register, arbiter, connector, listener, ..
    } = opened;
    let board = Arc::new(Board::default());

    let (monitor, monitor_seat) = seat::<StateMonitor>(MAILBOX);
    let (keeper, keeper_seat) = seat::<AddressKeeper>(MAILBOX);
    let (coordinator, coordinator_seat) = seat::<FailoverCoordinator<Ledger>>(MAILBOX);
    let (writer, writer_seat) = seat::<JournalWriter<Ledger>>(MAILBOX);
    let (sender, sender_seat) = seat::<ReplicationSender<Ledger>>(MAILBOX);
    let (updater, updater_seat) = seat::<DataUpdater<Ledger>>(MAILBOX);
    let (receiver, receiver_seat) = seat::<ReplicationReceiver<Ledger>>(MAILBOX);
    let (applier, applier_seat) = seat::<ReplicationApplier<Ledger>>(MAILBOX);
    let (acceptor, acceptor_seat) = seat::<CommandAcceptor<Ledger>>(MAILBOX);

    let gate = gate(&board, acceptor.clone().recipient(), applier.clone().recipient());
    board.set_stored(journal.stored());
    board.set_applied(opened.applied);
    let tail = Tail::new(StreamNo(0), journal.stored());
    let metrics = Metrics::new(&commands::names(), ACTORS, LinkError::codes(), logs.lost());
    let open_store = open::store_opener(&config);
    let storage = Storage::<Ledger>::new(Arc::clone(&board), gate, tail, journal.reader(), Arc::clone(&metrics), open_store);
    let storage = Arc::new(storage);

    let control = Group::new("control", Strategy::OneForAll)
        .actor({
            let (settings, board, shown) = (settings.clone(), Arc::clone(&board), Arc::clone(&shown));
            let (coordinator, log) = (coordinator.clone().recipient(), logs.for_actor("state-monitor"));
            let (metrics, storage) = (Arc::clone(&metrics), Arc::clone(&storage));
            let needs_the_peer: NeedsThePeer = Arc::new(move || storage.gate.needs_the_peer());
            child("state-monitor", monitor_seat, &threads.control, move || {
                let (board, shown, metrics) = (Arc::clone(&board), Arc::clone(&shown), Arc::clone(&metrics));
                let needs_the_peer = Arc::clone(&needs_the_peer);
                StateMonitor::new(settings.clone(), board, shown, metrics, needs_the_peer, coordinator.clone(), log.clone())
            })
        })
        .actor({
            let (addresses, board, shown) = (opened.addresses.clone(), Arc::clone(&board), Arc::clone(&shown));
            let log = logs.for_actor("address-keeper");
            child("address-keeper", keeper_seat, &threads.control, move || {
                AddressKeeper::new(addresses.clone(), Arc::clone(&board), Arc::clone(&shown), log.clone())
            })
        })
        .actor({
            let neighbours = failover_coordinator::Neighbours {
                begin: sender.clone().recipient(),
                carry_on: sender.clone().recipient(),
                cease: sender.clone().recipient(),
                take_commands: updater.clone().recipient(),
                dismiss: acceptor.clone().recipient(),
                watch_level: sender.clone().recipient(),
                tell_follower: sender.clone().recipient(),
                admit: receiver.clone().recipient(),
                tell_holder: receiver.clone().recipient(),
                applier: applier.clone().recipient(),
                hold: keeper.clone().recipient::<address_keeper::Hold>(),
                stand: monitor.clone().recipient(),
                grant_leases: monitor.clone().recipient(),
            };
            let settings = failover_coordinator::Settings {
                asynchronous: config.replication.mode == crate::config::ReplicationMode::Async,
                names: config.server.pair.clone(),
                first_register,
                notes,
                arbiter,
                own_numbers: matches!(config.arbiter, crate::config::Arbiter::Operator),
            };
            let (storage, shown, log) = (Arc::clone(&storage), Arc::clone(&shown), logs.for_actor("failover-coordinator"));
            child("failover-coordinator", coordinator_seat, &threads.control, move || {
                let (storage, shown) = (Arc::clone(&storage), Arc::clone(&shown));
                FailoverCoordinator::new(settings.clone(), storage, shown, neighbours.clone(), exit.clone(), log.clone())
            })
        });

    let storage_group = Group::new("storage", Strategy::RestForOne)
        .actor({
            let (storage, log) = (Arc::clone(&storage), logs.for_actor("journal-writer"));
            let neighbours = journal_writer::Neighbours {
                receiver: receiver.clone().recipient(),
                sick: coordinator.clone().recipient(),
                reborn: coordinator.clone().recipient(),
            };
            let mut opened = Some(journal);
            child("journal-writer", writer_seat, &threads.journal, move || {
                let journal = opened.take().or_else(|| place.open().ok()).expect("the journal opened a moment ago");
                JournalWriter::new(place.clone(), journal, Arc::clone(&storage), neighbours.clone(), log.clone())
            })
            // A disk that does not sync for this long is as good as gone; the peer has taken over long before.
            .hang_limit(Duration::from_secs(10))
        })
        .actor({
            let neighbours = replication_sender::Neighbours {
                journal: writer.clone().recipient(),
                written: writer.clone().recipient(),
                applier: applier.clone().recipient(),
                start_updating: updater.clone().recipient(),
                enter_epoch: updater.clone().recipient(),
                cease_updating: updater.clone().recipient(),
                news: coordinator.clone().recipient(),
                sick: coordinator.clone().recipient(),
                reborn: coordinator.clone().recipient(),
            };
            let peer = ToThePeer { connector: connector.clone(), route: opened.route, names: listener.names.clone() };
            let (storage, log) = (Arc::clone(&storage), logs.for_actor("replication-sender"));
            child("replication-sender", sender_seat, &threads.storage, move || {
                ReplicationSender::new(Arc::clone(&storage), peer.clone(), neighbours.clone(), log.clone())
            })
        })
        .actor({
            let (app, storage) = (app.clone(), Arc::clone(&storage));
            let neighbours = data_updater::Neighbours {
                journal: writer.clone().recipient(),
                sender: sender.clone().recipient(),
                applier: applier.clone().recipient(),
                coordinator: coordinator.clone().recipient(),
            };
            let log = logs.for_actor("data-updater");
            child("data-updater", updater_seat, &threads.updater, move || {
                DataUpdater::new(app.clone(), Arc::clone(&storage), neighbours.clone(), log.clone())
            })
        })
        .actor({
            let neighbours = replication_receiver::Neighbours {
                journal: writer.clone().recipient(),
                cut: writer.clone().recipient(),
                written: writer.clone().recipient(),
                wanted: coordinator.clone().recipient(),
                says: coordinator.clone().recipient(),
            };
            let (storage, log) = (Arc::clone(&storage), logs.for_actor("replication-receiver"));
            // What it takes goes to the disk, and what is stored is told, without waking another thread: a tenth of a terminal's wait.
            child("replication-receiver", receiver_seat, &threads.journal, move || {
                ReplicationReceiver::new(Arc::clone(&storage), neighbours.clone(), log.clone())
            })
        })
        .actor({
            let (storage, log) = (Arc::clone(&storage), logs.for_actor("replication-applier"));
            let neighbours = replication_applier::Neighbours {
                updater: updater.clone().recipient(),
                journal: writer.clone().recipient(),
                receiver: receiver.clone().recipient(),
                coordinator: coordinator.clone().recipient(),
            };
            child("replication-applier", applier_seat, &threads.applier, move || {
                ReplicationApplier::new(Arc::clone(&storage), neighbours.clone(), log.clone())
            })
            // One transaction, or the rebuilding of the id set from a large store.
            .hang_limit(Duration::from_secs(60))
        });

    let edge = Group::new("edge", Strategy::OneForOne).actor({
        let (storage, shown, log) = (Arc::clone(&storage), Arc::clone(&shown), logs.for_actor("command-acceptor"));
        let (updater, listening) = (updater.clone().recipient(), opened.listening.clone());
        let mut listener = Some(opened.terminals);
        child("command-acceptor", acceptor_seat, &threads.edge, move || {
            let listener = listener.take().expect("built once: CommandAcceptor::new does not fail");
            let (app, storage, shown) = (app.clone(), Arc::clone(&storage), Arc::clone(&shown));
            CommandAcceptor::new(app, storage, shown, updater.clone(), listening.clone(), listener, log.clone())
        })
    });

    let on_hang = {
        let (log, addresses, last_lines) = (logs.for_actor("server"), opened.addresses.clone(), Arc::clone(last_lines));
        move |hang: Hang| {
            crit!(log, "an actor hangs; this server leaves"; "child" => &hang.child, "lasted_ms" => hang.lasted.as_millis() as u64);
            withdraw::now(addresses.as_ref());
            write_out(&last_lines);
            // Its thread would remain: only the process can end it.
            std::process::exit(HUNG);
        }
    };
    let minute = Duration::from_secs(60);
    let limits = |group: Group| group.intensity(5, minute).backoff(Duration::from_millis(10), Duration::from_secs(2));
    let tree = Group::new("root", Strategy::OneForOne)
        .intensity(2, minute)
        .backoff(Duration::from_millis(10), Duration::from_secs(2))
        .group(limits(control))
        .group(limits(storage_group))
        .group(limits(edge))
        .start(on_hang)
        .map_err(|error| error.to_string())?;

    let console = Parts {
        me: config.id(),
        names: config.server.pair.clone(),
        arbiter_kind: config.arbiter.kind(),
        replication: config.replication.mode,
        moves_addresses: opened.addresses.is_some(),
        board: Arc::clone(&board),
        shown: Arc::clone(&shown),
        submit: acceptor.recipient(),
        tree: {
            let tree = tree.clone();
            Arc::new(move || tree.report())
        },
        store: opened.reads,
        metrics,
        failures: Arc::clone(&storage.failures),
        prove_main: prove::main(Arc::clone(&storage), sender.recipient()),
        freshness: prove::freshness(board),
        log: logs.for_actor("console"),
    };
    Console::new(console).start(opened.http).map_err(|error| format!("console: {error}"))?;
    links::take(
        &threads.storage,
        listener,
        receiver.clone().recipient(),
        (Arc::clone(&storage.metrics), Arc::clone(&storage.failures)),
        logs.for_actor("replication-receiver"),
    );
    links::hold_life_line(&threads.control, connector, opened.route, monitor.recipient());
    let obeying =
        orders::Obeying { switch_over: coordinator.clone().recipient(), confirm_alone: coordinator.clone().recipient() };
    orders::take(&threads.control, opened.control, obeying, logs.for_actor("server"));
    Ok((tree, coordinator.recipient()))
}

fn child<A>(name: &str, seat: supervisors::Seat<A>, thread: &Arbiter, build: impl FnMut() -> A + Send + 'static) -> Child
where
    A: actix::Actor<Context = actix::Context<A>> + actix::Supervised,
{
    let thread: ArbiterHandle = thread.handle();
    Child::new(name, seat, thread, build)
}
