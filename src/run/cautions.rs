//! What is no reason to refuse a start, and what a person should know all the same: one warning line each.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::net::if_::if_nametoindex;
use slog::{Logger, warn};

use crate::config::{Addresses, Config};
use crate::journal::CoordinationFile;
use crate::layout::Layout;
use crate::model::Sequence;
use crate::store::Place;

/// What `duplex init` wrote: a journal that holds no more has a store still to be made.
const FIRST_ENTRY: Sequence = Sequence(1);

/// Of the files and addresses that the configuration names.
pub(super) fn tell(config: &Config, layout: &Layout, log: &Logger) {
    for (key, address) in absent_addresses(config) {
        warn!(log, "no interface of this box has this address yet"; "key" => key, "address" => address.to_string());
    }
    if let Addresses::Alias { interface, .. } = &config.addresses
        && if_nametoindex(interface.as_str()).is_err()
    {
        warn!(log, "this box has no such interface yet: it can hold no service address";
            "key" => "addresses.interface", "interface" => interface);
    }
    for path in open_to_others(layout) {
        warn!(log, "others than its owner may read this; take their rights away"; "path" => path.display().to_string());
    }
}

/// It costs nothing, once: a disk on which this comes again is going bad.
pub(super) fn tell_of_a_bad_slot(notes: &CoordinationFile, log: &Logger) {
    if let Some(slot) = notes.bad_slot() {
        warn!(log, "one of the coordination file's two slots could not be read: a power cut tore its last write, or the disk damaged it; \
                nothing is lost, the other slot was whole, and both are written anew";
            "file" => notes.path().display().to_string(), "slot" => slot + 1);
    }
}

/// To be called before the store is opened: a file that is missing is made by that.
pub(super) fn tell_of_a_missing_store(config: &Config, journal_end: Sequence, log: &Logger) {
    if let Ok(Place::Sqlite(file)) = Place::parse(&config.store.url)
        && journal_end > FIRST_ENTRY
        && matches!(file.try_exists(), Ok(false))
    {
        warn!(log, "the store is not there; it is made anew and filled again from the journal";
            "file" => file.display().to_string(), "entries" => journal_end.0);
    }
}

/// Addresses to listen at that are no interface's. Sockets are bound to them all the same (an interface may come late), so that
/// nothing else would tell of a mistyped one.
fn absent_addresses(config: &Config) -> Vec<(String, IpAddr)> {
    let heartbeats = config.peer.heartbeats.iter().enumerate();
    let heartbeats = heartbeats.map(|(n, path)| (format!("peer.heartbeats[{n}].local"), path.local));
    let listened =
        [("peer.listen", config.peer.listen), ("terminals.listen", config.terminals.listen), ("http.listen", config.http.listen)];
    let all = listened.map(|(key, address)| (key.to_owned(), address)).into_iter().chain(heartbeats);
    all.map(|(key, address)| (key, address.ip())).filter(|(_, ip)| is_absent(*ip)).collect()
}

fn is_absent(ip: IpAddr) -> bool {
    // Without `IP_FREEBIND` the kernel says whose address it is; every box has the unspecified one.
    UdpSocket::bind((ip, 0)).is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

/// Secrets, and what holds names, telephone numbers and PIN hashes.
fn open_to_others(layout: &Layout) -> Vec<PathBuf> {
    let [_, server_key] = layout.server_pem();
    let [_, terminal_key] = layout.terminal_pem();
    let private = [layout.secret(), server_key, terminal_key, layout.data().to_owned()];
    private.into_iter().filter(|path| is_open(path)).collect()
}

fn is_open(path: &Path) -> bool {
    const OTHERS: u32 = 0o077;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn an_address_of_no_interface_is_absent_and_the_unspecified_ones_never_are() {
        // 203.0.113.0/24 is for documentation: no box has it.
        let absent = |ip: &str| is_absent(ip.parse().unwrap());
        assert_eq!([absent("203.0.113.9"), absent("127.0.0.1"), absent("0.0.0.0")], [true, false, false]);
    }

    #[test]
    fn what_others_may_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().join("data"), directory.path());
        for (path, mode) in [(layout.secret(), 0o640), (layout.server_pem()[1].clone(), 0o600)] {
            fs::write(&path, "secret").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(open_to_others(&layout), [layout.secret()]);
    }
}
