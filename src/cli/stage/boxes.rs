//! The machines of a stage: namespaces with cables between them, or addresses of the loopback network.
//!
//! Everything is made inside namespaces of this process alone, so the kernel removes it with the last process that lives in it:
//! nothing to clean up after an error, Ctrl-C, a panic or SIGKILL.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command as Blocking;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};
use serde::{Deserialize, Serialize};

/// Why there are no namespaces, for the user.
#[derive(Debug)]
pub(in crate::cli) struct NoBoxes(pub(in crate::cli) String);

/// A machine of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Machine {
    ServerA,
    ServerB,
    Witness,
    Terminals,
}

impl Machine {
    pub(in crate::cli) const ALL: [Self; 4] = [Self::ServerA, Self::ServerB, Self::Witness, Self::Terminals];
    pub(in crate::cli) const SERVERS: [Self; 2] = [Self::ServerA, Self::ServerB];

    /// Name of the server, of its namespace and of its log.
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::ServerA => "hall-a",
            Self::ServerB => "hall-b",
            Self::Witness => "witness",
            Self::Terminals => "terminals",
        }
    }

    /// Of a server: its peer.
    pub(in crate::cli) fn other(self) -> Self {
        if self == Self::ServerA { Self::ServerB } else { Self::ServerA }
    }

    fn number(self) -> u8 {
        self as u8 + 1
    }
}

/// A way between the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum Path {
    /// Through the switch, as everybody else.
    Lan,
    /// A cable of their own, where the stage has one.
    Direct,
}

/// Where the machines are.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Boxes {
    Namespaces,
    /// Own addresses are 127.x.y.1 and so on, so that several demos and whatever else listens here do not meet.
    Loopback {
        net: [u8; 2],
    },
}

/// A network of documentation and tests only (RFC 2544), so that it hides nothing that a person wants to reach.
const NET: [u8; 3] = [198, 18, 77];
pub(in crate::cli) const INTERFACE: &str = "eth0";
const BRIDGE: &str = "duplex0";
/// The same for the cable that joins the two servers.
const DIRECT_NET: [u8; 3] = [198, 18, 78];
const DIRECT_INTERFACE: &str = "direct";
/// In the middle of that cable, so that either end can lose it without being touched.
const DIRECT_BRIDGE: &str = "duplex1";

impl Boxes {
    /// Moves this process, which must have one thread, into namespaces of its own, and builds the machines there.
    pub(in crate::cli) fn in_namespaces() -> Result<Self, NoBoxes> {
        enter()?;
        let setup = [
            "link set lo up".to_owned(),
            format!("link add {BRIDGE} type bridge"),
            format!("address add {}/24 dev {BRIDGE}", Ipv4Addr::new(NET[0], NET[1], NET[2], 254)),
            format!("link set {BRIDGE} up"),
        ];
        setup.iter().try_for_each(|line| ip(line))?;
        Machine::ALL.into_iter().try_for_each(|machine| add(machine, &Self::Namespaces))?;
        Ok(Self::Namespaces)
    }

    pub(in crate::cli) fn on_loopback() -> Self {
        let own = std::process::id();
        // 127.0.x.y belongs to everybody; any other part of the network is as good as another.
        Self::Loopback { net: [1 + (own % 250) as u8, (own / 250 % 250) as u8] }
    }

    pub(in crate::cli) fn is_loopback(&self) -> bool {
        matches!(self, Self::Loopback { .. })
    }

    /// The machine's own fixed address.
    pub(in crate::cli) fn address(&self, machine: Machine) -> IpAddr {
        let number = machine.number();
        match self {
            Self::Namespaces => Ipv4Addr::new(NET[0], NET[1], NET[2], number).into(),
            Self::Loopback { net } => Ipv4Addr::new(127, net[0], net[1], number).into(),
        }
    }

    /// Main and sub service address, where addresses move.
    pub(in crate::cli) fn service_addresses(&self) -> Option<[Ipv4Addr; 2]> {
        let address = |number| Ipv4Addr::new(NET[0], NET[1], NET[2], number);
        (!self.is_loopback()).then(|| [address(100), address(101)])
    }

