//! Each sentence one test.

use super::*;

const PATIENCE: Patience = Patience {
    slow_sync_ms: 150,
    hanging_sync_ms: 350,
    slow_syncs: 3,
    slow_within_ms: 10_000,
    store_ms: 5_000,
    lan_ms: 1_500,
    well_ms: 2_000,
    well_disk_ms: 30_000,
    hold_ms: 60_000,
    hold_max_ms: 3_600_000,
};
const WELL: Option<Complaints> = Some(Complaints { journal: false, store: false, lan: false, arbiter: false });
/// Between two looks.
const LOOK_MS: u64 = 25;

/// A server that is looked at from second 100 on.
struct Watched {
    relief: Relief,
    now: Moment,
    part: Part,
    peer: Option<Complaints>,
}

impl Watched {
    fn new(part: Part) -> Self {
        Self { relief: Relief::new(PATIENCE), now: Moment(100_000), part, peer: WELL }
    }

    /// Lets time pass with these signs; what was wished, and after how many milliseconds.
    fn go_on(&mut self, ms: u64, signs: Signs) -> Vec<(u64, Wish)> {
        let begin = self.now;
        let mut wishes = Vec::new();
        while self.now.since(begin) < ms {
            self.now = self.now.plus(LOOK_MS);
            self.relief.notice(self.now, signs);
            wishes.extend(self.relief.decide(self.now, self.part, self.peer).map(|wish| (self.now.since(begin), wish)));
        }
        wishes
    }

    /// A sync that takes so long, and a pause.
    fn sync(&mut self, took_ms: u64) -> Vec<(u64, Wish)> {
        let signs = Signs { syncing_since: Some(self.now), ..Signs::default() };
        let mut wishes = self.go_on(took_ms, signs);
        wishes.extend(self.go_on(50, Signs::default()));
        wishes
    }
}

fn store() -> Signs {
    Signs { store_fails: true, ..Signs::default() }
}

fn lan() -> Signs {
    Signs { lan_fails: true, ..Signs::default() }
}

#[test]
fn a_main_whose_store_fails_for_five_seconds_hands_over_to_a_sub_that_is_well() {
    let mut main = Watched::new(Part::Main);
    main.go_on(5_000, Signs::default());
    assert_eq!(main.go_on(20_000, store()), [(5_025, Wish::HandOver)]);
}

#[test]
fn a_lock_that_ends_in_time_changes_no_role() {
    let mut main = Watched::new(Part::Main);
    for _ in 0..10 {
        assert_eq!(main.go_on(4_500, store()), []);
        assert_eq!(main.go_on(200, Signs::default()), []);
    }
}

#[test]
fn nobody_hands_over_to_a_sub_that_is_ill_itself_or_hears_no_arbiter_or_is_not_heard() {
    let ill = |change: fn(&mut Complaints)| {
        let mut complaints = Complaints::default();
        change(&mut complaints);
        Some(complaints)
    };
    for peer in
        [ill(|it| it.store = true), ill(|it| it.lan = true), ill(|it| it.journal = true), ill(|it| it.arbiter = true), None]
    {
        let mut main = Watched { peer, ..Watched::new(Part::Main) };
        assert_eq!(main.go_on(60_000, lan()), [], "{peer:?}");
    }
}

#[test]
fn a_main_without_lan_that_hears_the_arbiter_all_the_same_hands_over() {
    let mut main = Watched::new(Part::Main);
    main.go_on(5_000, Signs::default());
    main.go_on(1_000, Signs { arbiter_heard: Some(main.now), ..lan() });
    assert_eq!(main.go_on(3_000, Signs { arbiter_heard: Some(main.now), ..lan() }), [(525, Wish::HandOver)]);
}

#[test]
fn a_main_without_lan_that_has_not_heard_the_arbiter_since_leaves_for_as_long_as_it_is_ill() {
    let mut main = Watched::new(Part::Main);
    main.go_on(5_000, Signs::default());
    let signs = Signs { arbiter_heard: Some(main.now), ..lan() };
    assert_eq!(main.go_on(3_000, signs), [(1_525, Wish::Leave)]);
    main.part = Part::None;
    main.go_on(1_000, signs);
    assert!(main.relief.leaves(main.now));
    main.go_on(3_000, Signs::default());
    assert!(!main.relief.leaves(main.now));
}

#[test]
fn a_main_that_only_hears_no_arbiter_or_only_has_a_full_store_then_stays() {
    let silent = Signs { arbiter_silent: true, ..Signs::default() };
    for signs in [silent, Signs { store_fails: true, ..silent }] {
        let mut main = Watched::new(Part::Main);
        assert_eq!(main.go_on(60_000, signs), [], "{signs:?}");
        assert!(!main.relief.leaves(main.now));
    }
}

