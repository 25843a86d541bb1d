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

/// Whether a machine's cable is in the switch. Called by the process that built the boxes: the cables' ends are in its network.
pub(in crate::cli) fn plug(machine: Machine, in_switch: bool) -> Result<(), NoBoxes> {
    let state = if in_switch { "up" } else { "down" };
    ip(&format!("link set {} {state}", cable_of(machine)))
}

fn cable_of(machine: Machine) -> String {
    format!("cable{}", machine.number())
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
    let (name, address) = (machine.name(), boxes.address(machine));
    let cable = cable_of(machine);
    let steps = [
        format!("netns add {name}"),
        format!("link add {cable} type veth peer name {INTERFACE} netns {name}"),
        format!("link set {cable} master {BRIDGE} up"),
        format!("-n {name} link set lo up"),
        format!("-n {name} address add {address}/24 dev {INTERFACE}"),
        format!("-n {name} link set {INTERFACE} up"),
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
