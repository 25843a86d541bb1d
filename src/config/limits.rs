//! Every limit that is not a setting, with where its number came from.

use std::time::Duration;

/// Fits a host name label and a log column.
pub const SERVER_NAME_LEN_MAX: usize = 32;
/// IFNAMSIZ - 1.
pub const INTERFACE_NAME_LEN_MAX: usize = 15;
/// Of one role: IPv4 and IPv6 in two subnets. A round of announcements tells each neighbour of each address, and eight addresses with
/// 256 neighbours take the thread of the heartbeats some 8 ms.
pub const ADDRESSES_PER_ROLE_MAX: usize = 4;
/// LAN, direct cable, and two to spare.
pub const HEARTBEAT_PATHS_MAX: usize = 4;
/// Beyond this a takeover is no longer something a terminal can wait for (it retries for 60 s).
pub const SILENCE_MS_MAX: u64 = 10_000;

/// Unfinished handshakes at the peer's port, where the peer needs two (life, stream), and at the witness's, where two servers and
/// `witness status` need three. The rest is room for strangers, who stay 2 s at most.
pub const LINK_HANDSHAKES_MAX: usize = 32;
/// The same from one address: on a test machine those three share one, with whatever else knocks from there.
pub const LINK_HANDSHAKES_PER_ADDRESS_MAX: usize = 8;
/// Between two lines of the log about refused connections, of each reason: a flood does not fill it, and is seen to go on.
pub const KNOCK_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Commands admitted and not yet answered, over all sessions. 3,500 terminals with two each, and the storm of a takeover (700).
pub const COMMANDS_IN_FLIGHT_MAX: usize = 8_192;
/// Commands of one session admitted and not yet answered; reading from it stops beyond. One terminal settles one command before the next.
pub const COMMANDS_PER_SESSION_MAX: usize = 256;
/// 3,500 terminals, three times over, and a storm of reconnects.
pub const SESSIONS_MAX: usize = 12_000;
/// TLS handshakes at the same time: each costs about 1 ms of CPU, so 64 keep a core busy for 64 ms at most.
pub const HANDSHAKES_MAX: usize = 64;
/// A connection that has not begun its handshake by then is no terminal of ours.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// A handshake that was begun and takes longer: with 64 at a time it costs 64 ms, and two lost packets 600 ms.
pub const HANDSHAKE_TURN: Duration = Duration::from_secs(2);
/// A terminal heard nothing of for this long is probed: twice the 30 s between its heartbeats.
pub const TERMINAL_IDLE_PROBED: Duration = Duration::from_secs(60);
/// Between two probes, and how many go unanswered before the session ends: 3,500 terminals that a main switch cut off are forgotten
/// two minutes later, long before SESSIONS_MAX.
pub const TERMINAL_PROBE: Duration = Duration::from_secs(15);
pub const TERMINAL_PROBES: u32 = 4;
/// Answers waiting in one session's outbox. A terminal that sends and never reads is closed beyond.
pub const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// How long a command may wait for its answer before it is told `retry`: a takeover takes 0.7 s at worst, twice that and some.
pub const ANSWER_LIMIT_MS: u64 = 2_000;
/// How long a session that has ended is kept for the answers that are still under way.
pub const LAST_ANSWERS: Duration = Duration::from_millis(ANSWER_LIMIT_MS + 500);
/// A switchover that has not got so far that the arbiter is asked, or has asked and heard nothing: a drain takes a few milliseconds, an
/// ask twice the time of a witness's disk; terminals wait no longer for an answer than [`ANSWER_LIMIT_MS`].
pub const SWITCHOVER_LIMIT: Duration = Duration::from_millis(1_500);
/// An order that is not carried out by then is given up by whoever gave it: a switchover that goes wrong ends as a takeover.
pub const ORDER_LIMIT: Duration = Duration::from_secs(10);
/// A person's word that comes while the peer's leases run out, or before its first heartbeat could be there, waits for so long: either is
/// over within two seconds of a start or a loss.
pub const WORD_PATIENCE: Duration = Duration::from_secs(2);
/// A Main that is told to stop gives its role away first, and stops after so long in any case: a service manager waits for longer.
pub const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How often it is looked whether everything is drained.
pub const DRAIN_LOOK: Duration = Duration::from_millis(2);
/// A server that gives its address away accepts nobody for so long, unless it has a role before: a switchover takes a tenth of it.
pub const DISMISS_MS: u64 = 500;
/// How long sessions have for their last bytes before the address may go without them, and how often it is looked.
pub const DISMISS_LIMIT: Duration = Duration::from_millis(50);
pub const DISMISS_LOOK: Duration = Duration::from_millis(1);
/// A sync of the journal is slow from here on: ten times what a disk of the shop takes, and well below the silence that makes a server
/// count as lost (350 ms), which a disk that hangs reaches.
pub const SLOW_SYNC_MS: u64 = 150;
/// So many slow syncs within this time make a slow disk; a cheap one pauses now and then.
pub const SLOW_SYNCS: usize = 3;
pub const SLOW_SYNCS_WITHIN_MS: u64 = 10_000;
/// A store may fail so long before it is a reason to change roles: commands go on meanwhile, 32,768 of them, and a lock ends.
pub const STORE_ILL_MS: u64 = 5_000;
/// The same of cable and addresses, without which nobody is served: a plug that is moved to another port takes a second; and an arbiter
/// that can be reached all the same is heard meanwhile ([`REFRESH_MS`]).
pub const LAN_ILL_MS: u64 = 2_500;
/// Nothing ails a server that has not shown anything for so long; a slow disk shows it at most so often.
pub const WELL_MS: u64 = 2_000;
pub const WELL_DISK_MS: u64 = 30_000;
/// No role changes by illness for so long after one that did, doubled while they go on: roles that flap cost more than an ill Main.
pub const HOLD_MS: u64 = 60_000;
pub const HOLD_MS_MAX: u64 = 3_600_000;
/// An address that the peer was about to announce and did not: nobody is served there any more.
pub const YIELD_LIMIT: Duration = Duration::from_secs(1);
/// How often DataUpdater looks whether somebody has waited too long, while somebody waits.
pub const LATE_LOOK: Duration = Duration::from_millis(100);
/// How long a command over HTTP waits whatever happened to it: the gate's own limit comes first, unless the command was lost.
pub const SUBMITTED_LIMIT: Duration = Duration::from_millis(2 * ANSWER_LIMIT_MS);

