//! Makes the files of a new pair: everything is drawn and checked in memory first, and a failure leaves nothing behind.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::Plan;
use super::site::{self, DrawnSite};
use crate::cli::Failure;
use crate::journal::{self, CoordinationFile, Directory, Journal, Limits};
use crate::layout::{Layout, WitnessKeys, ledger_secrets};
use crate::ledger::genesis;
use crate::ledger::rows::Row;
use crate::model::{
    CommandId, CommandRecord, Coordination, DataId, Entry, Epoch, Holder, Position, Register, Response, ServerId, SharedEntry,
    Status, TerminalId,
};
use crate::wire::first_register::sign_register;
use crate::wire::identity::{PairSecret, write_secret};
use crate::wire::pki::{CertificateRole, Issued, PairAuthority};

/// Whose command the first entry is. No terminal can repeat it: the command id is drawn and printed nowhere but in the journal.
const FIRST_TERMINAL: &str = "init";
const EVERYBODY: u32 = 0o755;
const OWNER: u32 = 0o700;

/// Everything that both servers, the witness and the terminals are given.
struct Pair {
    authority: PairAuthority,
    secret: PairSecret,
    site: DrawnSite,
    register: Register,
    /// Signed once, so that both servers bring the witness the same text.
    first_register: String,
    first_entry: SharedEntry<Row>,
}

/// Writes all files of the pair and names them, in order.
pub(super) fn write(plan: &Plan) -> Result<Vec<PathBuf>, Failure> {
    let roots = roots(plan);
    roots.iter().try_for_each(|root| must_be_new(root))?;
    let pair = Pair::draw(plan)?;
    let mut out = Out { written: Vec::new() };
    match pair.write(plan, &mut out) {
        Ok(()) => Ok(out.written),
        Err(failure) => {
            // They did not exist or were empty; half a pair is worth nothing, and keys should not lie about.
            roots.iter().for_each(|root| drop(fs::remove_dir_all(root)));
            Err(failure)
        }
    }
}

/// The directories that will be `init`'s alone.
fn roots(plan: &Plan) -> Vec<PathBuf> {
    let data = [0, 1].map(|index| plan.layout(index).data().to_owned());
    let elsewhere = data.into_iter().filter(|data| !data.starts_with(&plan.out));
    std::iter::once(plan.out.clone()).chain(elsewhere).collect()
}

fn must_be_new(root: &Path) -> Result<(), Failure> {
    let refuse = |reason: &dyn Display| Err(Failure::usage(format!("{}: {reason}", root.display())));
    match fs::read_dir(root).map(|mut entries| entries.next().is_none()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => refuse(&e),
        Ok(true) => Ok(()),
        Ok(false) => refuse(&"is not empty; init writes into a new directory only"),
    }
}

impl Pair {
    fn draw(plan: &Plan) -> Result<Self, Failure> {
        let authority = PairAuthority::create().map_err(failed("cannot make the pair's authority"))?;
        let secret = PairSecret::draw().map_err(failed("cannot draw the pair's secret"))?;
        let site = site::draw(&plan.site, &ledger_secrets(&secret))?;
        let first_entry = first_entry(&site)?;
        let register = Register {
            epoch: Epoch(1),
            holder: Holder::Pair { main: ServerId::A },
            data_ids: [DataId(random()?), DataId(random()?)],
            recorded: Position::GENESIS,
        };
        let first_register = sign_register(&authority, &register).map_err(failed("cannot sign the first register"))?;
        Ok(Self { authority, secret, site, register, first_register, first_entry })
    }

    fn write(&self, plan: &Plan, out: &mut Out) -> Result<(), Failure> {
        out.directory(&plan.out, EVERYBODY)?;
        out.plain(&plan.out.join("ca.pem"), self.authority.certificate_pem())?;
        self.write_authority(&plan.out.join("ca"), out)?;
        for server in [ServerId::A, ServerId::B] {
            self.write_server(server, plan, out)?;
        }
        self.write_witness(&plan.out.join("witness"), out)?;
        self.write_site(&plan.out, out)?;
        sync_directory(&plan.out)
    }

    fn write_authority(&self, directory: &Path, out: &mut Out) -> Result<(), Failure> {
        out.directory(directory, OWNER)?;
        out.plain(&directory.join("ca.pem"), self.authority.certificate_pem())?;
        out.secret(&directory.join("ca.key"), self.authority.key_pem())?;
        sync_directory(directory)
    }

    fn write_server(&self, server: ServerId, plan: &Plan, out: &mut Out) -> Result<(), Failure> {
        let (index, layout) = (server.index(), plan.layout(server.index()));
        out.directory(&plan.out.join(&plan.servers[index].name), EVERYBODY)?;
        self.write_keys(server, &layout, &plan.terminal_addresses(index), out)?;
        self.write_data(server, &layout, out)?;
        // Last: a server without its configuration cannot be started by mistake. It may hold a database's password.
        out.secret(&plan.config_file(index), &plan.configs[index].0)
    }

    fn write_keys(&self, server: ServerId, layout: &Layout, seen_at: &[std::net::IpAddr], out: &mut Out) -> Result<(), Failure> {
        out.directory(layout.keys(), OWNER)?;
        out.plain(&layout.authority(), self.authority.certificate_pem())?;
        out.issued(&layout.server_pem(), &self.issue(CertificateRole::Server(server), &[])?)?;
        out.issued(&layout.terminal_pem(), &self.issue(CertificateRole::Terminal, seen_at)?)?;
        out.made(&layout.secret(), self.secret.save(&layout.secret()))?;
        out.plain(&layout.first_register(), &self.first_register)?;
        sync_directory(layout.keys())
    }

