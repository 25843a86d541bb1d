//! The site of a new pair: from flags or from a file, with keys and passwords drawn for whoever has none.
//!
//! A site file is a `SiteDefinition` in TOML without its secrets: `password_hash` cannot be given, since it depends on the pair's
//! secret, which is only now drawn; `key_hash` may be, for a terminal that has its key already.

use std::fmt::Write;
use std::path::Path;

use toml::{Table, Value};

use super::MANAGER;
use super::plan::SitePlan;
use crate::cli::Failure;
use crate::ledger::rows::StaffRole;
use crate::ledger::{Secrets, SiteDefinition};
use crate::model::Bad;

/// A site file names at most some ten thousand terminals of a hundred bytes each.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A site, and the secrets that only their holders and these files know.
pub(super) struct DrawnSite {
    pub(super) definition: SiteDefinition,
    pub(super) keys: Vec<TerminalKey>,
    /// Staff member and password; the first may open a business day.
    pub(super) passwords: Vec<(String, String)>,
}

pub(super) struct TerminalKey {
    pub(super) terminal_id: String,
    pub(super) kind: String,
    pub(super) key: String,
}

/// The whole site. Passwords are derived slowly on purpose: some 50 ms for each member of staff.
pub(super) fn draw(plan: &SitePlan, secrets: &Secrets) -> Result<DrawnSite, Failure> {
    let (mut site, named) = match plan {
        SitePlan::Flags { name, profile, seats } => (usual(name, profile, *seats)?, String::new()),
        SitePlan::File(file) => (read(file)?, format!("--site-file: {}: ", file.display())),
    };
    let bad = |bad: Bad| Failure::usage(format!("{named}{}: {}", bad.field, bad.reason));
    let keys = draw_keys(&mut site).map_err(bad)?;
    let passwords = draw_passwords(&mut site, secrets).map_err(bad)?;
    let definition = defined(site).map_err(bad)?;
    definition.check().map_err(bad)?;
    let passwords = opener_first(&definition, passwords);
    Ok(DrawnSite { definition, keys, passwords })
}

fn defined(site: Table) -> Result<SiteDefinition, Bad> {
    serde_path_to_error::deserialize(Value::Table(site)).map_err(|error| Bad {
        field: error.path().to_string(),
        reason: error.inner().to_string().lines().next().unwrap_or("cannot be read").to_owned(),
    })
}

/// What the flags describe: three rates, a manager, seats that deal in every rate, and the desks.
fn usual(name: &str, profile: &str, seats: u16) -> Result<Table, Failure> {
    let mut text = format!(
        r#"
name = {name}
profile = {profile}
rates = [
    {{ rate_id = 1, medium = "ball", name = "4-yen ball", lend_units = 125, lend_yen = 500, payout_step = 125, max_units = 250000 }},
    {{ rate_id = 2, medium = "ball", name = "1-yen ball", lend_units = 200, lend_yen = 200, payout_step = 200, max_units = 250000 }},
    {{ rate_id = 3, medium = "medal", name = "20-yen medal", lend_units = 47, lend_yen = 1000, payout_step = 47, max_units = 50000 }},
]
staff = [{{ staff_id = "{MANAGER}", name = "Manager", role = "manager" }}]
terminals = [
    {{ terminal_id = "office", kind = "analysis", zone = "desk" }},
    {{ terminal_id = "counter", kind = "counter", zone = "desk" }},
    {{ terminal_id = "enrol", kind = "enrol", zone = "desk" }},
"#,
        name = Value::from(name),
        profile = Value::from(profile),
    );
    for no in 1..=seats {
        let _ = writeln!(text, r#"    {{ terminal_id = "seat-{no}", kind = "seat", zone = "floor", machine_no = "{no}" }},"#);
    }
    text.push_str("]\n");
    text.parse().map_err(|e| Failure::failed(format!("the built-in site: {e}")))
}

fn read(file: &Path) -> Result<Table, Failure> {
    let bad = |reason: String| Failure::usage(format!("--site-file: {}: {reason}", file.display()));
    let len = std::fs::metadata(file).map_err(|e| bad(e.to_string()))?.len();
    if len > FILE_BYTES_MAX {
        return Err(bad(format!("has {len} bytes, at most {FILE_BYTES_MAX} are read")));
    }
    let text = std::fs::read_to_string(file).map_err(|e| bad(e.to_string()))?;
    text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        bad(format!("line {line}: {}", e.message().replace('\n', " ")))
    })
}

fn draw_keys(site: &mut Table) -> Result<Vec<TerminalKey>, Bad> {
    let mut keys = Vec::new();
    for terminal in entries(site, "terminals").filter(|terminal| !terminal.contains_key("key_hash")) {
        let key = drawn::<32>()?;
        terminal.insert("key_hash".into(), hex(blake3::hash(key.as_bytes()).as_bytes()).into());
        keys.push(TerminalKey { terminal_id: text(terminal, "terminal_id"), kind: text(terminal, "kind"), key });
    }
    Ok(keys)
}

fn draw_passwords(site: &mut Table, secrets: &Secrets) -> Result<Vec<(String, String)>, Bad> {
    let mut passwords = Vec::new();
    for (place, member) in entries(site, "staff").enumerate() {
        let bad = |reason: String| Bad { field: format!("staff[{place}].password_hash"), reason };
        if member.contains_key("password_hash") {
            return Err(bad("depends on the pair's secret, which is only now drawn: leave it out".into()));
        }
        let (staff_id, password) = (text(member, "staff_id"), drawn::<12>()?);
        let hash = secrets.password_hash(&staff_id, &password).map_err(|e| bad(e.to_string()))?;
        member.insert("password_hash".into(), hex(&hash).into());
        passwords.push((staff_id, password));
    }
    Ok(passwords)
}

/// `password.txt` holds the first one, and whoever has it must be able to open the day.
fn opener_first(definition: &SiteDefinition, mut passwords: Vec<(String, String)>) -> Vec<(String, String)> {
    let role_of = |id: &str| definition.staff.iter().find(|staff| staff.staff_id.as_str() == id).map(|staff| staff.role);
    passwords.sort_by_key(|(staff_id, _)| {
        let opens = matches!(role_of(staff_id), Some(StaffRole::Manager | StaffRole::Supervisor));
        (!opens, staff_id != MANAGER)
    });
    passwords
}

/// The tables of a list; what is no list of tables is refused when the site is read as a whole.
fn entries<'a>(site: &'a mut Table, list: &str) -> impl Iterator<Item = &'a mut Table> {
    site.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_table_mut)
}

fn text(table: &Table, field: &str) -> String {
    table.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn drawn<const BYTES: usize>() -> Result<String, Bad> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|e| Bad { field: "random numbers".into(), reason: e.to_string() })?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
