//! Any actor may panic at any message, on Main and on Sub, under load: no acknowledged command is lost or doubled, and the pair is a
//! pair again by itself.
//!
//! `cargo test --features fault-injection --test faults`

#![cfg(feature = "fault-injection")]
#![allow(clippy::unwrap_used)]

#[path = "support/pair.rs"]
mod pair;

#[path = "faults/evidence.rs"]
mod evidence;
#[path = "faults/table.rs"]
mod table;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use duplex::layout::Layout;
use duplex::model::Sequence;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use pair::{CommandIds, First, PATIENCE, Pair, Second, Which};
use serde_json::json;
use table::{CASES, Case, Role, Story};

/// The load of every case: commands per second, and for how long.
const RATE: u32 = 200;
const LOAD: f64 = 2.0;
/// A pair again within this time, whatever failed (two servers that boot wait for each other 1.5 s at most; rejoining takes 1 s).
const RECOVERY: Duration = Duration::from_secs(20);
/// Starts until the roles are as a case needs them.
const STARTS_MAX: usize = 5;
/// Pairs at the same time: one for each core of the smallest machine that runs this.
const PAIRS: usize = 2;

#[test]
fn any_actor_may_panic_at_any_message_and_nothing_acknowledged_is_lost_or_doubled() {
    let wanted = std::env::var("DUPLEX_FAULTS_ONLY").unwrap_or_default();
    let cases: VecDeque<&Case> = CASES.iter().filter(|case| case.to_string().contains(&wanted)).collect();
    let (waiting, failed) = (Mutex::new(cases), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..PAIRS {
            scope.spawn(|| work_off(&waiting, &failed));
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} case(s) failed:\n{}", failed.len(), failed.join("\n"));
}

/// One pair lives through case after case; one that a case has broken is replaced.
fn work_off(waiting: &Mutex<VecDeque<&Case>>, failed: &Mutex<Vec<String>>) {
    let mut pair = None;
    loop {
        let Some(case) = waiting.lock().unwrap().pop_front() else { return };
        let mut mine = pair.take().unwrap_or_else(|| Stage::new(Pair::at_work()));
        match mine.play(case) {
            Ok(()) => {
                println!("{case}: holds");
                pair = Some(mine);
            }
            Err(why) => {
                let logs = [First, Second].map(|which| mine.pair.log(which)[mine.logged[which as usize]..].to_owned());
                println!("{case}: {why}\n--- hall-1\n{}\n--- hall-2\n{}", logs[0], logs[1]);
                failed.lock().unwrap().push(format!("{case}: {why}"));
            }
        }
    }
}

struct Stage {
    pair: Pair,
    main: Which,
    cases: usize,
    /// How much the logs held before this case.
    logged: [usize; 2],
}

impl Stage {
    fn new(mut pair: Pair) -> Self {
        let main = pair.wait_for_pair(PATIENCE);
        pair.kill_both();
        Self { pair, main, cases: 0, logged: [0, 0] }
    }

    fn play(&mut self, case: &Case) -> Result<(), String> {
        self.cases += 1;
        self.logged = [First, Second].map(|which| self.pair.log(which).len());
        let target = self.begin(case)?;
        let history = self.pair.file(&format!("history-{}.jsonl", self.cases));
        let load = self.pair.load(RATE, case.seconds.unwrap_or(LOAD), &history);
        let told = self.tell(case, target);
        // Waited for in any case: it would outlive the case.
        let output = load.wait_with_output().unwrap();
        told?;
        if !output.status.success() {
            return Err(format!("the load failed: {}", String::from_utf8_lossy(&output.stderr)));
        }
        if case.story == Story::LosesItsJournal {
            self.find_the_journal(target)?;
        }
        let last = self.recover(target)?;
        evidence::examine(&self.pair, &history, last)?;
        let fired = self.log_of_case(target).matches("fault injected at").count();
        if fired < case.fault.split(',').count() && !case.may_not_fire {
            return Err(format!("fired {fired} time(s) only"));
        }
        Ok(())
    }

    /// What happens during the load.
    fn tell(&mut self, case: &Case, target: Which) -> Result<(), String> {
        match case.story {
            Story::Works => {}
            Story::PeerDies => self.lose_for_a_moment(target.other(), None),
            Story::Returns => self.lose_for_a_moment(target, Some(case.fault)),
            Story::PeerCatchesUp => return self.fail_while_the_peer_catches_up(target),
            Story::IsAskedOverHttp => return self.ask_over_http(target),
            Story::IsStopped => return self.stop(target),
            Story::SwitchesOver => self.switch_over(),
            Story::LosesItsJournal => self.hide_the_journal(target),
        }
        Ok(())
    }

    /// Both servers up, in the roles that the case needs. On a busy machine the two boot far enough apart for a takeover: then again.
    fn begin(&mut self, case: &Case) -> Result<Which, String> {
        for _ in 0..STARTS_MAX {
            let target = if case.role == Role::Main { self.main } else { self.main.other() };
            let fault = match case.story {
                Story::Returns => None,
                Story::PeerCatchesUp => Some(format!("{}@{}", case.fault, self.standstill().display())),
                _ => Some(case.fault.to_owned()),
            };
            self.pair.start_server(target, fault.as_deref());
            self.pair.start_server(target.other(), None);
            let main = self.pair.find_pair(RECOVERY).ok_or("no pair at the start")?;
            if main == self.main || self.log_of_case(target).contains("fault injected at") {
                return Ok(target);
            }
            self.main = main;
            self.pair.kill_both();
        }
        Err("the roles changed at every start".into())
    }

    fn lose_for_a_moment(&mut self, which: Which, fault: Option<&str>) {
        thread::sleep(Duration::from_millis(500));
        self.pair.kill(which);
        thread::sleep(Duration::from_millis(300));
        self.pair.start_server(which, fault);
    }

    /// Exists while the peer stands still before the first entries that it lacks; the fault waits for it.
    fn standstill(&self) -> PathBuf {
        self.pair.file(&format!("catching-up-{}", self.cases))
    }

    fn fail_while_the_peer_catches_up(&mut self, target: Which) -> Result<(), String> {
        let standstill = self.standstill();
        let fault = format!("journal-writer/group:1={}", standstill.display());
        self.lose_for_a_moment(target.other(), Some(&fault));
        self.wait_for_the_fault(target)?;
        let log = self.log_of_case(target);
        // Without O_NONBLOCK this would wait for ever, should the other one have ended.
        let let_go = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(standstill);
        let_go.map_err(|error| format!("the other server did not stand still: {error}"))?;
        let (_, since) = log.split_once("carrying on alone").ok_or("it was never alone")?;
        let (catching_up, _) = since.split_once("fault injected at").ok_or("no fault")?;
        let is_behind = self.log_of_case(target.other()).contains("rejoining: ");
        if is_behind && !catching_up.contains("a pair, as") { Ok(()) } else { Err("the peer did not lack anything then".into()) }
    }

    fn wait_for_the_fault(&self, target: Which) -> Result<(), String> {
        let fired = pair::eventually(RECOVERY, || self.log_of_case(target).contains("fault injected at"));
        if fired { Ok(()) } else { Err("the fault never came".into()) }
    }

    /// A greeting, until it is answered (by a sub with "ask the other one"): the first one is what fails.
    fn ask_over_http(&self, target: Which) -> Result<(), String> {
        let greeting = self.pair.request("office", &CommandIds::draw(), "hello", json!({})).to_string();
        let url = format!("http://{}/api/v1/commands", self.pair.http(target));
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(RECOVERY));
        let agent: ureq::Agent = config.build().into();
        let asked = || Some(agent.post(&url).content_type("application/json").send(greeting.as_bytes()).ok()?.status().as_u16());
        let _ = asked();
        self.wait_for_the_fault(target)?;
        let expected = if target == self.main { 200 } else { 503 };
        let answered = pair::eventually(RECOVERY, || asked() == Some(expected));
        if answered { Ok(()) } else { Err(format!("HTTP does not answer {expected}: {:?}", asked())) }
    }

    /// The first order is lost with the actor that heard it; the second one is obeyed.
    fn stop(&mut self, target: Which) -> Result<(), String> {
        thread::sleep(Duration::from_millis(500));
        self.pair.server(target).signal(Signal::SIGTERM);
        self.wait_for_the_fault(target)?;
        if self.pair.server(target).ended(Duration::from_millis(500)).is_some() {
            return Err("it ended by itself".into());
        }
        self.pair.server(target).signal(Signal::SIGTERM);
        let status = self.pair.server(target).ended(PATIENCE).ok_or("it was told to stop twice, and goes on")?;
        if status.success() { Ok(()) } else { Err(format!("told to stop, it ended with {status}")) }
    }

    /// Whether it comes to that is the fault's doing.
    fn switch_over(&mut self) {
        thread::sleep(Duration::from_millis(500));
        let mut order = self.pair.switchover(self.main);
        order.wait().unwrap();
    }

    fn hide_the_journal(&self, target: Which) {
        let journal = Layout::of(&self.pair.config(target)).journal();
        fs::rename(&journal, journal.with_extension("away")).unwrap();
    }

    /// The server must have left by then: the other one serves.
    fn find_the_journal(&mut self, target: Which) -> Result<(), String> {
        let left = self.pair.server(target).ended(RECOVERY).is_some();
        let journal = Layout::of(&self.pair.config(target)).journal();
        fs::rename(journal.with_extension("away"), &journal).unwrap();
        if left { Ok(()) } else { Err("it stays, without a journal".into()) }
    }

    fn log_of_case(&self, which: Which) -> String {
        self.pair.log(which)[self.logged[which as usize]..].to_owned()
    }

    /// By itself, or, if the server left its pair, once it is started again as a service manager would do it. Ends both with the
    /// sequence of the last entry.
    fn recover(&mut self, target: Which) -> Result<Sequence, String> {
        if !self.pair.runs(target) {
            println!("{} has left: {}", target.name(), self.log_of_case(target).lines().last().unwrap_or_default());
            self.pair.start_server(target, None);
        }
        self.main = self.pair.find_pair(RECOVERY).ok_or("no pair in time after the fault")?;
        let deposit = json!({"card_id": "C00000001", "rate_id": 1, "units": 1});
        let request = self.pair.request("counter", &CommandIds::draw(), "deposit", deposit);
        // A fault that comes late may still take the pair apart: the same id again, as a terminal does it.
        let mut answer = serde_json::Value::Null;
        let served = pair::eventually(RECOVERY, || {
            let asked = self.pair.find_pair(RECOVERY).map(|main| (main, self.pair.line(main).ask(&request)));
            let Some((main, Ok(heard))) = asked else { return false };
            (self.main, answer) = (main, heard);
            answer["status"] == "ok" && answer["stored_on"] == "both"
        });
        if !served {
            return Err(format!("not served afterwards: {answer}"));
        }
        self.pair.kill_both();
        Ok(Sequence(answer["sequence"].as_u64().unwrap()))
    }
}

