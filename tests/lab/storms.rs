//! Faults drawn by chance, one upon the other.

use std::time::{Duration, Instant};

use duplex::cli::history::now_us;

use crate::{
    DEALT,
    checker::judge,
    pair::{HALL_1, HALL_2, Pair, SERVERS, TAKEOVER_LIMIT},
    say, until,
};

/// Faults of a storm.
const STORM_FAULTS: usize = 40;

/// Whatever comes together: servers and witness die and return, cables are pulled and put back, at any moment of a rejoin or takeover.
#[test]
fn after_a_storm_of_faults_everything_acknowledged_is_kept_once() {
    let mut pair = Pair::at_work();
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let load = pair.load(None);
    let mut storm = Storm::draw();
    let mut witness_lives = true;
    for _ in 0..STORM_FAULTS {
        let server = storm.below(2) as usize;
        let fault = storm.below(6);
        match fault {
            0 | 1 if pair.servers[server].is_at_large() => pair.kill(server),
            0 | 1 => pair.start(server),
            2 => pair.lab.plug(SERVERS[server], false),
            3 => pair.lab.plug(SERVERS[server], true),
            4 if witness_lives && storm.below(3) == 0 => (witness_lives, ()) = (false, pair.kill_witness()),
            4 if !witness_lives => (witness_lives, ()) = (true, pair.start_witness()),
            4 => {}
            _ => pair.begin_switchover(server),
        }
        let (pause, begin) = (Duration::from_millis(storm.below(900)), Instant::now());
        until("the next fault", TAKEOVER_LIMIT, || begin.elapsed() >= pause);
    }
    if !witness_lives {
        pair.start_witness();
    }
    for server in [HALL_1, HALL_2] {
        pair.lab.plug(SERVERS[server], true);
        if !pair.servers[server].is_at_large() {
            pair.start(server);
        }
    }
    pair.wait_for_orders();
    pair.wait_for_pair();
    load.stop();
    let (saved, _) = (pair.saved_tails(), judge(&mut pair, &mut teller));
    say(&format!("{}: seed {}, {saved} tails saved", pair.scenario, storm.seed));
}

/// Numbers that one seed draws (splitmix64). Processes are not deterministic, so a seed tells the faults, not the outcome.
struct Storm {
    seed: u64,
    state: u64,
}

impl Storm {
    fn draw() -> Self {
        let seed = now_us();
        say(&format!("a storm of seed {seed}"));
        Self { seed, state: seed }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}
