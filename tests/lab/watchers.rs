//! What goes on in the client's box while the servers suffer: an analysis client's questions, and every ARP frame.

use std::{
    io::{BufRead, BufReader, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use duplex::{
    cli::{history::now_us, init::HTTP_PORT},
    network::{ArpFrame, ArpPort, NetworkError, Segment, Sighting},
};

use serde_json::Value;

use crate::{
    netns::{INTERFACE, LabBox, in_namespace},
    pair::TERMINAL_PORT,
};

/// Longer than any answer of a server that is there.
const ANSWER_WAIT: Duration = Duration::from_millis(250);
/// Between two questions.
const PACE: Duration = Duration::from_millis(10);

/// Something that watches in the client's box until it is asked what it saw.
pub struct Watcher<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Watcher<T> {
    fn start(client: &LabBox, watch: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Self {
        let (stop, namespace) = (Arc::new(AtomicBool::new(false)), client.namespace.clone());
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || in_namespace(&namespace, || watch(&told)));
        Self { stop, thread }
    }

    pub fn finish(self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watcher saw all of it")
    }
}

/// Asks a service address over and over and notes the moment of each answer.
pub fn ask_steadily(client: &LabBox, address: impl Into<IpAddr>) -> Watcher<Vec<u64>> {
    let address = address.into();
    Watcher::start(client, move |stop| {
        let mut answered = Vec::new();
        let mut connection = None;
        while !stop.load(Ordering::Relaxed) {
            if ask(&mut connection, address).is_some() {
                answered.push(now_us());
            } else {
                connection = None;
            }
            thread::sleep(PACE);
        }
        answered
    })
}

/// Any line is an answer; which one, the terminals' own history says.
fn ask(connection: &mut Option<BufReader<TcpStream>>, address: IpAddr) -> Option<()> {
    if connection.is_none() {
        let tcp = TcpStream::connect_timeout(&SocketAddr::from((address, TERMINAL_PORT)), ANSWER_WAIT).ok()?;
        tcp.set_read_timeout(Some(ANSWER_WAIT)).ok()?;
        *connection = Some(BufReader::new(tcp));
    }
    let stream = connection.as_mut()?;
    stream.get_mut().write_all(b"{\"v\":1}\n").ok()?;
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|length| *length > 0).map(drop)
}

/// An HTTP answer to a read.
pub struct Read {
    pub at_us: u64,
    pub status: u16,
    pub body: Value,
}

/// Reads the first members at a service address over and over, as the office, and keeps every answer.
pub fn read_steadily(client: &LabBox, address: Ipv4Addr, key: String) -> Watcher<Vec<Read>> {
    Watcher::start(client, move |stop| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_WAIT));
        let agent: ureq::Agent = config.build().into();
        let mut reads = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let request = agent.get(format!("http://{address}:{HTTP_PORT}/api/v1/members?limit=5"));
            let answer = request.header("X-Duplex-Terminal", "office").header("X-Duplex-Key", &key).call();
            if let Some((status, body)) = answer.ok().and_then(whole) {
                let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
                reads.push(Read { at_us: now_us(), status, body });
            }
            thread::sleep(PACE);
        }
        reads
    })
}

/// `None` if the server went away in the middle of it.
fn whole(mut answer: ureq::http::Response<ureq::Body>) -> Option<(u16, String)> {
    Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
}

/// Every ARP frame that reaches the client, with its moment.
pub fn hear_arp(client: &LabBox) -> Watcher<Vec<(u64, ArpFrame)>> {
    hear(client, || ArpPort::open(INTERFACE), async |port| port.next().await)
}

/// What reaches the client of those who say that an address is theirs, in either kind, with its moment.
pub fn hear_claims(client: &LabBox, addresses: [IpAddr; 2]) -> Watcher<Vec<(u64, Sighting)>> {
    hear(client, move || Segment::open(INTERFACE, &addresses), async |segment| segment.next().await)
}

fn hear<P, F: Send + 'static>(
    client: &LabBox,
    open: impl FnOnce() -> Result<P, NetworkError> + Send + 'static,
    next: impl AsyncFn(&P) -> Result<F, NetworkError> + Send + 'static,
) -> Watcher<Vec<(u64, F)>> {
    let (is_listening, listening) = mpsc::channel();
    let watcher = Watcher::start(client, move |stop| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let port = open().expect("the observer's port opens");
            is_listening.send(()).expect("somebody waits for it");
            let mut heard = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if let Ok(frame) = tokio::time::timeout(ANSWER_WAIT, next(&port)).await {
                    heard.push((now_us(), frame.expect("it hears")));
                }
            }
            heard
        })
    });
    listening.recv().expect("the observer listens");
    watcher
}

/// Milliseconds between the two neighbouring moments that are furthest apart.
pub fn longest_gap_ms(moments: &[u64]) -> u64 {
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX) / 1_000
}
