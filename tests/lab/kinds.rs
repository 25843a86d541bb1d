//! The same takeover with pairs of other kinds: terminals that talk TLS, a store on PostgreSQL.

use duplex::cli::history::now_us;

use crate::{
    RATE,
    checker::judge,
    lose,
    pair::{HALL_1, Pair},
    postgres::Postgres,
    say,
    site::Site,
    take_in_again, under_load,
};

/// Main is killed under load, the other serves, the old one comes back and catches up.
fn main_dies_and_returns(site: Site) {
    let (mut pair, mut teller, mut load) = under_load(Pair::of(site), RATE);
    let (killed_us, served_us) = lose(&mut pair, &mut load, HALL_1);
    take_in_again(&mut pair, load, HALL_1);
    let paired_us = now_us();
    let evidence = judge(&mut pair, &mut teller);
    let (gap_ms, back_ms) = (evidence.longest_gap_ms(killed_us, served_us), evidence.longest_gap_ms(served_us, paired_us));
    say(&format!("{}: terminals waited {gap_ms} ms, and {back_ms} ms at the return", pair.scenario));
}

#[test]
fn a_pair_whose_terminals_talk_tls_survives_the_death_of_main() {
    main_dies_and_returns(Site { tls: true, ..Site::default() });
}

#[test]
fn a_pair_that_stores_in_postgresql_survives_the_death_of_main_and_takes_it_in_again() {
    main_dies_and_returns(Site { postgres: Some(Postgres::shared()), ..Site::default() });
}
