//! What the simulated terminals do (a visit to a hall is 2.5 seats × (authenticate, balance, deposit) and 10 draws of two messages).

use std::fmt::Write;

use serde::Deserialize;

use super::Mix;
use super::cards::Draw;
use super::pace::Pace;
use super::session::Session;
use crate::cli::Failure;
use crate::cli::import::sample;
use crate::model::Status;

/// Ten draws in 2.5 seats.
const DRAWS_PER_SEAT: usize = 4;
/// One press of the button: ¥500 of 4-yen balls, a multiple of every usual step.
const UNITS_PER_DRAW: u64 = 125;
/// A good day ends with some thousand balls in the tray.
const UNITS_PER_DEPOSIT_MAX: u64 = 2_500;

/// Goes on until the pace ends.
///
/// # Errors
/// The history cannot be written.
pub(super) async fn go_on(mix: Mix, mut session: Session, mut pace: Pace, mut draw: Draw, rate_id: i64) -> Result<(), Failure> {
    if !session.greet().await {
        return Ok(());
    }
    let mut seat = Seat { card: String::new(), body: String::new(), rate_id };
    while pace.turn().await {
        match mix {
            Mix::Deposit => {
                draw.card(&mut seat.card);
                seat.deposit(&mut session, &mut draw).await?;
            }
            Mix::Visit => seat.visit(&mut session, &mut pace, &mut draw).await?,
        }
    }
    Ok(())
}

/// What an answer's body may hand on to the next command.
#[derive(Deserialize)]
struct Handed {
    #[serde(default)]
    body: HandedBody,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HandedBody {
    session: Option<String>,
    payout_id: Option<serde_json::Value>,
}

struct Seat {
    card: String,
    /// Reused for every command.
    body: String,
    rate_id: i64,
}

impl Seat {
    async fn deposit(&mut self, session: &mut Session, draw: &mut Draw) -> Result<(), Failure> {
        let units = 1 + draw.below(UNITS_PER_DEPOSIT_MAX);
        let (card, rate_id) = (json(&self.card), self.rate_id);
        self.fill(format_args!(r#"{{"card_id":{card},"rate_id":{rate_id},"units":{units}}}"#));
        session.command("deposit", &self.body).await.map(drop)
    }

    /// One seat's share of a visit. A refusal ends what depends on it, as it would for the member.
    async fn visit(&mut self, session: &mut Session, pace: &mut Pace, draw: &mut Draw) -> Result<(), Failure> {
        let number = draw.card(&mut self.card);
        let card = json(&self.card);
        self.fill(format_args!(r#"{{"card_id":{card},"pin":"{}"}}"#, sample::pin_of(number)));
        let Some(token) = self.ask(session, "authenticate").await?.and_then(|handed| handed.session) else { return Ok(()) };
        let mut token = json(&token);
        if !pace.turn().await {
            return Ok(());
        }
        self.fill(format_args!(r#"{{"session":{token}}}"#));
        if let Some(renewed) = self.ask(session, "get_balance").await?.and_then(|handed| handed.session) {
            token = json(&renewed);
        }
        for _ in 0..DRAWS_PER_SEAT {
            if !pace.turn().await || !self.draw_units(session, pace, &token).await? {
                break;
            }
        }
        if pace.turn().await { self.deposit(session, draw).await } else { Ok(()) }
    }

    /// One draw and its completion; `false` if it was refused. An authorised draw is completed even when the run is over.
    async fn draw_units(&mut self, session: &mut Session, pace: &mut Pace, token: &str) -> Result<bool, Failure> {
        let rate_id = self.rate_id;
        self.fill(format_args!(r#"{{"session":{token},"rate_id":{rate_id},"units":{UNITS_PER_DRAW}}}"#));
        let Some(payout) = self.ask(session, "authorise_payout").await?.and_then(|handed| handed.payout_id) else {
            return Ok(false);
        };
        pace.turn().await;
        self.fill(format_args!(r#"{{"payout_id":{payout},"delivered":{UNITS_PER_DRAW}}}"#));
        Ok(session.command("complete_payout", &self.body).await?.is_some())
    }

    /// What an `ok` answer hands on; `None` for a refusal or none at all.
    async fn ask(&mut self, session: &mut Session, command: &str) -> Result<Option<HandedBody>, Failure> {
        let answer = session.command(command, &self.body).await?;
        if answer.is_none_or(|answer| answer.status != Status::Ok) {
            return Ok(None);
        }
        Ok(serde_json::from_slice::<Handed>(session.answer_line()).ok().map(|handed| handed.body))
    }

    fn fill(&mut self, body: std::fmt::Arguments<'_>) {
        self.body.clear();
        self.body.write_fmt(body).expect("writing to memory cannot fail");
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
