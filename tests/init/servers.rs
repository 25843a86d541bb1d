//! Two servers' disks after a working day: the same entries in both journals, applied to both stores.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use duplex::cli::audit::{Report, Target, audit};
use duplex::journal::{Directory, Journal, Limits, seal};
use duplex::ledger::rows::Row;
use duplex::ledger::{Ledger, SiteDefinition, genesis};
use duplex::model::{CommandId, CommandRecord, DataId, Entry, Epoch, Image, Position, Response, SharedEntry, Status, TerminalId};
use duplex::store;
use serde_json::json;
use tempfile::TempDir;

use crate::world::{TODAY, World, secrets};

/// What was done, entry by entry.
#[derive(Clone, Default)]
pub struct History {
    pub entries: Vec<SharedEntry<Row>>,
    /// Of the records to come.
    day: Option<i32>,
}

impl History {
    /// A member comes, leaves units of two rates, draws some; the day is closed. Made once: deriving passwords is slow on purpose.
    pub fn of_a_day() -> Self {
        static MADE: OnceLock<History> = OnceLock::new();
        let made = MADE.get_or_init(|| {
            let mut day = Day::begun();
            day.during(|world| {
                let payout_id = authorise(world);
                world.ok("seat-1", "complete_payout", &json!({"payout_id": payout_id, "delivered": 250}));
            });
            day.during(|world| drop(world.ok("office", "close_day", &json!({"date": TODAY}))));
            day.history
        });
        made.clone()
    }

    /// Fifteen days closed, each with a deposit: records of the first one are kept no longer, and some of them have left.
    pub fn of_fifteen_days() -> Self {
        let mut day = Day::begun();
        for date in 1..=15 {
            day.during(|world| drop(world.ok("office", "close_day", &json!({"date": format!("2026-07-{date:02}")}))));
            if date < 15 {
                let next = json!({"date": format!("2026-07-{:02}", date + 1), "confirm": true});
                day.during(|world| drop(world.ok("office", "open_day", &next)));
                let deposit = json!({"card_id": "card-1", "rate_id": 1, "units": 1});
                day.during(|world| drop(world.ok("counter", "deposit", &deposit)));
            }
        }
        day.history
    }

    /// One draw is done, another one is not.
    pub fn with_an_open_payout() -> Self {
        let mut day = Day::begun();
        day.during(|world| {
            let payout_id = authorise(world);
            world.ok("seat-1", "complete_payout", &json!({"payout_id": payout_id, "delivered": 250}));
        });
        day.during(|world| {
            authorise(world);
        });
        day.history
    }

    pub fn push(&mut self, terminal: &TerminalId, command: CommandId, response: &Response, images: Vec<Image<Row>>) {
        let before = self.entries.last().map_or(Position::GENESIS, |entry| entry.position);
        let record = CommandRecord {
            terminal_id: terminal.clone(),
            command_id: command,
            body_hash: [1; 16],
            day: self.day,
            response: postcard::to_stdvec(response).unwrap(),
        };
        let sealed = seal(&before, Epoch(before.epoch.0.max(1)), Entry { images, record }).unwrap();
        self.entries.push(Arc::new(sealed));
    }

    /// Sends the last command once more, and executes it.
    pub fn repeat_the_last(&mut self) {
        let last = self.entries.last().unwrap();
        let record = last.entry.record.clone();
        let response = postcard::from_bytes(&record.response).unwrap();
        self.push(&record.terminal_id, record.command_id, &response, Vec::new());
    }
}

/// A ledger at work, and what it leaves.
struct Day {
    world: World,
    history: History,
}

impl Day {
    /// The first entry as `init` writes it, an open day, a member with units of two rates.
    fn begun() -> Self {
        let site = SiteDefinition::sample(6, &secrets()).unwrap();
        let mut history = History::default();
        history.push(&TerminalId("init".into()), CommandId([0xff; 16]), &done(), genesis(&site).unwrap());
        let mut day = Self { world: World::of(&site), history };
        day.during(|world| world.sign_in("manager"));
        day.during(|world| drop(world.ok("office", "open_day", &json!({"date": TODAY}))));
        day.during(|world| {
            world.register("card-1");
        });
        for (rate_id, units) in [(1, 1000), (3, 50)] {
            let deposit = json!({"card_id": "card-1", "rate_id": rate_id, "units": units});
            day.during(|world| drop(world.ok("counter", "deposit", &deposit)));
        }
        day
    }

