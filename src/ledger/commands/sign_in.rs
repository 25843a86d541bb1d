//! `sign_in`: a member of staff begins to work at a terminal.

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::ledger::call::{About, Call, Outcome, Stop};
use crate::ledger::fields::{self, Hash32, StaffId, Text};
use crate::ledger::reads;
use crate::ledger::rows::{Staff, StaffRole};
use crate::ledger::secrets::{Secrets, same_hash};
use crate::ledger::session::{self, Claim, StaffSession};
use crate::ledger::texts::Code;
use crate::model::Bad;

/// The body as DataUpdater sees it; a terminal sends the password itself, see [`derive`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    staff_id: StaffId,
    password_hash: Hash32,
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
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct FromOutside {
        staff_id: StaffId,
        password: Text<128>,
    }
    #[derive(Serialize)]
    struct Derived<'a> {
        staff_id: &'a str,
        password_hash: String,
    }
    let came: FromOutside = fields::read(body)?;
    let staff_id = came.staff_id.as_str();
    let hash = secrets.password_hash(staff_id, came.password.as_str());
    let hash = hash.map_err(|error| fields::bad("password", &format!("cannot be hashed now: {error}")))?;
    let password_hash = blake3::Hash::from_bytes(hash).to_hex().to_string();
    Ok(crate::ledger::texts::json(&Derived { staff_id, password_hash }))
}

impl Operation for SignIn {
    fn execute(&self, call: &mut Call<'_, '_>) -> Result<Outcome, Stop> {
        let staff = reads::staff(call.draft, self.staff_id.as_str())?;
        let right = staff.filter(|staff| staff.active && same_hash(&staff.password_hash, &self.password_hash.0));
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
