//! One server's HTTP interface, with everything around it in the test's hands.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use actix::{Actor, Context, Handler, Recipient, ResponseFuture};
use duplex::actors::command_acceptor::Submit;
use duplex::config::ReplicationMode;
use duplex::console::{Console, NotMain, Parts, Running};
use duplex::handover::{Board, Failures, Shown};
use duplex::ledger::rows::{
    Account, BusinessDay, DayState, LedgerKind, LedgerRow, Medium, Member, MemberState, Rate, Row, Terminal, TerminalKind,
};
use duplex::ledger::sample;
use duplex::model::{DataId, Epoch, Holder, Mode, Position, Role, Sequence, ServerId, Standing, UnixMs};
use duplex::store::{ReadPool, Store};
use duplex::telemetry::Metrics;
use duplex::wire::refusal::LinkError;
use futures_util::FutureExt;
use serde_json::Value;
use supervisors::{Kind, Report, State};

use super::database::Database;
use super::history::{self, Bare, History, ledger_row};

/// 2026-07-01 and the day after.
pub const FIRST: i32 = 20_635;
pub const SECOND: i32 = 20_636;
pub const OFFICE: &str = "office";

/// Everything an answer has.
pub struct Heard {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Heard {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn rows(&self) -> Vec<Value> {
        self.json()["rows"].as_array().unwrap_or_else(|| panic!("no rows: {}", self.body)).clone()
    }
}

type Proving = Box<dyn FnMut() -> Result<(), NotMain> + Send>;

/// What the hooks answer, changed by the test while the server runs.
#[derive(Default)]
pub struct Hooks {
    /// Run when a read asks whether this server is Main; its value is the answer.
    pub prove: Mutex<Option<Proving>>,
    pub age_ms: Mutex<Option<u64>>,
    pub tree_panics: AtomicBool,
}

/// What CommandAcceptor would answer to a line; `None`: never.
type Answering = fn(&str) -> Option<String>;

pub struct House {
    pub address: SocketAddr,
    pub board: Arc<Board>,
    pub shown: Arc<Shown>,
    pub metrics: Arc<Metrics>,
    pub failures: Arc<Failures>,
    pub hooks: Arc<Hooks>,
    pub filling: Arc<Mutex<Filling>>,
    acceptor: Option<Acceptor>,
    console: Option<Running>,
    _database: Database,
}

/// The store as the applier has it open.
pub struct Filling {
    store: Box<dyn Store<Bare>>,
    history: History,
}

impl Filling {
    /// One more entry, applied.
    pub fn apply(&mut self, rows: Vec<Row>) -> Position {
        let entry = self.history.puts(rows);
        self.store.apply(&[entry]).unwrap()
    }
}

impl House {
    pub fn sqlite() -> Self {
        Self::over(Database::sqlite())
    }

    pub fn over(database: Database) -> Self {
        Self::answering(database, |_| None)
    }

