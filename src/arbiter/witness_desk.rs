//! One pair's desk at the witness: hears a request, decides, writes down, answers, one request after the other. Blocks while it writes.

use std::sync::{Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use slog::{Logger, error, info, warn};

use crate::clock;
use crate::model::UnixMs;
use crate::wire::first_register::verify_register;
use crate::wire::pki::CertificateRole;

use super::witness_file::{FileError, PairFile, PairId};
use super::witness_frames::{Ask, Reply, Request, VERSION, WitnessStatus};
use super::witness_rules::{Kept, Question, Refusal, Ruling, decide};
use super::{Asker, CasOutcome};

pub(super) struct Desk {
    pair: PairId,
    authority: CertificateDer<'static>,
    holdings: Mutex<Holdings>,
    log: Logger,
}

/// What changes while the witness runs.
struct Holdings {
    file: PairFile,
    answered: u64,
    landed: u64,
    /// The last refusal that was logged: an asker repeats itself ten times a second, the log does not.
    refused: Option<String>,
}

impl Desk {
    pub(super) fn new(pair: PairId, authority: CertificateDer<'static>, file: PairFile, log: Logger) -> Self {
        let holdings = Holdings { file, answered: 0, landed: 0, refused: None };
        Self { pair, authority, holdings: Mutex::new(holdings), log }
    }

    /// Answers whoever has proven to be `role`. What the answer says is durable.
    pub(super) fn answer(&self, role: CertificateRole, request: Request) -> Reply {
        if request.version != VERSION {
            return Reply::Refused(format!("this witness speaks version {VERSION}, not {}", request.version));
        }
        // A panic in here leaves memory and file as they were before the request: nothing is kept before it is durable.
        let mut holdings = self.holdings.lock().unwrap_or_else(PoisonError::into_inner);
        holdings.answered += 1;
        let about_date = request.ask == Ask::Since;
        match self.question(role, request.ask) {
            Ok(Some((asker, question))) => self.rule(&mut holdings, asker, question),
            Ok(None) if about_date => Reply::Since(holdings.since()),
            Ok(None) => self.status(&holdings),
            Err(refused) => Reply::Refused(refused),
        }
    }

    /// The question in words that the rules know; `None` asks for the status.
    fn question(&self, role: CertificateRole, ask: Ask) -> Result<Option<(Asker, Question)>, String> {
        let (asker, question) = match ask {
            Ask::Status | Ask::Since => return Ok(None),
            Ask::Read { asker } => (asker, Question::Read),
            Ask::CompareAndSet { asker, expected, new } => (asker, Question::CompareAndSet { expected, new }),
            Ask::Overrule { asker, expected, new } => (asker, Question::Overrule { expected, new }),
            Ask::Introduce { asker, first } => {
                let first = verify_register(&self.authority, &first).map_err(|refused| refused.to_string())?;
                (asker, Question::Introduce { first })
            }
        };
        let claimed = CertificateRole::Server(asker.server);
        if role != claimed {
            return Err(format!("the ask is of {}, the certificate of {}", claimed.name(), role.name()));
        }
        Ok(Some((asker, question)))
    }

    fn rule(&self, holdings: &mut Holdings, asker: Asker, question: Question) -> Reply {
        let ruling = match holdings.rule(&asker, &question) {
            Ok(ruling) => ruling,
            Err(error) => {
                error!(self.log, "cannot keep the register"; "file.error" => %error);
                return Reply::Refused(error.to_string());
            }
        };
        match ruling {
            Ruling::Holds(register) => Reply::Holds(register),
            Ruling::Outcome(CasOutcome::Differs(register)) => Reply::Differs(register),
            Ruling::Outcome(CasOutcome::Landed(register)) => {
                holdings.refused = None;
                if matches!(question, Question::Overrule { .. }) {
                    let server = CertificateRole::Server(asker.server).name();
                    warn!(self.log, "holds alone by a person's word"; "server" => server, "epoch" => register.epoch.0);
                }
                Reply::Landed(register)
            }
            Ruling::Refused(refusal) => self.refuse(holdings, &asker, &refusal),
        }
    }

    fn refuse(&self, holdings: &mut Holdings, asker: &Asker, refusal: &Refusal) -> Reply {
        let text = refusal.to_string();
        if holdings.refused.as_ref() != Some(&text) {
            let server = CertificateRole::Server(asker.server).name();
            match refusal {
                // Somebody has to act: no takeover is possible until then.
                Refusal::WentBack { .. } | Refusal::FirstIsOld { .. } => {
                    error!(self.log, "the register is older than a server's disk"; "reason" => &text, "asker" => server);
                }
                Refusal::Awaits { .. } => info!(self.log, "waiting for both servers"; "reason" => &text, "asker" => server),
                _ => warn!(self.log, "refused a change"; "reason" => &text, "asker" => server),
            }
        }
        holdings.refused = Some(text.clone());
        Reply::Refused(text)
    }

    fn status(&self, holdings: &Holdings) -> Reply {
        let kept = holdings.file.kept();
        let refuses = match &kept {
            Ok(Some(kept)) => kept.vouched().err().map(|refusal| refusal.to_string()),
            Ok(None) => Some(Refusal::Empty.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let kept: Option<&Kept> = kept.ok().flatten();
        Reply::Status(WitnessStatus {
            pair: self.pair.to_string(),
            register: kept.map(|kept| kept.register),
            reported: kept.map_or([None; 2], |kept| kept.reported),
            refuses,
            answered: holdings.answered,
            landed: holdings.landed,
        })
    }
}

impl Holdings {
    fn since(&self) -> Option<UnixMs> {
        self.file.kept().ok().flatten().and_then(|kept| kept.since)
    }

    fn rule(&mut self, asker: &Asker, question: &Question) -> Result<Ruling, FileError> {
        let decision = decide(self.file.kept()?, asker, question);
        if let Some(keep) = decision.keep {
            self.file.store(keep.dated(self.file.kept()?, clock::unix_now()))?;
        }
        if matches!(decision.ruling, Ruling::Outcome(CasOutcome::Landed(_))) {
            self.landed += 1;
        }
        Ok(decision.ruling)
    }
}
