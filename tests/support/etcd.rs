//! A real etcd cluster of the test's own, of Debian's etcd-server: directories of its own, ports of one machine, killed when dropped.
#![allow(dead_code, reason = "each test binary uses its own part of a cluster")]

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// PEM files with which members prove themselves to clients, and clients to them.
pub struct Tls {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub struct Cluster {
    members: Vec<Member>,
    directory: TempDir,
}

struct Member {
    arguments: Vec<String>,
    client: SocketAddr,
    process: Option<Child>,
}

impl Cluster {
    /// Members on loopback, at ports that were free a moment ago.
    pub fn on_loopback(size: usize, tls: Option<&Tls>) -> Self {
        let free: Vec<TcpListener> = (0..2 * size).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let ports = free.iter().map(|port| port.local_addr().expect("it is bound").port()).collect();
        drop(free);
        Self::at(IpAddr::from([127, 0, 0, 1]), ports, tls, &|| Command::new("etcd"))
    }

    /// Members of one machine: `ports` are those for clients, then those for each other. `program` starts etcd there.
    pub fn at(machine: IpAddr, ports: Vec<u16>, tls: Option<&Tls>, program: &dyn Fn() -> Command) -> Self {
        let directory = tempfile::tempdir().expect("there is room for files");
        let size = ports.len() / 2;
        let address = |at: usize| SocketAddr::new(machine, ports[at]);
        let peers: Vec<String> = (0..size).map(|at| format!("m{at}=http://{}", address(size + at))).collect();
        let member = |at: usize| Member {
            arguments: arguments(at, directory.path(), address(at), address(size + at), &peers.join(","), tls),
            client: address(at),
            process: None,
        };
        let mut cluster = Self { members: (0..size).map(member).collect(), directory };
        (0..size).for_each(|at| cluster.start(at, program));
        cluster
    }

    pub fn clients(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.client).collect()
    }

    /// Starts a member, also again after it was killed.
    pub fn start(&mut self, at: usize, program: &dyn Fn() -> Command) {
        let file = self.directory.path().join(format!("m{at}.log"));
        let log = File::options().append(true).create(true).open(&file).expect("there is room for files");
        let mut command = program();
        command.args(&self.members[at].arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.members[at].process = Some(command.spawn().expect("Debian's etcd-server is installed (./test installs it)"));
    }

    /// SIGKILL, and its end waited for.
    pub fn kill(&mut self, at: usize) {
        if let Some(mut process) = self.members[at].process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn signal(&self, at: usize, signal: Signal) {
        let process = self.members[at].process.as_ref().expect("it runs");
        kill(Pid::from_raw(process.id() as i32), signal).expect("it is our child");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|at| self.kill(at));
    }
}

fn arguments(at: usize, directory: &Path, client: SocketAddr, peer: SocketAddr, all: &str, tls: Option<&Tls>) -> Vec<String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (client, peer) = (format!("{scheme}://{client}"), format!("http://{peer}"));
    let data = directory.join(format!("m{at}"));
    let text = |path: &Path| path.to_str().expect("a path of letters").to_owned();
    let mut arguments: Vec<String> = Vec::new();
    let mut set = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    set("name", format!("m{at}"));
    set("data-dir", text(&data));
    set("listen-client-urls", client.clone());
    set("advertise-client-urls", client);
    set("listen-peer-urls", peer.clone());
    set("initial-advertise-peer-urls", peer);
    set("initial-cluster", all.to_owned());
    // Its id follows from it: no two clusters of these tests are one.
    set("initial-cluster-token", text(directory));
    // A leader that was killed is replaced within a fraction of a second.
    set("heartbeat-interval", "50".into());
    set("election-timeout", "500".into());
    if let Some(tls) = tls {
        set("cert-file", text(&tls.certificate));
        set("key-file", text(&tls.key));
        set("trusted-ca-file", text(&tls.authority));
        arguments.push("--client-cert-auth".into());
    }
    arguments
}