/// Entries executed and not yet applied; beyond, admission waits. About one second of the fastest load measured.
pub const UNAPPLIED_ENTRIES_MAX: usize = 32_768;
/// The same in bytes: imports carry 256 rows an entry.
pub const UNAPPLIED_BYTES_MAX: usize = 64 << 20;
/// Entries in one transaction of the applier. Beyond 512 the commit's p99 grows and the throughput hardly (measured: 35,000 to 43,000
/// entries a second with 512).
pub const APPLY_BATCH_MAX: usize = 1_024;
/// Pause between two transactions of the applier, while nobody waits for it. Measured: at 6,000 commands a second, transactions of five
/// entries took a third of both servers' time; reports see a deposit this much later.
pub const APPLY_PAUSE: Duration = Duration::from_millis(10);
/// Nobody waits for the store, so its writer gives way to whatever an answer waits for. 5: a third of another thread's share, which
/// still keeps up at full load on two cores that hold both servers.
pub const APPLIER_NICE: i32 = 5;
/// Heartbeats and leases go before whatever else keeps the processors busy, where the kernel permits it (CAP_SYS_NICE, or root): nine times
/// the share of an ordinary thread, for work of a thousandth of a core.
pub const CONTROL_NICE: i32 = -10;
/// Payload bytes in one transaction of the applier: imports carry up to 100 KB an entry.
pub const APPLY_BATCH_BYTES: usize = 4 << 20;
/// Entries between two small checkpoints of the store's WAL. Measured: each stalls the disk for 13-64 ms; larger ones for up to 570 ms.
pub const CHECKPOINT_EVERY: u64 = 20_000;
/// A batch of commands ends after this, so that what was executed is on its way before a long import is: the length of an ordinary one.
pub const BATCH_TIME_MAX: Duration = Duration::from_millis(2);
/// Bytes of journal that a store which cannot be flushed may hold: a GiB more than is kept anyway. Beyond, admission waits for the store.
pub const JOURNAL_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// How often DataUpdater asks a store again that could not be read, ReplicationApplier one to which nothing is to be applied, and a
/// start one that is not there: before a person has read what status or log say of it.
pub const STORE_LOOK: Duration = Duration::from_secs(1);
/// How long a start waits for a lock that another process has, and how often it looks: a process that was killed gives its locks back
/// within milliseconds, or when its last write to a slow disk is done. Whoever really uses them keeps them for longer.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);
pub const LOCK_LOOK: Duration = Duration::from_millis(50);
/// Bytes of the store's log that a reader may keep from being moved: some minutes of full load. Beyond, applying waits for the reader,
/// and admission for applying.
pub const STORE_LOG_BYTES_MAX: u64 = 1 << 30;
/// Rows that DataUpdater keeps by key: card, member and account of 40,000 members. Some 500 bytes each with its strings: 64 MiB at most.
pub const ROWS_CACHED_MAX: usize = 131_072;
/// Rows of one entry that stay in that cache. A visit at the counter makes ten at most, an import some 750.
pub const ROWS_OF_USE_MAX: usize = 64;
/// Command ids kept in memory, 32 bytes each and some: two closed days of the largest hall are 250,000. Beyond, the older half is left
/// to the store.
pub const IDS_IN_MEMORY_MAX: usize = 3_500_000;