    /// As Sub of a pair, in epoch 1, with [`rows`] applied.
    pub fn answering(database: Database, answering: Answering) -> Self {
        let (board, shown, hooks) = (Arc::new(Board::default()), Arc::new(Shown::default()), Arc::new(Hooks::default()));
        let mut filling = Filling { store: database.open(), history: History::default() };
        let applied = filling.apply(rows());
        board.set_stored(applied);
        board.set_applied(applied);
        board.set_epoch(Epoch(1));
        board.raise_confirmed(applied.sequence);
        let metrics = Metrics::new(&["deposit"], &["journal-writer"], LinkError::codes(), Default::default());
        let failures: Arc<Failures> = Arc::default();
        let acceptor = Acceptor::start(answering);
        let (asked, aged, told) = (Arc::clone(&hooks), Arc::clone(&hooks), Arc::clone(&hooks));
        let parts = Parts {
            me: ServerId::B,
            names: ["hall-1".into(), "hall-2".into()],
            arbiter_kind: "witness",
            replication: ReplicationMode::Sync,
            moves_addresses: false,
            board: Arc::clone(&board),
            shown: Arc::clone(&shown),
            submit: acceptor.recipient.clone(),
            tree: Arc::new(move || tree(told.tree_panics.load(SeqCst))),
            store: ReadPool::new(&database.url, 2).unwrap(),
            metrics: Arc::clone(&metrics),
            failures: Arc::clone(&failures),
            prove_main: Arc::new(move || {
                let proven = asked.prove.lock().unwrap().as_mut().map_or(Ok(()), |prove| prove());
                async move { proven }.boxed()
            }),
            freshness: Arc::new(move || *aged.age_ms.lock().unwrap()),
            log: slog::Logger::root(slog::Discard, slog::o!()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let console = Some(Console::new(parts).start(listener).unwrap());
        let (filling, acceptor) = (Arc::new(Mutex::new(filling)), Some(acceptor));
        let house = Self { address, board, shown, metrics, failures, hooks, filling, acceptor, console, _database: database };
        house.stand(Mode::Pair, Role::Sub);
        house
    }

    pub fn stand(&self, mode: Mode, role: Role) {
        let standing = |mode, role| Standing {
            epoch: Epoch(1),
            holder: Holder::Pair { main: ServerId::A },
            data_id: DataId([0; 16]),
            mode,
            role,
            can_acknowledge: true,
        };
        let peer = if role == Role::Sub { Role::Main } else { Role::Sub };
        self.shown.update(|view| {
            view.standing = Some(standing(mode, role));
            view.peer = Some(standing(Mode::Pair, peer));
            view.since = UnixMs(1_782_867_600_000);
        });
    }

    pub fn prove_by(&self, prove: impl FnMut() -> Result<(), NotMain> + Send + 'static) {
        *self.hooks.prove.lock().unwrap() = Some(Box::new(prove));
    }

    /// The actor that answers commands is gone.
    pub fn stop_acceptor(&mut self) {
        self.acceptor = None;
    }

    /// Whether the server still serves.
    pub fn is_serving(&self) -> bool {
        self.console.as_ref().is_some_and(Running::is_serving)
    }

    pub fn get(&self, path: &str) -> Heard {
        self.get_with(path, &[])
    }

    /// As the office's analysis terminal.
    pub fn read(&self, path: &str) -> Heard {
        self.read_with(path, &[])
    }

    pub fn read_with(&self, path: &str, headers: &[(&str, &str)]) -> Heard {
        let key = sample::key(OFFICE);
        let who = [("X-Duplex-Terminal", OFFICE), ("X-Duplex-Key", key.as_str())];
        self.get_with(path, &[&who, headers].concat())
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Heard {
        let request = agent().get(format!("http://{}{path}", self.address));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        heard(request.call().unwrap())
    }

    pub fn head(&self, path: &str) -> Heard {
        heard(agent().head(format!("http://{}{path}", self.address)).call().unwrap())
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Heard {
        heard(agent().post(format!("http://{}{path}", self.address)).send(body).unwrap())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let stopped = self.console.take().map(Running::stop);
        if !std::thread::panicking() {
            stopped.unwrap().unwrap();
        }
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn heard(mut response: ureq::http::Response<ureq::Body>) -> Heard {
    let body = response.body_mut().read_to_string().unwrap();
    Heard { status: response.status().as_u16(), headers: response.headers().clone(), body }
}

fn tree(panics: bool) -> Report {
    assert!(!panics, "the test wants this panic");
    let report = |name: &str, kind, children| Report {
        name: name.into(),
        kind,
        state: State::Running,
        restarts: 1,
        last_exit: None,
        since: 5,
        children,
    };
    let writer = report("journal-writer", Kind::Actor, vec![]);
    report("duplex", Kind::Group, vec![report("storage", Kind::Group, vec![writer])])
}

/// Stands where CommandAcceptor stands, on a thread of its own.
struct Acceptor {
    recipient: Recipient<Submit>,
    system: actix::System,
    thread: Option<JoinHandle<()>>,
}

struct Desk(Answering);

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Handler<Submit> for Desk {
    type Result = ResponseFuture<Vec<u8>>;

    fn handle(&mut self, Submit(line): Submit, _: &mut Context<Self>) -> Self::Result {
        match (self.0)(&line) {
            Some(answer) => std::future::ready(answer.into_bytes()).boxed_local(),
            None => std::future::pending().boxed_local(),
        }
    }
}

impl Acceptor {
    fn start(answering: Answering) -> Self {
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runner = actix::System::new();
            runner.block_on(async {
                tell.send((Desk(answering).start().recipient(), actix::System::current())).unwrap();
            });
            runner.run().unwrap();
        });
        let (recipient, system) = told.recv().unwrap();
        Self { recipient, system, thread: Some(thread) }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.system.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// Five members, the third of them written by somebody with a spreadsheet in mind; two days, of which one is closed.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![Row::Site(Box::new(history::site()))];
    rows.extend(
        [(OFFICE, TerminalKind::Analysis), ("pc", TerminalKind::HallComputer), ("seat-1", TerminalKind::Seat)].map(terminal),
    );
    rows.push(Row::Terminal(Terminal { enabled: false, ..terminal_row("old", TerminalKind::Analysis) }));
    rows.extend((1..=5).map(|no| Row::Member(Box::new(member(no)))));
    rows.extend([rate(1, Medium::Ball, "4-yen ball"), rate(2, Medium::Medal, "20-yen medal")]);
    rows.extend([account(1, 1, 350, 5), account(1, 2, 10, 3), account(2, 1, 100, 2)].map(Row::Account));
    rows.push(Row::BusinessDay(day(FIRST, 1, DayState::Closed, 3)));
    rows.push(Row::BusinessDay(day(SECOND, 2, DayState::Open, 3)));
    rows.extend(
        [
            (1, FIRST, (1, 1), LedgerKind::Deposit, 250, 250),
            (2, FIRST, (2, 1), LedgerKind::Deposit, 100, 100),
            (3, FIRST, (1, 2), LedgerKind::Deposit, 10, 10),
            (4, SECOND, (1, 1), LedgerKind::Deposit, 225, 475),
            (5, SECOND, (1, 1), LedgerKind::Payout, -125, 350),
        ]
        .map(ledger),
    );
    rows
}

fn terminal((terminal_id, kind): (&str, TerminalKind)) -> Row {
    Row::Terminal(terminal_row(terminal_id, kind))
}

fn terminal_row(terminal_id: &str, kind: TerminalKind) -> Terminal {
    let key_hash = *blake3::hash(sample::key(terminal_id).as_bytes()).as_bytes();
    let (terminal_id, zone) = (terminal_id.to_owned(), "desk".to_owned());
    Terminal { terminal_id, kind, zone, machine_no: None, rate_id: None, key_hash, enabled: true, open_payout: None }
}

pub fn member(member_no: i64) -> Member {
    let name = if member_no == 3 { "=HYPERLINK(\"http://evil\")".into() } else { format!("会員 {member_no}") };
    Member {
        name: Some(name),
        phone: Some("+81-3-0000-0000".to_owned()),
        birth_day: Some(0),
        joined_day: FIRST,
        last_used_day: Some(SECOND),
        version: 1,
        ..history::member(member_no, MemberState::Active)
    }
}

fn rate(rate_id: i64, medium: Medium, name: &str) -> Row {
    let (lend_units, lend_yen) = (125, 500);
    Row::Rate(Rate { rate_id, medium, name: name.into(), lend_units, lend_yen, payout_step: 1, max_units: 9_999, active: true })
}

fn account(member_no: i64, rate_id: i64, balance: i64, last_ledger_no: i64) -> Account {
    Account { balance, last_ledger_no, version: 1, ..Account::empty(member_no, rate_id) }
}

fn day(day: i32, seq: i64, state: DayState, last_ledger_no: i64) -> BusinessDay {
    let closed = state == DayState::Closed;
    BusinessDay {
        day,
        seq,
        state,
        opened_at: UnixMs(1_782_867_600_000),
        opened_by: "manager".into(),
        closed_at: closed.then_some(UnixMs(1_782_910_800_000)),
        closed_by: closed.then(|| "manager".into()),
        last_ledger_no,
        chain_hash: [7; 32],
        offsite_copied_at: None,
    }
}

fn ledger((ledger_no, day, owner, kind, delta, balance_after): (i64, i32, (i64, i64), LedgerKind, i64, i64)) -> Row {
    let account_id = Account::id_of(owner.0, owner.1);
    let whole = ledger_row(ledger_no, owner.0);
    Row::Ledger(Box::new(LedgerRow { day, account_id, kind, delta, balance_after, ..whole }))
}

/// The sequence of what `rows` left behind.
pub const FILLED: Sequence = Sequence(1);
