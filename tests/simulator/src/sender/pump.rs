//! An open stream: entries and orders out.

use duplex::config::limits;
use duplex::handover::Slice;
use duplex::machines::failover::TellPeer;
use duplex::model::{Position, Sequence};
use duplex::wire::frames::{ToPeer, WireRecord};

use super::Phase;
use crate::network::{Frame, LinkNo};
use crate::process::Process;
use crate::world::World;

impl World {
    pub(super) fn send_what_is_there(&mut self, index: usize, link: LinkNo) {
        let now = self.now;
        let Some(process) = self.servers[index].process.as_mut() else { return };
        let Some(run) = process.sender.as_mut() else { return };
        let stream = run.stream;
        let orders = std::mem::take(&mut run.orders);
        for order in orders {
            let frame = match order {
                TellPeer::Intend(register) => ToPeer::Intend { stream, register },
                TellPeer::Enter(register) => ToPeer::Enter { stream, register },
                TellPeer::Intended(_) => continue,
            };
            self.send(index, link, Frame::ToPeer(frame));
        }
        while let Some(frame) = self.servers[index].process.as_mut().and_then(|process| process.next_frame(now)) {
            self.send(index, link, Frame::ToPeer(frame));
        }
    }
}

impl Process {
    /// Entries, or what a reader waits for, or what was confirmed since, or that this server is still there.
    fn next_frame(&mut self, now: u64) -> Option<ToPeer> {
        let board = &self.storage.board;
        let run = self.sender.as_mut()?;
        let Phase::Open { sent, .. } = &mut run.phase else { return None };
        let records = match self.storage.tail.after(sent.sequence, Sequence(u64::MAX), usize::MAX, limits::FRAME_ENTRIES_BYTES) {
            Slice::Entries(entries) => entries.iter().map(|entry| (entry.position, entry.payload.clone())).collect::<Vec<_>>(),
            Slice::Gone => {
                let records = self.writer.reader().read_after(sent.sequence, limits::FRAME_ENTRIES_BYTES).ok()?;
                records.into_iter().map(|record| (record.position, record.payload)).collect()
            }
        };
        let behind = board.executed() > run.confirmed_told;
        let idle_ms = if behind { limits::CONFIRMED_IDLE_MS } else { limits::STREAM_IDLE_MS };
        if records.is_empty() && !board.frame_is_wanted() && now < run.last_frame + idle_ms {
            return None;
        }
        *sent = records.last().map_or(*sent, |(position, _)| *position);
        let after = *sent;
        let (confirmed, frame) = (board.confirmed(), board.begin_frame());
        (run.confirmed_told, run.last_frame) = (confirmed, now);
        let record = |(position, payload): (Position, Vec<u8>)| {
            let Position { epoch, sequence, .. } = position;
            WireRecord { epoch, sequence, payload }
        };
        let records = records.into_iter().map(record).collect();
        Some(ToPeer::Entries { stream: run.stream, frame, confirmed, after, records })
    }
}