/// Bytes of entries in one frame of the stream; a frame may be 4 MiB.
pub const FRAME_ENTRIES_BYTES: usize = 512 << 10;
/// Entries sent and not yet stored by the peer; beyond, sending waits.
pub const STREAM_WINDOW_ENTRIES: u64 = 65_536;
/// Main repeats the confirmed position to an otherwise idle Sub within this time.
pub const CONFIRMED_IDLE_MS: u64 = 20;
/// A Solo server asks its peer to become a Pair again when the peer lacks at most this many entries.
pub const NEAR_ENTRIES: u64 = 2_000;
/// Between two tries to open the stream.
pub const STREAM_RETRY: Duration = Duration::from_millis(100);
/// Opening, comparing and beginning a stream; each frame of it.
pub const STREAM_STEP_LIMIT: Duration = Duration::from_secs(5);

/// Between two asks of the arbiter while none was answered.
pub const ASK_RETRY_MS: u64 = 100;
/// Members of an etcd cluster: clusters have 3, 5 or 7.
pub const ETCD_ENDPOINTS_MAX: usize = 9;
/// Prefix of keys in etcd, bytes: a path of a few words.
pub const ETCD_PREFIX_LEN_MAX: usize = 128;
/// One question to the arbiter.
pub const ASK_LIMIT: Duration = Duration::from_millis(1_000);
/// The register's recorded position is refreshed this often.
pub const REFRESH_MS: u64 = 2_000;
/// An arbiter that was not heard for so long is no help: two refreshes and the time that an answer may take.
pub const ARBITER_SILENT_MS: u64 = 5_000;
/// The arbiter counts as heard for this long.
pub const ARBITER_FRESH_MS: u64 = 1_000;

/// Kernel lifetime of an alias and how often it is refreshed (measured: gone 1.0-2.1 s after the last refresh).
pub const ALIAS_LIFETIME: Duration = Duration::from_secs(2);
pub const ALIAS_REFRESH: Duration = Duration::from_millis(500);