    /// A command that will run on `machine`.
    pub(in crate::cli) fn command(&self, machine: Machine, program: &OsStr) -> tokio::process::Command {
        match self {
            Self::Loopback { .. } => tokio::process::Command::new(program),
            Self::Namespaces => {
                let mut command = tokio::process::Command::new("ip");
                command.args(["netns", "exec", machine.name()]).arg(program);
                command
            }
        }
    }
}

/// A server's address on the cable that joins the two.
pub(in crate::cli) fn direct_address(server: Machine) -> IpAddr {
    Ipv4Addr::new(DIRECT_NET[0], DIRECT_NET[1], DIRECT_NET[2], server.number()).into()
}

/// Whether a machine's cable is in. Of the direct one, both servers lose their end. Called by the process that built the boxes: the
/// cables' other ends are in its network.
pub(in crate::cli) fn plug(machine: Machine, path: Path, is_in: bool) -> Result<(), NoBoxes> {
    let state = if is_in { "up" } else { "down" };
    let ends = match path {
        Path::Lan => vec![machine],
        Path::Direct => Machine::SERVERS.to_vec(),
    };
    ends.into_iter().try_for_each(|end| ip(&format!("link set {} {state}", port_of(end, path))))
}

/// The far end of a machine's cable: what it sends comes in there.
pub(super) fn port_of(machine: Machine, path: Path) -> String {
    let cable = match path {
        Path::Lan => "cable",
        Path::Direct => "direct",
    };
    format!("{cable}{}", machine.number())
}

/// Joins the two servers by a cable of their own.
pub(super) fn join() -> Result<(), NoBoxes> {
    ip(&format!("link add {DIRECT_BRIDGE} type bridge"))?;
    ip(&format!("link set {DIRECT_BRIDGE} up"))?;
    Machine::SERVERS.into_iter().try_for_each(|server| {
        let port = port_of(server, Path::Direct);
        connect(server, (&port, DIRECT_BRIDGE), (DIRECT_INTERFACE, direct_address(server)))
    })
}

/// Own network and mounts: as root directly, otherwise (or where root is not trusted that far) in a user namespace of its own.
fn enter() -> Result<(), NoBoxes> {
    let (uid, gid) = (Uid::current(), Gid::current());
    let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    if !(uid.is_root() && unshare(own).is_ok()) {
        unshare(own | CloneFlags::CLONE_NEWUSER).map_err(|e| NoBoxes(format!("unshare: {e}")))?;
        // Writing a group map without privileges needs setgroups denied first (user_namespaces(7)).
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
        write("/proc/self/gid_map", &format!("0 {gid} 1"))?;
    }
    let none: Option<&str> = None;
    let private = mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    private.map_err(|e| NoBoxes(format!("making mounts private: {e}")))?;
    // `ip netns` keeps its names below /run, which is the host's.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).map_err(|e| NoBoxes(format!("mounting /run: {e}")))
}

fn write(file: &str, text: &str) -> Result<(), NoBoxes> {
    fs::write(file, text).map_err(|e| NoBoxes(format!("{file}: {e}")))
}

/// A namespace with one cable into the bridge.
fn add(machine: Machine, boxes: &Boxes) -> Result<(), NoBoxes> {
    let name = machine.name();
    ip(&format!("netns add {name}"))?;
    ip(&format!("-n {name} link set lo up"))?;
    let port = port_of(machine, Path::Lan);
    connect(machine, (&port, BRIDGE), (INTERFACE, boxes.address(machine)))
}

/// A cable from a bridge to an interface of the machine.
fn connect(machine: Machine, (port, bridge): (&str, &str), (interface, address): (&str, IpAddr)) -> Result<(), NoBoxes> {
    let name = machine.name();
    let steps = [
        format!("link add {port} type veth peer name {interface} netns {name}"),
        format!("link set {port} master {bridge} up"),
        format!("-n {name} address add {address}/24 dev {interface}"),
        format!("-n {name} link set {interface} up"),
    ];
    steps.iter().try_for_each(|line| ip(line))
}

fn ip(line: &str) -> Result<(), NoBoxes> {
    let output = Blocking::new("ip").args(line.split(' ')).output().map_err(|e| NoBoxes(format!("ip (iproute2): {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(NoBoxes(format!("ip {line}: {}", said.lines().next().unwrap_or("failed"))))
}