#[test]
fn a_run_that_dies_while_its_server_asks_the_arbiter_is_begun_anew_by_the_grant() {
    let mut pair = Pair::init();
    pair.start_witness();
    pair.start_server(First, Some("data-updater/execute:1"));
    pair.start_server(Second, None);
    pair.wait_for_log(First, "executes commands", PATIENCE);
    // Whoever does not know the register reads it first.
    assert!(pair::eventually(PATIENCE, || pair.status(First)["arbiter"]["epoch"] == 1), "{}", pair.status(First));
    pair.witness().signal(Signal::SIGSTOP);
    pair.kill(Second);
    pair.wait_for_log(First, "asking the arbiter", PATIENCE);
    let greeting = pair.request("office", &CommandIds::draw(), "hello", json!({}));
    pair.line(First).send(format!("{greeting}\n").as_bytes()).unwrap();
    pair.wait_for_log(First, "fault injected", PATIENCE);
    pair.witness().signal(Signal::SIGCONT);
    pair.wait_for_log(First, "carrying on alone", PATIENCE);
    assert!(pair::eventually(PATIENCE, || pair.mode(First).as_deref() == Some("solo")), "{}", pair.log(First));
    pair.start_server(Second, None);
    assert_eq!(pair.wait_for_pair(PATIENCE), First);
}
