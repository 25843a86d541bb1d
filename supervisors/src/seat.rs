//! An address before its actor.

use std::fmt;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, Context};

/// The place of an actor that does not live yet: its mailbox. Messages sent to the address wait in
/// it.
pub struct Seat<A: Actor> {
    pub(crate) receiver: AddressReceiver<A>,
}

/// An address and the seat of its actor, so that actors that need each other's addresses can all be
/// given them when they are built. `mailbox_capacity` counts messages; as in actix, `do_send`
/// passes it and each clone of the address adds one.
pub fn seat<A: Actor<Context = Context<A>>>(mailbox_capacity: usize) -> (Addr<A>, Seat<A>) {
    let (sender, receiver) = channel(mailbox_capacity);
    (Addr::new(sender), Seat { receiver })
}

impl<A: Actor> fmt::Debug for Seat<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}
