//! A laboratory: boxes on one network segment, each in a network namespace of its own. Needs root and iproute2; fails
//! loudly without them.
#![allow(dead_code, reason = "each test binary uses its own part of the laboratory")]

use std::{
    fs::File,
    io::{ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    panic::resume_unwind,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, CpuSet, sched_getcpu, sched_setaffinity, setns},
    unistd::Pid,
};

/// What every box calls its interface on the segment.
pub const INTERFACE: &str = "eth0";
/// What two joined boxes call the cable between them.
pub const DIRECT: &str = "direct";
/// The first box has 10.77.0.11 and 02:00:00:00:00:0b, the next one more; what is below is free for service addresses.
const FIRST_HOST: u8 = 11;

/// For an answer that takes microseconds on an idle machine.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

static LABS: AtomicU32 = AtomicU32::new(0);

/// Boxes joined by a switch. Everything is removed when it is dropped, also by a panic.
pub struct Lab {
    /// Names the bridge's own namespace, so that nothing is seen of the laboratory on the machine itself.
    switch: String,
    boxes: Vec<LabBox>,
}

/// One machine of the laboratory.
pub struct LabBox {
    name: String,
    pub namespace: String,
    /// Its fixed address, within a /24.
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
}

impl Lab {
    /// A segment with a box of each name, up and running. Names are at most 12 letters long.
    pub fn new(names: &[&str]) -> Self {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let namespace = |name: &str| format!("duplex{}-{number}-{name}", std::process::id());
        let mut lab = Self { switch: namespace("switch"), boxes: Vec::new() };
        add_namespace(&lab.switch);
        ip_batch(&lab.switch, "link add br0 type bridge forward_delay 0\nlink set br0 up");
        for (name, host) in names.iter().zip(FIRST_HOST..) {
            let address = Ipv4Addr::new(10, 77, 0, host);
            lab.boxes.push(LabBox { name: (*name).to_owned(), namespace: namespace(name), address, mac: [2, 0, 0, 0, 0, host] });
            lab.boxes[lab.boxes.len() - 1].build(&lab.switch);
        }
        lab
    }

    /// The box of that name.
    pub fn machine(&self, name: &str) -> &LabBox {
        self.boxes.iter().find(|machine| machine.name == name).expect("the laboratory has a box of that name")
    }

    /// Pulls a box's cable out of the switch, or puts it in again.
    pub fn plug(&self, name: &str, in_switch: bool) {
        let state = if in_switch { "up" } else { "down" };
        ip_batch(&self.switch, &format!("link set to-{name} {state}"));
    }

    /// What a switch does with the port of a box that was just plugged in, until its spanning tree is sure: the cable is alive, and
    /// nothing passes.
    pub fn let_through(&self, name: &str, passes: bool) {
        let state = if passes { 3 } else { 1 };
        ip_batch(&self.switch, &format!("link set to-{name} type bridge_slave state {state}"));
    }

    /// A second cable, from box to box: `direct` in both, with their addresses in 10.78.0.0/24.
    pub fn join(&self, one: &str, other: &str) {
        let [one, other] = [one, other].map(|name| self.machine(name));
        let cable = format!("link add {DIRECT} type veth peer name {DIRECT} netns {}", other.namespace);
        ip_batch(&one.namespace, &cable);
        for machine in [one, other] {
            let address = machine.direct_address();
            ip_batch(&machine.namespace, &format!("address add {address}/24 dev {DIRECT}\nlink set {DIRECT} up"));
        }
    }

    /// Takes the box's interface away and gives it a new one of the same name.
    pub fn replace_interface(&self, name: &str) {
        self.machine(name).ip(&format!("link delete {INTERFACE}"));
        self.machine(name).connect(&self.switch);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let boxes = self.boxes.iter().map(|machine| &machine.namespace);
        for namespace in boxes.chain([&self.switch]) {
            // A panic here would hide the reason of the one that is under way.
            if let Err(error) = run(Command::new("ip").args(["netns", "delete", namespace]), "") {
                eprintln!("{error}");
            }
        }
    }
}