    fn write_data(&self, server: ServerId, layout: &Layout, out: &mut Out) -> Result<(), Failure> {
        for directory in [layout.data().to_owned(), layout.journal(), layout.coordination(), layout.lost_and_found()] {
            out.directory(&directory, OWNER)?;
        }
        let cannot = |e| Failure::failed(format!("{e}"));
        let data_id = self.register.data_ids[server.index()];
        let files = Directory::open(layout.journal()).map_err(cannot)?;
        let (mut journal, _) = Journal::open(files, Limits::default(), data_id).map_err(cannot)?;
        journal.append(std::slice::from_ref(&self.first_entry)).map_err(cannot)?;
        journal.sync().map_err(cannot)?;
        let files = Directory::open(layout.coordination()).map_err(cannot)?;
        CoordinationFile::create(files, Coordination::first(server, &self.register)).map_err(cannot)?;
        out.written.extend([layout.journal(), layout.coordination()]);
        sync_directory(layout.data())
    }

    fn write_witness(&self, directory: &Path, out: &mut Out) -> Result<(), Failure> {
        let keys = WitnessKeys(directory.join("keys"));
        out.directory(directory, EVERYBODY)?;
        out.directory(&directory.join("data"), OWNER)?;
        out.directory(&keys.0, OWNER)?;
        out.plain(&keys.authority(), self.authority.certificate_pem())?;
        out.issued(&keys.pem(), &self.issue(CertificateRole::Witness, &[])?)?;
        sync_directory(&keys.0)
    }

    fn write_site(&self, directory: &Path, out: &mut Out) -> Result<(), Failure> {
        let keys = self.site.keys.iter().map(|row| [&*row.terminal_id, &*row.kind, &*row.key]);
        out.table(&directory.join("terminals.csv"), ["terminal_id", "kind", "key"], keys)?;
        if let Some((_, password)) = self.site.passwords.first() {
            out.secret(&directory.join("password.txt"), format!("{password}\n"))?;
        }
        if self.site.passwords.len() > 1 {
            let staff = self.site.passwords.iter().map(|(staff_id, password)| [&**staff_id, &**password]);
            out.table(&directory.join("staff.csv"), ["staff_id", "password"], staff)?;
        }
        Ok(())
    }

    fn issue(&self, role: CertificateRole, addresses: &[std::net::IpAddr]) -> Result<Issued, Failure> {
        self.authority.issue(role, addresses).map_err(failed("cannot issue a certificate"))
    }
}

/// Entry number one, the same on both servers: from here on their journals can be compared.
fn first_entry(site: &DrawnSite) -> Result<SharedEntry<Row>, Failure> {
    let images = genesis(&site.definition).map_err(|bad| Failure::usage(format!("{}: {}", bad.field, bad.reason)))?;
    let nothing = String::new;
    let done = Response { status: Status::Ok, code: nothing(), text_ja: nothing(), text_en: nothing(), body: "{}".into() };
    let record = CommandRecord {
        terminal_id: TerminalId(FIRST_TERMINAL.into()),
        command_id: CommandId(random()?),
        body_hash: [0; 16],
        day: None,
        response: postcard::to_stdvec(&done).map_err(failed("cannot encode the first entry"))?,
    };
    let sealed = journal::seal(&Position::GENESIS, Epoch(1), Entry { images, record });
    sealed.map(Arc::new).map_err(|e| Failure::usage(format!("this site does not fit the first entry: {e}")))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Failure> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(failed("cannot draw random numbers"))?;
    Ok(bytes)
}

/// Notes every file that it makes.
struct Out {
    written: Vec<PathBuf>,
}

impl Out {
    fn directory(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|e| cannot_write(path, &e))
    }

    fn plain(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o644);
        let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        self.made(path, written)
    }

    fn secret(&mut self, path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.made(path, write_secret(path, bytes.as_ref()))
    }

    fn issued(&mut self, [certificate, key]: &[PathBuf; 2], issued: &Issued) -> Result<(), Failure> {
        self.plain(certificate, &issued.certificate_pem)?;
        self.secret(key, &issued.key_pem)
    }

    fn table<'a, const N: usize>(
        &mut self,
        path: &Path,
        head: [&'a str; N],
        rows: impl Iterator<Item = [&'a str; N]>,
    ) -> Result<(), Failure> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let encoded = std::iter::once(head).chain(rows).try_for_each(|row| csv.write_record(row));
        encoded.map_err(failed("cannot encode a table"))?;
        self.secret(path, csv.into_inner().map_err(failed("cannot encode a table"))?)
    }

    fn made(&mut self, path: &Path, written: io::Result<()>) -> Result<(), Failure> {
        written.map_err(|e| cannot_write(path, &e))?;
        self.written.push(path.to_owned());
        Ok(())
    }
}

/// A pair that was told to start must not have lost a key to a power cut.
fn sync_directory(path: &Path) -> Result<(), Failure> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|e| cannot_write(path, &e))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}

fn failed<E: Display>(doing: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::failed(format!("{doing}: {error}"))
}
