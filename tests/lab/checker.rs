//! The judge. Afterwards, from what the clients were told, what the servers said, and what lies on both disks, it proves
//!
//! - P1: no epoch has two acknowledgers, and every answer and entry is of an epoch whose acknowledger said so;
//! - P2: every acknowledged command is in both journals, at the place that its answer named. Both journals are one history, so an
//!   answer `both` was in the survivor's at the takeover: what comes later has a later epoch, and would be at another place;
//! - P3: no command is there twice, and a repeated one gets its first answer;
//! - P6: what was kept of a cut tail is in no journal any more;
//! - P7: both stores stand at the journals' end and hold the same rows.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io::BufReader,
    ops::ControlFlow,
    time::Duration,
};

use duplex::{
    cli::{
        client::{StoredOn, command_id_of},
        history::{self, Stored, Told, check, compare, longest_gap_us},
    },
    journal::{Directory, digest::decode, scan},
    ledger::{Ledger, rows::Row},
    model::{Position, Sequence},
    store::{self, ReadPool},
};
use serde_json::Value;

use crate::{
    pair::{AS_ACKNOWLEDGER, HALL_1, HALL_2, Pair, SERVERS, epoch_in},
    say,
    teller::Teller,
    until,
};

/// An idle pair applies what is left within milliseconds.
const APPLY_LIMIT: Duration = Duration::from_secs(60);
const JUDGED: &str = "the pair has promised it";

/// What a judged scenario shows.
pub struct Evidence {
    told: Vec<Told>,
    /// Acknowledged, and in the journal of this server alone: none, if they are a pair.
    pub only_on: [usize; 2],
}

impl Evidence {
    /// Milliseconds of the longest time without any acknowledgement that touches this window.
    pub fn longest_gap_ms(&self, from_us: u64, to_us: u64) -> u64 {
        longest_gap_us(&self.told, from_us, to_us) / 1_000
    }

    /// Acknowledged within this window, of commands that change data.
    pub fn acknowledged_within(&self, from_us: u64, to_us: u64) -> Vec<&Told> {
        let within = |told: &&Told| told.is_acknowledged() && told.answers.iter().any(|a| (from_us..to_us).contains(&a.at_us));
        self.told.iter().filter(within).collect()
    }

    pub fn stored_on(&self, wanted: StoredOn) -> usize {
        self.told.iter().flat_map(|told| &told.answers).filter(|answer| answer.stored_on == Some(wanted)).count()
    }
}

/// One server's journal, in order.
struct Book {
    positions: Vec<Position>,
    entries: Vec<Stored>,
}

/// Waits until the pair is one again, lets the teller ask for everything again, cuts the power, and judges.
pub fn judge(pair: &mut Pair, teller: &mut Teller) -> Evidence {
    pair.wait_for_pair();
    teller.repeat(pair.client());
    teller.deal(pair.client(), 1);
    let last = &teller.kept[teller.kept.len() - 2].answer;
    assert_eq!(last["stored_on"], "both", "a pair keeps it on both servers: {last}");
    let main = pair.serving().expect("a pair has a main server");
    pair.wait_for_holders(main, 1 - main);

    let told = tell(pair);
    let anomalies = check(&told);
    assert!(anomalies.is_empty(), "the answers contradict each other: {}", listed(&anomalies));
    wait_until_applied(pair);
    pair.audit();
    pair.cut_the_power();
    let books = [HALL_1, HALL_2].map(|server| read_book(pair, server));
    one_acknowledger(pair, &told, &books);
    tails_are_cut(pair, &books);
    nothing_lost_or_doubled(&told, teller, &books);
    same_data(pair, &books);
    let acknowledged = told.iter().filter(|told| told.is_acknowledged()).count();
    say(&format!("{}: {acknowledged} acknowledged, {} entries in both journals", pair.scenario, books[0].entries.len()));
    Evidence { told, only_on: [0, 0] }
}

/// Judges an `async` pair whose former main stays out: nothing acknowledged is on no disk, or executed twice. Sequences that the lost
/// entries had come again, so answers are not compared with each other.
pub fn judge_apart(pair: &mut Pair) -> Evidence {
    let told = tell(pair);
    pair.cut_the_power();
    let books = [HALL_1, HALL_2].map(|server| read_book(pair, server));
    one_acknowledger(pair, &told, &books);
    let [here, there] = books.each_ref().map(|book| compare(&told, &book.entries));
    assert!(here.doubled.is_empty() && there.doubled.is_empty(), "{:?} {:?}", here.doubled, there.doubled);
    let nowhere: Vec<_> = here.lost.iter().filter(|id| there.lost.contains(id)).collect();
    assert!(nowhere.is_empty(), "{} acknowledged commands are on no disk, as {:?}", nowhere.len(), nowhere[0]);
    Evidence { told, only_on: [there.lost.len(), here.lost.len()] }
}

fn tell(pair: &Pair) -> Vec<Told> {
    let read = |path| history::read(BufReader::new(File::open(path).expect(JUDGED))).expect("a history of duplex load");
    pair.histories().into_iter().flat_map(read).collect()
}

