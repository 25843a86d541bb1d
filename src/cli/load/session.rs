//! One simulated terminal: saves, sends, records.

use std::cell::RefCell;
use std::rc::Rc;

use super::record::Record;
use crate::cli::Failure;
use crate::cli::client::{Answer, Client, CommandIds, Terminal};
use crate::cli::history::now_us;
use crate::model::Status;

/// A terminal with its connection and its share of the record. Buffers are kept from command to command.
pub(super) struct Session {
    client: Client,
    terminal: Terminal,
    record: Rc<RefCell<Record>>,
    ids: CommandIds,
    command_id: String,
    request: Vec<u8>,
}

impl Session {
    pub(super) fn new(client: Client, terminal: Terminal, record: Rc<RefCell<Record>>) -> Result<Self, Failure> {
        Ok(Self { client, terminal, record, ids: CommandIds::new()?, command_id: String::new(), request: Vec::new() })
    }

    /// Learns the rate table's version, which every dealing in units carries; `false` if nobody answers or this terminal is refused.
    /// Not in the history: it changes nothing.
    pub(super) async fn greet(&mut self) -> bool {
        self.ids.next(&mut self.command_id);
        self.terminal.write_request(&mut self.request, &self.command_id, "hello", "{}");
        match self.client.settle(&self.command_id, &self.request).await {
            Ok(settled) if settled.answer.status == Status::Ok => {
                let whole: serde_json::Value = serde_json::from_slice(self.client.answer_line()).unwrap_or_default();
                let body = &whole["body"];
                self.terminal.rate_table_ver = body["rate_table"]["version"].as_i64();
                self.terminal.known_date = body["day"]["date"].as_str().map(str::to_owned);
                true
            }
            Ok(settled) => {
                self.record.borrow_mut().not_admitted(&settled.answer.code);
                false
            }
            Err(unsettled) => {
                self.record.borrow_mut().unreached(&unsettled.last);
                false
            }
        }
    }

    /// Sends one command until it is answered; `None` if it stayed unsettled.
    ///
    /// # Errors
    /// The history cannot be written: a command that is not saved is not sent.
    pub(super) async fn command(&mut self, name: &str, body: &str) -> Result<Option<Answer>, Failure> {
        let answer = self.send(name, body).await?;
        if answer.as_ref().is_some_and(|answer| answer.code == "RATE_TABLE_OLD") {
            self.greet().await;
        }
        Ok(answer)
    }

    async fn send(&mut self, name: &str, body: &str) -> Result<Option<Answer>, Failure> {
        self.ids.next(&mut self.command_id);
        self.terminal.write_request(&mut self.request, &self.command_id, name, body);
        let sent_us = now_us();
        self.record.borrow_mut().save_sent(sent_us, &self.terminal.terminal_id, &self.command_id, name)?;
        match self.client.settle(&self.command_id, &self.request).await {
            Ok(settled) => {
                self.record.borrow_mut().answered(sent_us, now_us(), &self.command_id, &settled);
                Ok(Some(settled.answer))
            }
            Err(unsettled) => {
                self.record.borrow_mut().unsettled(now_us(), &self.command_id, &unsettled);
                Ok(None)
            }
        }
    }

    /// The last answer's whole line.
    pub(super) fn answer_line(&self) -> &[u8] {
        self.client.answer_line()
    }
}
