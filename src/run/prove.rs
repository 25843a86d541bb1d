//! What a read over HTTP must know: on Main that it is Main now, on Sub how old what it shows may be.

use std::sync::Arc;

use actix::Recipient;
use tokio::time::{Instant, sleep};

use crate::actors::Storage;
use crate::actors::replication_sender::SendOn;
use crate::clock;
use crate::config::limits;
use crate::console::{Freshness, NotMain, ProveMain};
use crate::handover::Board;
use crate::ledger::Ledger;
use crate::machines::failover::Rule;
use crate::model::Sequence;

/// By a frame that is built after the call and arrives at the peer; Solo by the grant; in `async` by the lease. And the store must
/// have what was confirmed when the read came.
pub(super) fn main(storage: Arc<Storage<Ledger>>, sender: Recipient<SendOn>) -> ProveMain {
    Arc::new(move || {
        let (storage, sender) = (Arc::clone(&storage), sender.clone());
        Box::pin(async move {
            let (frame, confirmed) = (storage.board.want_frame(), storage.board.confirmed());
            sender.do_send(SendOn);
            let deadline = Instant::now() + limits::PROOF_LIMIT;
            while Instant::now() < deadline {
                if is_proven(&storage, frame, confirmed)? {
                    return Ok(());
                }
                sleep(limits::PROOF_POLL).await;
            }
            Err(NotMain)
        })
    })
}

fn is_proven(storage: &Storage<Ledger>, frame: u64, confirmed: Sequence) -> Result<bool, NotMain> {
    let board = &storage.board;
    let entitled = match storage.gate.rule() {
        Rule::Closed => return Err(NotMain),
        Rule::Both(_) => board.frames_arrived() >= frame,
        Rule::Own(_) => true,
        Rule::Leased(_) => clock::now() < board.lease_until(),
    };
    Ok(entitled && board.applied() >= confirmed)
}

/// Milliseconds since the store had everything that Main had told to be confirmed.
pub(super) fn freshness(board: Arc<Board>) -> Freshness {
    Arc::new(move || board.fresh_at().map(|fresh_at| clock::now().since(fresh_at)))
}
