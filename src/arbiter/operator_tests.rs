use std::sync::Arc;

use super::*;
use crate::model::{DataId, Mode};

const A: ServerId = ServerId::A;
const B: ServerId = ServerId::B;
const LIMIT: Duration = Duration::from_secs(1);

fn register(epoch: u64, holder: Holder) -> Register {
    let data_ids = [DataId([1; 16]), DataId([2; 16])];
    Register { epoch: Epoch(epoch), holder, data_ids, recorded: Position::GENESIS }
}

fn pair(epoch: u64, main: ServerId) -> Register {
    register(epoch, Holder::Pair { main })
}

fn solo(epoch: u64, server: ServerId) -> Register {
    register(epoch, Holder::Solo { server })
}

/// What a server's disk and its peer say, to be changed while the arbiter is asked.
#[derive(Clone)]
struct World {
    disk: Arc<Mutex<Coordination>>,
    peer: Arc<Mutex<Option<Standing>>>,
}

impl World {
    fn new(me: ServerId, held: Register) -> Self {
        Self { disk: Arc::new(Mutex::new(Coordination::first(me, &held))), peer: Arc::default() }
    }

    fn holds(&self, register: Register) {
        self.disk.lock().unwrap().held = (register.epoch, register.holder);
    }

    fn hears(&self, register: Register, role: Role) {
        let Register { epoch, holder, .. } = register;
        let standing = Standing { epoch, holder, data_id: DataId::default(), mode: Mode::Pair, role, can_acknowledge: true };
        *self.peer.lock().unwrap() = Some(standing);
    }

    fn arbiter(&self) -> Operator {
        let (disk, peer) = (self.clone(), self.clone());
        let heard = Box::new(move || *peer.peer.lock().unwrap());
        Operator::new(pair(1, A), Box::new(move || *disk.disk.lock().unwrap()), heard, "hall-2".into())
    }
}

async fn read(arbiter: &Operator) -> Result<Register, ArbiterError> {
    let asker = Asker { server: A, data_id: DataId([1; 16]), held: Epoch(1) };
    arbiter.read(asker, LIMIT).await.map(|register| register.expect("there is always one"))
}

async fn lands(arbiter: &Operator, server: ServerId, expected: Register, new: Register) -> bool {
    let asker = Asker { server, data_id: DataId([1; 16]), held: expected.epoch };
    match arbiter.compare_and_set(asker, &expected, &new, LIMIT).await {
        Ok(CasOutcome::Landed(landed)) => landed == new,
        Err(ArbiterError::Refused(why)) => {
            assert!(why.contains("duplex confirm-alone"), "{why}");
            false
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_serves_alone_without_a_persons_word_when_the_other_is_not_heard() {
    for me in [A, B] {
        let arbiter = World::new(me, pair(5, A)).arbiter();
        assert!(!lands(&arbiter, me, pair(5, A), solo(6, me)).await, "{me:?}");
        let restarted = World::new(me, solo(6, me)).arbiter();
        assert!(!lands(&restarted, me, solo(6, me), solo(8, me)).await, "{me:?} alone at boot");
    }
}

#[tokio::test]
async fn a_main_whose_sub_is_heard_goes_on_alone_and_a_sub_never_does() {
    let main = World::new(A, pair(5, A));
    main.hears(pair(5, A), Role::Sub);
    assert!(lands(&main.arbiter(), A, pair(5, A), solo(6, A)).await);
    let sub = World::new(B, pair(5, A));
    sub.hears(pair(5, A), Role::None);
    assert!(!lands(&sub.arbiter(), B, pair(5, A), solo(7, B)).await);
}

#[tokio::test]
async fn what_rests_on_the_others_intent_needs_no_person() {
    assert!(lands(&World::new(A, pair(5, A)).arbiter(), A, pair(5, A), pair(6, B)).await, "a switchover");
    assert!(lands(&World::new(A, solo(6, A)).arbiter(), A, solo(6, A), pair(8, A)).await, "a pair again");
    assert!(!lands(&World::new(B, pair(5, A)).arbiter(), B, pair(5, A), pair(7, B)).await, "not by the sub");
}

#[tokio::test]
async fn who_was_told_in_this_run_may_draw_another_epoch_until_the_other_is_heard_ahead() {
    let world = World::new(A, pair(5, A));
    let arbiter = world.arbiter();
    world.holds(solo(6, A));
    assert!(lands(&arbiter, A, solo(6, A), solo(8, A)).await);
    world.hears(solo(7, B), Role::Main);
    assert_eq!(read(&arbiter).await, Ok(solo(7, B)));
    *world.peer.lock().unwrap() = None;
    assert!(!lands(&arbiter, A, solo(6, A), solo(8, A)).await);
}

#[tokio::test]
async fn the_register_is_what_the_newer_disk_says_unless_this_one_was_set_back() {
    let world = World::new(B, pair(5, A));
    let arbiter = world.arbiter();
    world.hears(solo(6, A), Role::Main);
    assert_eq!(read(&arbiter).await, Ok(solo(6, A)));
    world.hears(pair(6, B), Role::Sub);
    assert!(matches!(read(&arbiter).await, Err(ArbiterError::Refused(why)) if why.contains("set back")));
    world.disk.lock().unwrap().intent = Some(pair(6, B));
    assert_eq!(read(&arbiter).await, Ok(pair(6, B)));
}
