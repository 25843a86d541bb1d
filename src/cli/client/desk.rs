//! A terminal worked by a person or a program step by step: greets, signs in, sends, hears whole answers.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Client, Service, Terminal, Unsettled, new_command_id};
use crate::cli::{Failure, counted};
use crate::model::Status;

/// One terminal and its connection.
pub struct Desk {
    client: Client,
    pub terminal: Terminal,
    line: Vec<u8>,
}

/// A final answer: what the pair says, and everything as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub answer: Answer,
    pub whole: Value,
    /// How often the command was sent for it.
    pub tries: u32,
}

/// Why a terminal could not greet or its staff not sign in.
#[derive(Debug)]
pub enum NotAdmitted {
    /// The service refuses this command.
    Refused(&'static str, Box<Heard>),
    Failed(Failure),
}

impl From<Failure> for NotAdmitted {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What `hello` answers, as far as it is used here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Greeting {
    /// `null` while no business day is open.
    pub day: Option<Value>,
    pub settings: Settings,
    pub rate_table: RateTable,
}

impl Greeting {
    pub fn date(&self) -> Option<String> {
        self.day.as_ref()?["date"].as_str().map(str::to_owned)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub min_age_years: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RateTable {
    pub version: i64,
    pub rates: Vec<Rate>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Rate {
    pub rate_id: i64,
    pub max_units: i64,
    pub active: bool,
}

impl Desk {
    pub fn new(service: Service, terminal: Terminal) -> Self {
        Self { client: Client::new(service, 0), terminal, line: Vec::new() }
    }

    /// Sends one command until it is answered, refusals included.
    ///
    /// # Errors
    /// Exit code 4: no answer that can be read, the outcome is unknown. Exit code 1: the command never left.
    pub async fn settle(&mut self, command_id: &str, command: &str, body: &str) -> Result<Heard, Failure> {
        self.settle_anew(command_id, command, body, false).await
    }

    /// As [`Self::settle`], of a command that an earlier run may have sent already: until it is answered, its outcome is unknown.
    ///
    /// # Errors
    /// Exit code 4, as [`Self::settle`].
    pub async fn settle_saved(&mut self, command_id: &str, command: &str, body: &str) -> Result<Heard, Failure> {
        self.settle_anew(command_id, command, body, true).await
    }

    async fn settle_anew(&mut self, command_id: &str, command: &str, body: &str, sent_before: bool) -> Result<Heard, Failure> {
        self.terminal.write_request(&mut self.line, command_id, command, body);
        let settled = self.client.settle(command_id, &self.line).await.map_err(|unsettled| {
            let Unsettled { tries, sent, last } = unsettled;
            if !sent && !sent_before {
                return Failure::failed(format!("{command} was never sent: {last}"));
            }
            Failure::unsettled(format!(
                "{command} {command_id}: outcome unknown after {}: {last}",
                counted(tries.into(), "try", "tries")
            ))
        })?;
        let whole = serde_json::from_slice(self.client.answer_line());
        let whole = whole.map_err(|e| Failure::unsettled(format!("{command} {command_id}: not an answer: {e}")))?;
        Ok(Heard { answer: settled.answer, whole, tries: settled.tries })
    }

    /// Says hello and keeps the version of the rate table.
    ///
    /// # Errors
    /// As [`Self::settle`]; the service refuses this terminal.
    pub async fn hello(&mut self) -> Result<Greeting, NotAdmitted> {
        let heard = self.accepted("hello", "{}").await?;
        Ok(self.heed(&heard)?)
    }

    /// Keeps what an accepted `hello` tells: the version of the rate table and the business day.
    ///
    /// # Errors
    /// It is no answer to `hello`.
    pub fn heed(&mut self, heard: &Heard) -> Result<Greeting, Failure> {
        let greeting: Greeting = serde_json::from_value(heard.whole["body"].clone())
            .map_err(|e| Failure::failed(format!("cannot read the answer to hello: {e}")))?;
        self.terminal.rate_table_ver = Some(greeting.rate_table.version);
        self.terminal.known_date = greeting.date();
        Ok(greeting)
    }

    /// Signs a member of staff in and keeps the session.
    ///
    /// # Errors
    /// As [`Self::settle`]; the service refuses name or password.
    pub async fn sign_in(&mut self, staff_id: &str, password: &str) -> Result<(), NotAdmitted> {
        let body = json!({ "staff_id": staff_id, "password": password }).to_string();
        let heard = self.accepted("sign_in", &body).await?;
        let session = heard.whole["body"]["staff_session"].as_str();
        let session = session.ok_or_else(|| Failure::failed("the answer to sign_in names no staff_session"))?;
        self.terminal.staff_session = Some(session.to_owned());
        Ok(())
    }

    async fn accepted(&mut self, command: &'static str, body: &str) -> Result<Heard, NotAdmitted> {
        let heard = self.settle(&new_command_id()?, command, body).await?;
        if heard.answer.status == Status::Ok { Ok(heard) } else { Err(NotAdmitted::Refused(command, Box::new(heard))) }
    }
}

impl Heard {
    /// The refusal as one line: code and text.
    pub fn refusal(&self, command: &str) -> Failure {
        let text = self.whole["text_en"].as_str().unwrap_or_default();
        Failure::refused(format!("{command} was refused: {} {text} {}", self.answer.code, self.whole["body"]))
    }
}