/// A server that has just started waits this long for a first word of its peer before it counts as silent: two boxes on one power
/// switch need not start within one silence, and a needless Solo costs a rejoin.
pub const BOOT_PATIENCE_MS: u64 = 1_500;
/// Heartbeats whose sending moment is remembered for leases: 64 of 25 ms are 1.6 s, six leases.
pub const BEATS_REMEMBERED: usize = 64;
/// While the gate is closed for less than this, commands are still executed and their answers wait: a takeover that lasts no longer
/// refuses nobody. Beyond, they are told to try again at once.
pub const CLOSED_PATIENCE_MS: u64 = 700;
/// An open stream carries a frame at least this often, so that "near" and "stored" stay fresh; ten a second cost nothing.
pub const STREAM_IDLE_MS: u64 = 100;
/// Questions and answers about where two histories part: each goes back by an epoch at least, and a site sees few in a rejoin.
pub const COMPARE_ROUNDS_MAX: usize = 64;
/// How long a Main compares with a peer that is heard but does not take its stream, before it counts as lost.
pub const COMPARE_LIMIT_MS: u64 = 5_000;
/// How often a follower with a full tail looks whether there is room again.
pub const TAIL_FULL_POLL_MS: u64 = 5;
/// How often a Main that takes entries over looks whether they are stored: a few times per fdatasync.
pub const STORED_POLL: Duration = Duration::from_millis(1);
/// Deliberately slow steps (password hashes of 19 MiB each) at the same time: one core stays for the service.
pub const SLOW_STEPS_MAX: usize = 1;
/// Pause after `accept` failed for want of a file descriptor.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A path between the boxes is called silent after so long: eighty heartbeats are no burst of losses.
pub const PATH_SILENCE_MS: u64 = 2_000;
/// A connected peer is told to be heard on no path after so long: keep-alive takes up to 4 s to find that a connection is dead.
pub const NO_PATH_HEARD_MS: u64 = 6_000;
/// Heartbeats that are refused are told at most this often: a stranger's datagrams must not fill the log.
pub const REFUSED_BEATS_TOLD_MS: u64 = 60_000;
/// Between two tries to listen for terminals: an earlier life's sessions give their descriptors back within moments.
pub const ACCEPT_RETRY: Duration = Duration::from_secs(1);
/// How often the gate looks for answers that wait too long, and recomputes what is confirmed whatever was or was not told.
pub const EXPIRE_EVERY: Duration = Duration::from_millis(100);
/// One write to a terminal. A terminal that does not read for this long is closed; it repeats 2 s later on a new connection.
pub const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How long what a refused terminal still sends is thrown away, so that it can read why: a few round trips of a slow radio link.
pub const LINGER: Duration = Duration::from_secs(1);
/// How often AddressKeeper tries again for an address that it does not hold and should: a fifth of a lease.
pub const ADDRESS_LOOK: Duration = Duration::from_millis(50);
/// Foreign hardware addresses kept for the status.
pub const CONFLICTS_SHOWN_MAX: usize = 8;
/// One that was not seen for so long is forgotten: each announcement asks for it, once a minute in the end, and one answer may be lost.
pub const CONFLICT_KEPT_MS: u64 = 150_000;
/// A dead peer's kernel has let its addresses go by then: two seconds, and another on an idle box. If it still answers, somebody must act.
pub const STALE_OWNER_MS: u64 = 4_000;
/// Probes for an address that nobody has asked for yet, and the pause after each: RFC 5227 sends three; it waits 1 s to 2 s after each,
/// for slow wireless networks, and on a wired segment answers come within milliseconds. 1.5 s in all is what a start may cost.
pub const ADDRESS_PROBES: u32 = 3;
pub const ADDRESS_PROBE_SPACING_MS: u64 = 500;
/// Until an address that a third machine has is asked for again.
pub const ADDRESS_PROBE_AGAIN_MS: u64 = 1_000;
/// Connections that the kernel keeps for a listener until they are accepted: a storm of 3,500 terminals at 500/s.
pub const LISTEN_QUEUE: i32 = 4_096;
/// Connections for reads: two reports at once and a page of the console leave the writer its share of two cores.
pub const READ_CONNECTIONS_MAX: u32 = 4;
/// How long a read on Main waits for its proof, and how often it looks.
pub const PROOF_LIMIT: Duration = Duration::from_secs(2);
pub const PROOF_POLL: Duration = Duration::from_millis(1);
/// Batches under way whose times are measured; beyond, the oldest go unmeasured.
pub const MEASURED_BATCHES_MAX: usize = 1_024;
