//! The hash chains of ledger and audit: hash(n) covers every other column of row n and hash(n-1), so equal last number and hash
//! on both servers mean equal history.

use super::rows::{AuditEvent, LedgerKind, LedgerRow};

/// BLAKE3 of every column but `hash`, in the order of the struct.
pub fn ledger_hash(row: &LedgerRow) -> [u8; 32] {
    let mut out = Columns::of("ledger 1");
    out.number(row.ledger_no);
    out.number(row.day.into());
    out.number(row.at.0);
    out.number(row.account_id);
    out.number(kind_no(row.kind));
    out.number(row.delta);
    out.number(row.balance_after);
    out.maybe(row.ref_type.as_deref());
    out.maybe(row.ref_id.as_deref());
    out.text(&row.terminal_id);
    out.maybe(row.staff_id.as_deref());
    out.bytes(&row.command_id);
    out.maybe(row.reason.as_deref());
    out.bytes(&row.prev_hash);
    out.hash()
}

/// BLAKE3 of every column but `hash`, in the order of the struct.
pub fn event_hash(event: &AuditEvent) -> [u8; 32] {
    let mut out = Columns::of("audit event 1");
    out.number(event.event_no);
    out.number(event.at.0);
    out.maybe_number(event.day.map(i64::from));
    out.maybe(event.staff_id.as_deref());
    out.text(&event.terminal_id);
    out.text(&event.kind);
    out.maybe_number(event.member_no);
    out.maybe(event.card_id.as_deref());
    out.text(&event.detail);
    out.bytes(&event.prev_hash);
    out.hash()
}

/// Part of the hash, so never renumbered; the place in the enum may not be relied on.
fn kind_no(kind: LedgerKind) -> i64 {
    match kind {
        LedgerKind::Deposit => 1,
        LedgerKind::Payout => 2,
        LedgerKind::PayoutReturn => 3,
        LedgerKind::Exchange => 4,
        LedgerKind::ExchangeReturn => 5,
        LedgerKind::Adjust => 6,
        LedgerKind::Transfer => 7,
        LedgerKind::Convert => 8,
        LedgerKind::Expire => 9,
    }
}

/// Canonical encoding: numbers as 8 bytes little-endian, bytes after their length, an absent column as 0 and a present one after 1.
struct Columns(Vec<u8>);

impl Columns {
    fn of(table: &str) -> Self {
        let mut columns = Self(Vec::with_capacity(256));
        columns.text(table);
        columns
    }

    fn number(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn maybe(&mut self, text: Option<&str>) {
        self.0.push(text.is_some().into());
        text.into_iter().for_each(|text| self.text(text));
    }

    fn maybe_number(&mut self, number: Option<i64>) {
        self.0.push(number.is_some().into());
        number.into_iter().for_each(|number| self.number(number));
    }

    fn hash(self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UnixMs;

    fn row() -> LedgerRow {
        LedgerRow {
            ledger_no: 7,
            day: 20_000,
            at: UnixMs(1_700_000_000_000),
            account_id: 1_001,
            kind: LedgerKind::Deposit,
            delta: 125,
            balance_after: 250,
            ref_type: None,
            ref_id: Some("12".into()),
            terminal_id: "counter-1".into(),
            staff_id: None,
            command_id: [3; 16],
            reason: None,
            prev_hash: [4; 32],
            hash: [0; 32],
        }
    }

    #[test]
    fn the_hash_changes_with_every_column_but_itself() {
        let changes: [fn(&mut LedgerRow); 14] = [
            |r| r.ledger_no += 1,
            |r| r.day += 1,
            |r| r.at.0 += 1,
            |r| r.account_id += 1,
            |r| r.kind = LedgerKind::Adjust,
            |r| r.delta += 1,
            |r| r.balance_after += 1,
            |r| r.ref_type = Some(String::new()),
            |r| (r.ref_type, r.ref_id) = (Some("12".into()), None),
            |r| r.terminal_id.push('0'),
            |r| r.staff_id = Some("s1".into()),
            |r| r.command_id[15] ^= 1,
            |r| r.reason = Some("x".into()),
            |r| r.prev_hash[31] ^= 1,
        ];
        for (column, change) in changes.iter().enumerate() {
            let mut changed = row();
            change(&mut changed);
            assert_ne!(ledger_hash(&changed), ledger_hash(&row()), "change {column}");
        }
        assert_eq!(ledger_hash(&LedgerRow { hash: [9; 32], ..row() }), ledger_hash(&row()));
    }

    /// Hashes live in stores, backups and on paper: this one may never change.
    #[test]
    fn the_hash_of_a_known_row_stays_what_it_was() {
        let hash = blake3::Hash::from_bytes(ledger_hash(&row()));
        assert_eq!(hash.to_hex().as_str(), "9eb1a8e480aeee1a4d54de4468995eb556276a6eb9d74eb697fef965fa6f3a4b");
    }
}
