//! A pair whose arbiter is a key in a cluster of etcd.

use std::net::IpAddr;

use duplex::cli::history::now_us;

use crate::{
    RATE,
    checker::judge,
    cluster::Cluster,
    lose,
    pair::{HALL_1, HALL_2, Pair, TAKEOVER_LIMIT, WITNESS},
    say,
    site::Site,
    take_in_again, under_load, until,
};

const CLIENT_PORTS: [u16; 3] = [2379, 2479, 2579];
const PEER_PORTS: [u16; 3] = [2380, 2480, 2580];
/// The members are on the machine that is the witness's elsewhere.
const ARBITER: &str = "kind = \"etcd\"\nendpoints = [\"10.77.0.11:2379\", \"10.77.0.11:2479\", \"10.77.0.11:2579\"]\n";

#[test]
fn main_killed_while_a_member_of_etcd_is_down_sub_takes_over_and_the_pair_comes_back() {
    let pair = Pair::of(Site { arbiter: Some(ARBITER), ..Site::default() });
    let machine = IpAddr::V4(pair.lab.machine(WITNESS).address);
    let mut cluster =
        Cluster::at(machine, [CLIENT_PORTS, PEER_PORTS].concat(), None, &|| pair.lab.machine(WITNESS).command("etcd"));
    until("both hear etcd", TAKEOVER_LIMIT, || {
        [HALL_1, HALL_2].into_iter().all(|server| pair.status(server)["arbiter"]["reachable"] == true)
    });
    assert_eq!(pair.status(HALL_1)["arbiter"]["kind"], "etcd");
    cluster.kill(0);

    let (mut pair, mut teller, mut load) = under_load(pair, RATE);
    let (killed_us, served_us) = lose(&mut pair, &mut load, HALL_1);
    take_in_again(&mut pair, load, HALL_1);
    let paired_us = now_us();
    let evidence = judge(&mut pair, &mut teller);
    let (gap_ms, back_ms) = (evidence.longest_gap_ms(killed_us, served_us), evidence.longest_gap_ms(served_us, paired_us));
    say(&format!("{}: terminals waited {gap_ms} ms, and {back_ms} ms at the return", pair.scenario));
}
