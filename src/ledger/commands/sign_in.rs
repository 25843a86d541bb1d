//! `sign_in`: a member of staff begins to work at a terminal.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::{self, Hash32, StaffId, Text};
use crate::ledger::reads;
use crate::ledger::rows::{Staff, StaffRole};
use crate::ledger::secrets::{Secrets, same_hash};
use crate::ledger::session::{self, Claim, StaffSession};
use crate::ledger::texts::{self, Code};
use crate::model::Bad;

/// The body as DataUpdater sees it; a terminal sends the password itself, see [`derive`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    staff_id: StaffId,
    /// `None`: never derived, see [`without_password`].
    password_hash: Option<Hash32>,
}

/// The body as a terminal sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromOutside {
    staff_id: StaffId,
    password: Text<128>,
}

/// The body as it goes on.
#[derive(Serialize)]
struct Inside<'a> {
    staff_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hash: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    staff_session: String,
    staff_id: &'a str,
    name: &'a str,
    role: StaffRole,
    idle_ms_max: i64,
}

/// The body that goes on from the edge, for the body that came: the password is replaced by its hash, and a hash that came from
/// outside is refused. Deliberately slow: call it in a bounded pool.
///
/// # Errors
/// [`Bad`] names the field.
pub fn derive(body: &str, secrets: &Secrets) -> Result<String, Bad> {
    let came: FromOutside = fields::read(body)?;
    let staff_id = came.staff_id.as_str();
    let hash = secrets.password_hash(staff_id, came.password.as_str());
    let hash = hash.map_err(|error| fields::bad("password", &format!("cannot be hashed now: {error}")))?;
    let password_hash = Some(blake3::Hash::from_bytes(hash).to_hex().to_string());
    Ok(texts::json(&Inside { staff_id, password_hash }))
}

/// The body that goes on for a terminal that is not known where the password would be derived: read as strictly, and never slow.
///
/// # Errors
/// [`Bad`] names the field.
pub fn without_password(body: &str) -> Result<String, Bad> {
    let came: FromOutside = fields::read(body)?;
    Ok(texts::json(&Inside { staff_id: came.staff_id.as_str(), password_hash: None }))
}

impl Operation for SignIn {
    /// Nothing was tried, so nothing is written down.
    fn idle(&self) -> bool {
        self.password_hash.is_none()
    }

    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        // The terminal became known on the way here: next time its password is derived.
        let given = self.password_hash.as_ref().ok_or(Code::Busy)?;
        let staff = reads::staff(call.draft, self.staff_id.as_str())?;
        let right = staff.filter(|staff| staff.active && same_hash(&staff.password_hash, &given.0));
        let Some(staff) = right else {
            call.event("sign_in_refused", About::default(), self.staff_id.as_str());
            return Err(Code::WrongPassword.into());
        };
        let staff_session = session(call, &staff);
        call.staff = Some(staff.clone());
        call.event("sign_in", About::default(), "");
        Outcome::done(&Answer {
            staff_session,
            staff_id: &staff.staff_id,
            name: &staff.name,
            role: staff.role,
            idle_ms_max: StaffSession::IDLE_MS_MAX,
        })
    }
}

fn session(call: &Call<'_, '_>, staff: &Staff) -> String {
    let claim =
        StaffSession { staff_id: staff.staff_id.clone(), terminal_id: call.terminal.terminal_id.clone(), issued_at: call.now };
    session::seal(&claim, call.secrets, &staff.password_hash)
}
