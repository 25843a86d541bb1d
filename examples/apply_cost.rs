//! What applying an entry of three images (account, ledger row, site) and a record costs:
//! `cargo run --profile fast --example apply_cost -- sqlite:/path/new.db` or a `postgres://` URL of an empty database.

#[expect(dead_code, reason = "the example needs deposits only")]
#[path = "../tests/support/history.rs"]
mod history;

use std::time::{Duration, Instant};

use duplex::config::limits::CHECKPOINT_EVERY;
use duplex::store::{StoreError, open};
use history::{Bare, History};
use nix::sys::resource::{UsageWho, getrusage};

const MEMBERS: u64 = 20_000;
const BATCH: usize = 512;
const BATCHES: usize = 400;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL of an empty store")?;
    let (mut store, mut beside) = (open::<Bare>(&url)?, open::<Bare>(&url)?);
    let mut history = History::default();
    let (mut applying, mut flushing, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut elapsed = Duration::ZERO;
    let mut behind = 0;
    for _ in 0..BATCHES {
        let entries = history.deposits(BATCH, MEMBERS);
        let started = Instant::now();
        applying += cpu_of(|| store.apply(&entries))?;
        elapsed += started.elapsed();
        longest = longest.max(started.elapsed());
        behind += BATCH as u64;
        if behind >= CHECKPOINT_EVERY {
            flushing += cpu_of(|| beside.checkpoint())?;
            behind = 0;
        }
    }
    let entries = (BATCH * BATCHES) as f64;
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / entries;
    println!("{entries} entries in batches of {BATCH}, per entry on this thread:");
    println!("apply      {:6.2} µs CPU, {:6.2} µs elapsed; longest batch {longest:.1?}", each(applying), each(elapsed));
    println!("checkpoint {:6.2} µs CPU", each(flushing));
    let visiting = Instant::now();
    let mut visited = 0_u64;
    store.for_each_record(&mut |_, _, _| visited += 1)?;
    println!("{visited} records visited in {:.1?}", visiting.elapsed());
    let digesting = Instant::now();
    store.digest()?;
    println!("digest     {:6.2} µs elapsed per entry", each(digesting.elapsed()));
    Ok(())
}

/// CPU time of this thread; a PostgreSQL server's own is not in it.
fn cpu_of<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<Duration, Box<dyn std::error::Error>> {
    let before = cpu()?;
    work()?;
    Ok(cpu()?.saturating_sub(before))
}

fn cpu() -> Result<Duration, Box<dyn std::error::Error>> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let total = [usage.user_time(), usage.system_time()];
    Ok(total.iter().map(|time| Duration::from_secs(time.tv_sec() as u64) + Duration::from_micros(time.tv_usec() as u64)).sum())
}
