//! One pair's desk at the witness: hears a request, decides, writes down, answers, one request after the other. Blocks while it writes.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use slog::{Logger, error, info, warn};

use crate::clock;
use crate::model::UnixMs;
use crate::wire::first_register::verify_register;
use crate::wire::pki::CertificateRole;

use super::witness_account::{FILE, NOT_HEARD, PairAccount, Refused};
use super::witness_file::{FileError, PairFile, PairId};
use super::witness_frames::{Ask, Reply, Request, VERSION, WitnessStatus};
use super::witness_rules::{Kept, Question, Refusal, Ruling, decide};
use super::{Asker, CasOutcome};

pub(super) struct Desk {
    pair: PairId,
    authority: CertificateDer<'static>,
    holdings: Mutex<Holdings>,
    /// As of the last answer: a disk that hangs keeps nobody from reading it.
    account: Arc<Mutex<PairAccount>>,
    log: Logger,
}

/// What changes while the witness runs.
struct Holdings {
    /// One that cannot be used grants nothing to this pair; other pairs of this witness have nothing to do with it.
    file: Result<PairFile, FileError>,
    answered: u64,
    landed: u64,
    /// The last refusal that was logged: an asker repeats itself ten times a second, the log does not.
    refused: Option<String>,
    refusals: Refused,
    /// By this process, or when its file was opened.
    written: Option<UnixMs>,
}

impl Desk {
    pub(super) fn new(pair: PairId, authority: CertificateDer<'static>, file: Result<PairFile, FileError>, log: Logger) -> Self {
        let written = file.as_ref().ok().and_then(PairFile::written);
        let holdings = Holdings { file, answered: 0, landed: 0, refused: None, refusals: Refused::default(), written };
        let account = Arc::new(Mutex::new(holdings.account(&pair)));
        Self { pair, authority, holdings: Mutex::new(holdings), account, log }
    }

    /// What this desk holds and did, at any time.
    pub(super) fn account(&self) -> Arc<Mutex<PairAccount>> {
        self.account.clone()
    }

    /// Answers whoever has proven to be `role`. What the answer says is durable.
    pub(super) fn answer(&self, role: CertificateRole, request: Request) -> Reply {
        // A panic in here leaves memory and file as they were before the request: nothing is kept before it is durable.
        let mut holdings = self.holdings.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = self.reply(&mut holdings, role, request);
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = holdings.account(&self.pair);
        reply
    }

    fn reply(&self, holdings: &mut Holdings, role: CertificateRole, request: Request) -> Reply {
        if request.version != VERSION {
            holdings.refusals.count(NOT_HEARD);
            return Reply::Refused(format!("this witness speaks version {VERSION}, not {}", request.version));
        }
        holdings.answered += 1;
        let about_date = request.ask == Ask::Since;
        match self.question(role, request.ask) {
            Ok(Some((asker, question))) => self.rule(holdings, asker, question),
            Ok(None) if about_date => Reply::Since(holdings.since()),
            Ok(None) => Reply::Status(holdings.status(&self.pair)),
            Err(refused) => {
                holdings.refusals.count(NOT_HEARD);
                Reply::Refused(refused)
            }
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
                let text = error.to_string();
                if holdings.refused.as_ref() != Some(&text) {
                    error!(self.log, "cannot keep the register"; "file.error" => &text);
                }
                holdings.refusals.count(FILE);
                holdings.refused = Some(text.clone());
                return Reply::Refused(text);
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
        holdings.refusals.count(refusal.code());
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
}

impl Holdings {
    fn kept(&self) -> Result<Option<&Kept>, FileError> {
        self.file.as_ref().map_err(FileError::clone)?.kept()
    }

    fn since(&self) -> Option<UnixMs> {
        self.kept().ok().flatten().and_then(|kept| kept.since)
    }

    fn status(&self, pair: &PairId) -> WitnessStatus {
        let kept = self.kept();
        let refuses = match &kept {
            Ok(Some(kept)) => kept.vouched().err().map(|refusal| refusal.to_string()),
            Ok(None) => Some(Refusal::Empty.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let kept: Option<&Kept> = kept.ok().flatten();
        WitnessStatus {
            pair: pair.to_string(),
            register: kept.map(|kept| kept.register),
            reported: kept.map_or([None; 2], |kept| kept.reported),
            refuses,
            answered: self.answered,
            landed: self.landed,
        }
    }

    fn account(&self, pair: &PairId) -> PairAccount {
        let refused = self.refusals.clone();
        PairAccount { status: self.status(pair), since: self.since(), written: self.written, refused }
    }

    fn rule(&mut self, asker: &Asker, question: &Question) -> Result<Ruling, FileError> {
        let file = self.file.as_mut().map_err(|error| error.clone())?;
        let decision = decide(file.kept()?, asker, question);
        if let Some(keep) = decision.keep {
            let now = clock::unix_now();
            file.store(keep.dated(file.kept()?, now))?;
            self.written = Some(now);
        }
        if matches!(decision.ruling, Ruling::Outcome(CasOutcome::Landed(_))) {
            self.landed += 1;
        }
        Ok(decision.ruling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::identity::Identity;
    use crate::wire::pki::PairAuthority;

    #[test]
    fn what_a_desk_did_is_told_while_its_disk_hangs() {
        let directory = tempfile::tempdir().unwrap();
        let authority = PairAuthority::create().unwrap();
        let issued = authority.issue(CertificateRole::Witness, &[]).unwrap();
        let identity = Identity::from_pem(authority.certificate_pem(), &issued).unwrap();
        let pair = PairId::of(identity.authority());
        let file = PairFile::open(directory.path(), &pair);
        let desk = Desk::new(pair, identity.authority().clone(), file, Logger::root(slog::Discard, slog::o!()));
        let request = Request { version: VERSION, ask: Ask::Since };
        assert_eq!(desk.answer(CertificateRole::Witness, request.clone()), Reply::Since(None));
        let refused = desk.answer(CertificateRole::Witness, Request { version: VERSION + 1, ..request });
        assert!(matches!(refused, Reply::Refused(_)));

        let _hangs = desk.holdings.lock().unwrap();
        let account = desk.account();
        let account = account.try_lock().unwrap();
        assert_eq!((account.status.answered, account.refused.0[NOT_HEARD], account.written), (1, 1, None));
    }
}