impl LabBox {
    /// Its address on a cable to another box.
    pub fn direct_address(&self) -> Ipv4Addr {
        let [.., host] = self.address.octets();
        Ipv4Addr::new(10, 78, 0, host)
    }

    /// Its fixed address of IPv6, which it has once [`Self::add_ipv6`] was called.
    pub fn ipv6(&self) -> Ipv6Addr {
        let [.., host] = self.address.octets();
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host.into())
    }

    pub fn add_ipv6(&self) {
        self.ip(&format!("address add {}/64 dev {INTERFACE} nodad", self.ipv6()));
    }

    /// Runs `work` on a new thread inside the box, and waits for it; a panic there is one here.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(&self.namespace, work)
    }

    /// Runs asynchronous `work` on a new thread inside the box, with a tokio runtime of its own, and waits for it.
    pub fn run<T: Send, F: Future<Output = T>>(&self, work: impl FnOnce() -> F + Send) -> T {
        self.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { work().await })
        })
    }

    /// A program that will run inside the box.
    pub fn command(&self, program: &str) -> Command {
        command_in(&self.namespace, program)
    }

    /// What `ip` prints inside the box; arguments are separated by blanks.
    pub fn ip(&self, arguments: &str) -> String {
        run(self.command("ip").args(arguments.split(' ')), "").unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes the box learn who has `address`: its owner refuses a connection that nobody listens for.
    pub fn talk_to(&self, address: impl Into<IpAddr>) {
        let discard = SocketAddr::from((address.into(), 9));
        let refused = self.enter(|| TcpStream::connect_timeout(&discard, ANSWER_WAIT)).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "nobody has {discard}");
    }

    /// The box's neighbour entry for `address`, as `ip` prints it.
    pub fn neighbour(&self, address: impl Into<IpAddr>) -> String {
        self.ip(&format!("neigh show {}", address.into()))
    }

    fn build(&self, switch: &str) {
        add_namespace(&self.namespace);
        ip_batch(&self.namespace, "link set lo up");
        self.connect(switch);
    }

    fn connect(&self, switch: &str) {
        let Self { name, namespace, address, mac: [.., host] } = self;
        let cable = format!("link add to-{name} type veth peer name {INTERFACE} netns {namespace}");
        ip_batch(switch, &format!("{cable}\nlink set to-{name} master br0\nlink set to-{name} up"));
        let settings =
            format!("link set {INTERFACE} address 02:00:00:00:00:{host:02x}\naddress add {address}/24 dev {INTERFACE}");
        ip_batch(namespace, &format!("{settings}\nlink set {INTERFACE} up"));
    }
}

/// Runs `work` on a new thread inside a network namespace, and waits for it; a panic there is one here.
pub fn in_namespace<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let enter_and_work = || {
        let entrance = File::open(format!("/run/netns/{namespace}")).expect("the namespace exists");
        setns(entrance, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
        work()
    };
    thread::scope(|scope| scope.spawn(enter_and_work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

/// A program that will run inside a network namespace. `ip` replaces itself by it, so signals to the child reach it.
pub fn command_in(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

/// Keeps the calling thread where it is now, and with it what the kernel does there on its behalf.
pub fn stay_on_one_processor() {
    let mut here = CpuSet::new();
    here.set(sched_getcpu().expect("the thread is somewhere")).expect("the set is large enough");
    sched_setaffinity(Pid::from_raw(0), &here).expect("a thread may stay where it is");
}

fn add_namespace(namespace: &str) {
    run(Command::new("ip").args(["netns", "add", namespace]), "").unwrap_or_else(|error| panic!("{error}"));
}

fn ip_batch(namespace: &str, lines: &str) {
    run(Command::new("ip").args(["-n", namespace, "-batch", "-"]), lines).unwrap_or_else(|error| panic!("{error}"));
}

/// What the program prints; an error names the command and what it complained about.
fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let words = format!("{command:?} {input:?}");
    let explain = |error| format!("{words}: {error}");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(explain)?;
    // Dropped at once, so that the program sees the end of its input.
    child.stdin.take().expect("it was piped").write_all(input.as_bytes()).map_err(explain)?;
    let output = child.wait_with_output().map_err(explain)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{words}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