    /// One entry for each answer stored by `work`; the last one carries the rows.
    fn during(&mut self, work: impl FnOnce(&mut World)) {
        let (rows, answered) = (self.world.rows.0.clone(), self.world.records.len());
        self.history.day = self.world.site().current_day;
        work(&mut self.world);
        let changed = self.world.rows.0.iter().filter(|(key, row)| rows.get(*key) != Some(*row));
        let mut images: Vec<_> = changed.map(|(_, row)| Image::Put(row.clone())).collect();
        images.sort_by_key(Image::key);
        let answers = self.world.records[answered..].to_vec();
        let last = answers.len() - 1;
        for (place, (terminal, command, response)) in answers.into_iter().enumerate() {
            let images = if place == last { std::mem::take(&mut images) } else { Vec::new() };
            self.history.push(&terminal, command, &response, images);
        }
    }
}

fn done() -> Response {
    let nothing = String::new;
    Response { status: Status::Ok, code: nothing(), text_ja: nothing(), text_en: nothing(), body: "{}".into() }
}

fn authorise(world: &mut World) -> i64 {
    let session = world.session("seat-1", "card-1");
    world.ok("seat-1", "authorise_payout", &json!({"session": session, "rate_id": 1, "units": 250})).number("payout_id")
}

/// Two servers' directories.
pub struct Servers {
    directory: TempDir,
    /// Where the second server's store is, if it is not a file.
    elsewhere: Option<String>,
}

pub const NAMES: [&str; 2] = ["hall-a", "hall-b"];

impl Servers {
    /// Both have stored and applied everything.
    pub fn alike(history: &History) -> Self {
        Self::each([&history.entries, &history.entries], [history.entries.len(); 2])
    }

    /// As [`Servers::alike`], with the second store at `url`.
    pub fn of_two_engines(history: &History, url: String) -> Self {
        let entries = history.entries.as_slice();
        Self { elsewhere: Some(url), ..Self::empty() }.filled([entries; 2], [entries.len(); 2])
    }

    /// What each has stored, and how much of it is applied.
    pub fn each(stored: [&[SharedEntry<Row>]; 2], applied: [usize; 2]) -> Self {
        Self::empty().filled(stored, applied)
    }

    fn empty() -> Self {
        Self { directory: TempDir::new().unwrap(), elsewhere: None }
    }

    fn filled(self, stored: [&[SharedEntry<Row>]; 2], applied: [usize; 2]) -> Self {
        for index in 0..2 {
            let target = self.target(index);
            std::fs::create_dir_all(&target.journal).unwrap();
            let limits = Limits { segment_bytes: 2 << 20, ..Limits::default() };
            let files = Directory::open(&target.journal).unwrap();
            let (mut journal, _) = Journal::open(files, limits, DataId([index as u8; 16])).unwrap();
            journal.append(stored[index]).unwrap();
            journal.sync().unwrap();
            store::open::<Ledger>(&target.store).unwrap().apply(&stored[index][..applied[index]]).unwrap();
        }
        self
    }

    pub fn target(&self, index: usize) -> Target {
        let own = self.directory.path().join(NAMES[index]);
        let elsewhere = self.elsewhere.clone().filter(|_| index == 1);
        let store = elsewhere.unwrap_or_else(|| format!("sqlite:{}", own.join("store.db").display()));
        Target { name: NAMES[index].into(), store, journal: own.join("journal") }
    }

    pub fn targets(&self) -> [Target; 2] {
        [self.target(0), self.target(1)]
    }

    /// Changes the second server's store behind its back.
    pub fn spoil(&self, sql: &str) {
        self.spoil_store(1, sql);
    }

    pub fn spoil_first(&self, sql: &str) {
        self.spoil_store(0, sql);
    }

    fn spoil_store(&self, index: usize, sql: &str) {
        let path = self.target(index).store.strip_prefix("sqlite:").unwrap().to_owned();
        SqliteConnection::establish(&path).unwrap().batch_execute(sql).unwrap();
    }

    pub fn journal_file(&self, index: usize) -> PathBuf {
        let mut files = std::fs::read_dir(self.target(index).journal).unwrap().map(|file| file.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "journal")).unwrap()
    }

    pub fn audit(&self) -> Report {
        audit(&self.targets()).unwrap()
    }
}
