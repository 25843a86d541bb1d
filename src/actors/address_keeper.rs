//! AddressKeeper: holds the service addresses that role and lease allow, announces them, and notices who else claims them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use slog::{Logger, error};
use tokio::sync::Notify;

use super::fault;
use crate::handover::{Board, Shown};
use crate::machines::failover::{AddressSet, HoldBy};

mod addresses;
mod keeping;
mod rivals;
mod watch;

pub use addresses::ServiceAddresses;
use keeping::Keeping;

/// Hold these addresses from now on, and only these.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Hold {
    pub set: AddressSet,
    pub by: HoldBy,
}

/// What the actor and its task share; both live on one thread.
struct Wanted {
    hold: RefCell<Hold>,
    changed: Notify,
}

pub struct AddressKeeper {
    /// `None`: addresses are not moved by this program.
    addresses: Option<ServiceAddresses>,
    board: Arc<Board>,
    shown: Arc<Shown>,
    log: Logger,
    wanted: Rc<Wanted>,
    /// Whether this process has held what it should: from then on no address waits for an answer to a probe. It outlives a restart,
    /// for a server that is in service must not pause for it.
    has_held: Rc<Cell<bool>>,
}

impl AddressKeeper {
    pub fn new(addresses: Option<ServiceAddresses>, board: Arc<Board>, shown: Arc<Shown>, log: Logger) -> Self {
        Self { addresses, board, shown, log, wanted: Rc::new(Wanted::new()), has_held: Rc::default() }
    }
}

impl Wanted {
    fn new() -> Self {
        Self { hold: RefCell::new(Hold { set: AddressSet::None, by: HoldBy::Lease }), changed: Notify::new() }
    }
}

impl Actor for AddressKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let Some(addresses) = self.addresses.clone() else { return };
        match Keeping::begin(self, addresses) {
            Ok(keeping) => {
                ctx.spawn(keeping.go().into_actor(self).map(|(), _, _| ()));
            }
            Err(error) => {
                error!(self.log, "cannot reach the kernel's addresses; trying again"; "reason" => watch::told(&error));
                ctx.run_later(Duration::from_secs(1), |keeper, ctx| keeper.started(ctx));
            }
        }
    }
}

impl Supervised for AddressKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // Given up; FailoverCoordinator, reborn with it, says what may be held.
        self.wanted = Rc::new(Wanted::new());
    }
}

impl Handler<Hold> for AddressKeeper {
    type Result = ();

    fn handle(&mut self, hold: Hold, _: &mut Context<Self>) {
        fault::point("address-keeper/hold");
        *self.wanted.hold.borrow_mut() = hold;
        self.wanted.changed.notify_one();
    }
}
