//! The register under a key of a real etcd cluster: three members, one killed, two killed, frozen, restored, misused.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use duplex::arbiter::etcd::{EtcdArbiter, Reach, Tls};
use duplex::wire::identity::load_authority;
use duplex::wire::names::ServerNames;
use etcd_client::Client;
use nix::sys::signal::Signal;

use crate::cluster::{self, Cluster};
use crate::{
    A, Arbiter, ArbiterError, B, CasOutcome, CertificateRole, LIMIT, Register, ServerId, Site, asker, compare_and_set,
    one_of_two_wins, pair, solo,
};

fn program() -> Command {
    Command::new("etcd")
}

fn arbiter(site: &Site, members: Vec<SocketAddr>, tls: Option<Tls>) -> EtcdArbiter {
    let authority = load_authority(&site.path().join("ca.pem")).unwrap();
    let names = ServerNames::new(&["hall-1".to_owned(), "hall-2".to_owned()]);
    EtcdArbiter::new(Reach { members, prefix: "duplex".into(), tls }, authority, names)
}

fn servers(site: &Site, cluster: &Cluster) -> [EtcdArbiter; 2] {
    [A, B].map(|_| arbiter(site, cluster.clients(), None))
}

/// A new cluster has no leader for a moment.
async fn read(arbiter: &EtcdArbiter, server: ServerId, held: u64) -> Option<Register> {
    let begun = Instant::now();
    loop {
        match arbiter.read(asker(server, held), LIMIT).await {
            Ok(register) => return register,
            Err(ArbiterError::Unreachable(_)) if begun.elapsed() < LIMIT => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Three members whose key both servers have introduced themselves to.
async fn vouched(site: &Site) -> (Cluster, [EtcdArbiter; 2]) {
    let cluster = Cluster::on_loopback(3, None);
    let servers = servers(site, &cluster);
    assert_eq!(read(&servers[0], A, 1).await, None);
    let first = site.first(&pair(1));
    let awaits = servers[0].introduce(asker(A, 1), &first, LIMIT).await.unwrap_err().to_string();
    assert!(awaits.contains("until hall-2 (server-b) has reported"), "{awaits}");
    assert_eq!(servers[1].introduce(asker(B, 1), &first, LIMIT).await, Ok(CasOutcome::Differs(pair(1))));
    (cluster, servers)
}

/// What stands under the only key.
async fn value(cluster: &Cluster) -> (Client, Vec<u8>, Vec<u8>) {
    let mut client = Client::connect([cluster.clients()[0].to_string()], None).await.unwrap();
    let all = etcd_client::GetOptions::new().with_prefix();
    let mut found = client.get("duplex/pairs/", Some(all)).await.unwrap();
    let (key, value) = found.take_kvs().pop().unwrap().into_key_value();
    (client, key, value)
}

#[tokio::test]
async fn of_two_servers_that_ask_etcd_at_once_exactly_one_wins() {
    let site = Site::new();
    let (_cluster, [a, b]) = vouched(&site).await;
    one_of_two_wins(&a, &b, 10).await;
}

#[tokio::test]
async fn etcd_goes_on_without_one_member_and_answers_nobody_without_two() {
    let site = Site::new();
    let (mut cluster, [a, b]) = vouched(&site).await;
    cluster.kill(0);
    assert_eq!(read(&a, A, 1).await, Some(pair(1)));
    assert_eq!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Ok(CasOutcome::Landed(solo(2, B))));

    cluster.kill(1);
    let (limit, begun) = (Duration::from_millis(700), Instant::now());
    for answer in [
        a.read(asker(A, 1), limit).await.map(drop),
        b.compare_and_set(asker(B, 2), &solo(2, B), &solo(3, B), limit).await.map(drop),
    ] {
        assert!(matches!(&answer, Err(ArbiterError::Unreachable(why)) if why.contains("etcd")), "{answer:?}");
    }
    assert!(begun.elapsed() < 4 * limit, "within the caller's limit: {:?}", begun.elapsed());

    (0..2).for_each(|at| cluster.start(at, &program));
    let found = read(&a, A, 1).await.unwrap();
    assert!(found == solo(2, B) || found == solo(3, B), "an ask without an answer may land: {found:?}");
}

#[tokio::test]
async fn a_frozen_member_costs_a_moment_and_no_answer() {
    let site = Site::new();
    let (cluster, [a, _]) = vouched(&site).await;
    for (frozen, epoch) in [(0, 2), (1, 3), (2, 4)] {
        let before = if epoch == 2 { pair(1) } else { solo(epoch - 1, A) };
        cluster.signal(frozen, Signal::SIGSTOP);
        // It may have been the leader: the others elect one, and until then nobody is answered, and asks again.
        let begun = Instant::now();
        let landed = loop {
            match a.compare_and_set(asker(A, 1), &before, &solo(epoch, A), Duration::from_secs(1)).await {
                Ok(CasOutcome::Landed(register) | CasOutcome::Differs(register)) => break register,
                answer => assert!(begun.elapsed() < LIMIT, "member {frozen} is frozen: {answer:?}"),
            }
        };
        cluster.signal(frozen, Signal::SIGCONT);
        assert_eq!(landed, solo(epoch, A));
        eprintln!("member {frozen} frozen: landed after {} ms", begun.elapsed().as_millis());
    }
}

#[tokio::test]
async fn an_ask_that_was_given_up_may_land_later_and_never_after_a_raise_above_it() {
    let site = Site::new();
    let (_cluster, [a, b]) = vouched(&site).await;
    let mut register = pair(1);
    let (mut given_up, mut landed_late) = (0, 0);
    for round in 0..40_u64 {
        let late = solo(register.epoch.0 + 1, A);
        let hurried = a.compare_and_set(asker(A, 1), &register, &late, Duration::from_micros(round * 250)).await;
        given_up += usize::from(hurried.is_err());
        let raised = solo(register.epoch.0 + 2, A);
        while compare_and_set(&a, A, register, raised).await != Ok(CasOutcome::Landed(raised)) {
            landed_late += 1;
            register = read(&a, A, 1).await.unwrap();
            assert_eq!(register, late);
        }
        assert_eq!(read(&b, B, 1).await, Some(raised));
        register = raised;
    }
    assert!(given_up > 0, "some of 40 asks were given up");
    eprintln!("{given_up} given up, {landed_late} of 40 had landed when the raise was asked for");
}

#[tokio::test]
async fn the_witnesss_rules_hold_though_nobody_but_the_asker_applies_them() {
    let site = Site::new();
    let (_cluster, [a, b]) = vouched(&site).await;
    let recorded = crate::raised(&pair(1)).recorded;
    let grown = Register { recorded, ..pair(1) };
    assert_eq!(compare_and_set(&a, A, pair(1), grown).await, Ok(CasOutcome::Landed(grown)));
    for (arbiter, server, new, why) in [
        (&b, B, solo(2, B), "entries are missing"),
        (&b, B, Register { recorded, ..solo(1, B) }, "needs an epoch above 1"),
        (&b, B, Register { recorded, ..solo(2, A) }, "hall-2 (server-b) may not turn"),
    ] {
        let refused = compare_and_set(arbiter, server, grown, new).await;
        assert!(matches!(&refused, Err(ArbiterError::Refused(text)) if text.contains(why)), "{refused:?}");
    }
    let other_disk = duplex::arbiter::Asker { data_id: duplex::model::DataId([9; 16]), ..asker(B, 1) };
    let swapped = b.compare_and_set(other_disk, &grown, &Register { recorded, ..solo(2, B) }, LIMIT).await;
    assert!(matches!(&swapped, Err(ArbiterError::Refused(why)) if why.contains("another disk")), "{swapped:?}");
    let forged = Site::new().first(&pair(1));
    assert!(
        matches!(a.introduce(asker(A, 1), &forged, LIMIT).await, Err(ArbiterError::Refused(why)) if why.contains("signature"))
    );
}

#[tokio::test]
async fn a_value_that_is_not_ours_or_is_damaged_is_refused_in_words() {
    let site = Site::new();
    let (cluster, [a, _]) = vouched(&site).await;
    let (mut client, key, ours) = value(&cluster).await;
    let damaged = String::from_utf8(ours.clone()).unwrap().replace("\"epoch\": 1", "\"epoch\": 7");
    let others = String::from_utf8(ours.clone()).unwrap().replace("\"version\": 2", "\"version\": 9");
    for (put, why) in [
        ("hello".as_bytes().to_vec(), "damaged, and never guessed at"),
        (vec![0xff; 9], "no text"),
        (vec![b' '; 100_000], "100000 bytes are no register"),
        (damaged.into_bytes(), "its checksum is"),
        (others.into_bytes(), "version 9 is not known here"),
    ] {
        client.put(key.clone(), put, None).await.unwrap();
        for answer in [a.read(asker(A, 1), LIMIT).await.map(drop), compare_and_set(&a, A, pair(1), solo(2, A)).await.map(drop)] {
            let text = answer.unwrap_err().to_string();
            assert!(text.contains("the arbiter refuses: etcd key duplex/pairs/") && text.contains(why), "{text}");
        }
    }
    client.put(key, ours, None).await.unwrap();
    assert_eq!(a.read(asker(A, 1), LIMIT).await, Ok(Some(pair(1))));
}

#[tokio::test]
async fn another_cluster_counts_as_restored_and_grants_nothing_before_both_have_reported() {
    let site = Site::new();
    let (cluster, [_, b]) = vouched(&site).await;
    let (_, key, backup) = value(&cluster).await;
    assert_eq!(compare_and_set(&b, B, pair(1), solo(2, B)).await, Ok(CasOutcome::Landed(solo(2, B))));
    drop(cluster);

    let restored = Cluster::on_loopback(1, None);
    let [a, b] = servers(&site, &restored);
    assert_eq!(read(&a, A, 1).await, None);
    Client::connect([restored.clients()[0].to_string()], None).await.unwrap().put(key, backup, None).await.unwrap();
    let awaits = compare_and_set(&a, A, pair(1), solo(2, A)).await.unwrap_err().to_string();
    assert!(awaits.contains("until hall-2 (server-b) has reported"), "{awaits}");
    let regressed = b.read(asker(B, 2), LIMIT).await.unwrap_err().to_string();
    assert!(regressed.contains("knows epoch 1") && regressed.contains("held epoch 2"), "{regressed}");
    assert!(
        matches!(compare_and_set(&a, A, pair(1), solo(2, A)).await, Err(ArbiterError::Refused(why)) if why.contains("held epoch 2"))
    );
}

#[tokio::test]
async fn an_emptied_cluster_is_not_begun_anew_by_a_server_whose_disk_held_more() {
    let site = Site::new();
    let empty = Cluster::on_loopback(1, None);
    let [a, _] = servers(&site, &empty);
    assert_eq!(read(&a, A, 4).await, None);
    let refused = a.introduce(asker(A, 4), &site.first(&pair(1)), LIMIT).await;
    assert!(matches!(&refused, Err(ArbiterError::Refused(why)) if why.contains("has lost its register")), "{refused:?}");
    assert_eq!(read(&a, A, 4).await, None);
}

#[tokio::test]
async fn a_cluster_that_asks_for_certificates_is_reached_with_them_and_not_without() {
    let site = Site::new();
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let member = site.authority.issue(CertificateRole::Witness, &[loopback]).unwrap();
    let [authority, certificate, key] = ["ca.pem", "etcd.pem", "etcd.key"].map(|name| site.path().join(name));
    std::fs::write(&certificate, &member.certificate_pem).unwrap();
    std::fs::write(&key, &member.key_pem).unwrap();
    let cluster = Cluster::on_loopback(1, Some(&cluster::Tls { authority: authority.clone(), certificate, key }));

    let client = site.authority.issue(CertificateRole::Server(A), &[]).unwrap();
    let ca = std::fs::read_to_string(&authority).unwrap();
    let proven = Tls { authority: ca.clone(), identity: Some((client.certificate_pem, client.key_pem)) };
    assert_eq!(read(&arbiter(&site, cluster.clients(), Some(proven)), A, 1).await, None);
    for tls in [None, Some(Tls { authority: ca, identity: None })] {
        let stranger = arbiter(&site, cluster.clients(), tls).read(asker(A, 1), Duration::from_secs(2)).await;
        assert!(matches!(&stranger, Err(ArbiterError::Unreachable(_))), "{stranger:?}");
    }
}