/// P1, P4: from what both servers said, what was answered, and what is in the journals.
fn one_acknowledger(pair: &Pair, told: &[Told], books: &[Book; 2]) {
    let mut acknowledgers: BTreeMap<u64, usize> = BTreeMap::new();
    for server in [HALL_1, HALL_2] {
        let words = pair.servers[server].all_words();
        for line in words.lines().filter(|line| AS_ACKNOWLEDGER.iter().any(|turn| line.contains(turn))) {
            let epoch = epoch_in(line).unwrap_or_else(|| panic!("no epoch in {line:?}"));
            let first = *acknowledgers.entry(epoch).or_insert(server);
            assert_eq!(first, server, "epoch {epoch} has two acknowledgers, {} and {}", SERVERS[first], SERVERS[server]);
        }
    }
    // The first entry is of `duplex init`.
    let of_entries = books.iter().flat_map(|book| &book.entries).filter(|entry| entry.sequence > 1).map(|entry| entry.epoch);
    let of_answers = told.iter().flat_map(|told| &told.answers).filter_map(|answer| answer.epoch);
    for epoch in of_entries.chain(of_answers).collect::<HashSet<_>>() {
        assert!(acknowledgers.contains_key(&epoch), "nobody says that he acknowledged in epoch {epoch}: {acknowledgers:?}");
    }
}

/// P6: nothing of what lies in lost-and-found is in a journal.
fn tails_are_cut(pair: &Pair, books: &[Book; 2]) {
    let saved = [HALL_1, HALL_2].into_iter().flat_map(|server| pair.saved(server)).flatten();
    let number = |line: &Value, field: &str| line[field].as_u64().expect("a line of lost-and-found names its place");
    let places: HashSet<_> = saved.map(|line| (number(&line, "epoch"), number(&line, "sequence"))).collect();
    for entry in books.iter().flat_map(|book| &book.entries) {
        assert!(!places.contains(&(entry.epoch, entry.sequence)), "it was cut, and is there: {entry:?}");
    }
}

/// P2 and P3.
fn nothing_lost_or_doubled(told: &[Told], teller: &Teller, books: &[Book; 2]) {
    for (server, book) in SERVERS.iter().zip(books) {
        let found = compare(told, &book.entries);
        let (lost, doubled) = (&found.lost, &found.doubled);
        assert!(lost.is_empty(), "{} acknowledged commands are lost on {server}, as {:?}", lost.len(), lost.first());
        assert!(doubled.is_empty(), "{} commands were executed twice on {server}, as {:?}", doubled.len(), doubled.first());
        let places: HashMap<_, _> = book.entries.iter().map(|entry| (&entry.command_id, (entry.epoch, entry.sequence))).collect();
        for told in told.iter().filter(|told| told.is_acknowledged()) {
            assert_eq!(places.get(&told.command_id).copied(), told.place(), "{} on {server}", told.command_id);
        }
        for kept in &teller.kept {
            let place = (kept.answer["epoch"].as_u64(), kept.answer["sequence"].as_u64());
            let found = places.get(&kept.command_id).map_or((None, None), |(epoch, sequence)| (Some(*epoch), Some(*sequence)));
            assert_eq!(found, place, "{} of {} on {server}", kept.command_id, teller.terminal_id());
        }
    }
}

/// P7.
fn same_data(pair: &Pair, [one, other]: &[Book; 2]) {
    let parted = one.positions.iter().zip(&other.positions).find(|(one, other)| one != other);
    assert!(parted.is_none(), "the journals part: {parted:?}");
    assert_eq!(one.positions.last(), other.positions.last(), "one journal is longer");
    let digest = |server: usize| {
        let mut store = store::open::<Ledger>(&pair.config(server).store.url).expect(JUDGED);
        store.digest().expect("the store can be read")
    };
    let (one_digest, other_digest) = (digest(HALL_1), digest(HALL_2));
    assert_eq!(Some(&one_digest.position), one.positions.last(), "the stores stand at the journals' end");
    assert_eq!(one_digest, other_digest, "the stores differ");
}

fn wait_until_applied(pair: &Pair) {
    let pools = [HALL_1, HALL_2].map(|server| ReadPool::new(&pair.config(server).store.url, 1).expect(JUDGED));
    until("both stores have applied both journals", APPLY_LIMIT, || {
        let applied = pools.each_ref().map(|pool| pool.read(|position, _| Ok(position)).ok());
        let ends = [HALL_1, HALL_2].map(|server| end_of_journal(pair, server));
        applied[0].is_some() && applied[0] == applied[1] && ends == applied
    });
}

/// Sequence of the last entry that this server's store has, also while it works.
pub fn applied(pair: &Pair, server: usize) -> u64 {
    let pool = ReadPool::new(&pair.config(server).store.url, 1).expect(JUDGED);
    pool.read(|position, _| Ok(position.sequence.0)).unwrap_or(0)
}

fn end_of_journal(pair: &Pair, server: usize) -> Option<Position> {
    let files = Directory::open(pair.layout(server).journal()).ok()?;
    scan(&files, Sequence(u64::MAX), |_, _| ControlFlow::Continue(())).ok()?.map(|scanned| scanned.end)
}

/// Sequence of the last entry on this server's disk; 0 while its files are being changed.
pub fn last_entry(pair: &Pair, server: usize) -> u64 {
    end_of_journal(pair, server).map_or(0, |end| end.sequence.0)
}

fn read_book(pair: &Pair, server: usize) -> Book {
    let mut book = Book { positions: Vec::new(), entries: Vec::new() };
    let files = Directory::open(pair.layout(server).journal()).expect(JUDGED);
    let scanned = scan(&files, Sequence(0), |position, payload| {
        let record = decode::<Row>(payload).expect("an entry can be read").record;
        book.positions.push(position);
        book.entries.push(Stored {
            epoch: position.epoch.0,
            sequence: position.sequence.0,
            terminal_id: record.terminal_id.0,
            command_id: command_id_of(record.command_id.0),
        });
        ControlFlow::Continue(())
    });
    assert!(scanned.expect("the journal can be read").is_some(), "{} has no journal", SERVERS[server]);
    book
}

fn listed(anomalies: &[history::Anomaly]) -> String {
    let each: Vec<String> = anomalies.iter().take(5).map(ToString::to_string).collect();
    format!("{} ({})", anomalies.len(), each.join("; "))
}