#[test]
fn three_slow_syncs_make_a_slow_disk_of_which_a_main_hands_over_and_a_sub_leaves() {
    for (part, wish) in [(Part::Main, Wish::HandOver), (Part::Sub, Wish::Leave)] {
        let mut server = Watched::new(part);
        server.go_on(5_000, Signs::default());
        assert_eq!([server.sync(300), server.sync(300)], [[], []]);
        let wishes = server.sync(300);
        assert_eq!(wishes.iter().map(|(_, wish)| *wish).collect::<Vec<_>>(), [wish], "{part:?}");
        assert!(server.relief.complaints().journal);
    }
}

/// A switchover would be cut short: the Sub hears, now and again, that this Main cannot acknowledge.
#[test]
fn a_main_whose_syncs_hang_leaves() {
    let mut main = Watched::new(Part::Main);
    main.go_on(5_000, Signs::default());
    let wishes: Vec<Wish> = (0..3).flat_map(|_| main.sync(500)).map(|(_, wish)| wish).collect();
    assert_eq!(wishes, [Wish::Leave]);
}

#[test]
fn a_server_whose_sync_hung_says_for_a_while_that_it_cannot_acknowledge() {
    let mut main = Watched::new(Part::Main);
    main.sync(300);
    assert!(!main.relief.leaves(main.now));
    main.sync(400);
    assert!(main.relief.leaves(main.now), "long enough for the other one to take over");
    main.go_on(2_000, Signs::default());
    assert!(!main.relief.leaves(main.now));
}

#[test]
fn syncs_that_are_quick_enough_or_slow_once_in_a_while_are_no_complaint() {
    let mut sub = Watched::new(Part::Sub);
    for _ in 0..20 {
        sub.sync(125);
    }
    for _ in 0..5 {
        sub.sync(300);
        sub.go_on(6_000, Signs::default());
    }
    assert_eq!(sub.relief.complaints(), Complaints::default());
}

#[test]
fn a_sub_with_a_slow_disk_stays_away_until_nothing_slow_was_seen_for_half_a_minute() {
    let mut sub = Watched::new(Part::Sub);
    sub.go_on(5_000, Signs::default());
    (0..3).for_each(|_| drop(sub.sync(300)));
    sub.part = Part::None;
    sub.go_on(35_000, Signs::default());
    assert!(sub.relief.leaves(sub.now));
    sub.go_on(6_000, Signs::default());
    assert!(!sub.relief.leaves(sub.now));
}

#[test]
fn a_returning_server_with_a_slow_disk_is_not_taken_in() {
    let mut server = Watched::new(Part::Returning);
    (0..3).for_each(|_| drop(server.sync(300)));
    assert!(server.relief.leaves(server.now));
    server.go_on(40_000, Signs::default());
    assert!(!server.relief.leaves(server.now));
}

/// Two that are ill in turn.
#[test]
fn hand_overs_are_held_down_for_a_minute_and_each_time_for_twice_as_long() {
    let mut main = Watched::new(Part::Main);
    main.go_on(5_000, Signs::default());
    let wished: Vec<u64> = main.go_on(1_000_000, store()).into_iter().map(|(at_ms, _)| at_ms).collect();
    assert_eq!(wished, [5_025, 65_025, 185_025, 425_025, 905_025]);
}

/// A Sub that becomes Main beside such a peer, which is well a moment later.
fn made_main(peer: Complaints) -> Watched {
    let mut server = Watched { peer: Some(peer), ..Watched::new(Part::Sub) };
    server.go_on(10_000, Signs::default());
    server.part = Part::None;
    server.go_on(50, Signs::default());
    server.part = Part::Main;
    server.go_on(50, Signs::default());
    server.peer = WELL;
    server
}

#[test]
fn a_sub_that_an_ill_main_made_main_keeps_the_role_for_a_minute() {
    let mut server = made_main(Complaints { store: true, ..Complaints::default() });
    assert_eq!(server.go_on(59_000, store()), []);
    assert_eq!(server.go_on(5_000, store()).len(), 1);
}

/// By a person or a death: nothing flaps, and an ill Main must not keep the role for it.
#[test]
fn a_sub_that_became_main_otherwise_hands_over_as_soon_as_it_is_ill() {
    let mut server = made_main(Complaints::default());
    assert_eq!(server.go_on(20_000, store()), [(5_025, Wish::HandOver)]);
}
