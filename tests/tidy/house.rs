//! The house as tables: who may import whom, where a crate is at home, and the exceptions. Each list of exceptions may only shrink.

/// What a part of `src/` may import from the other parts. Tests may reach further.
///
/// main → run → actors, ledger, console → store, journal, wire, network, arbiter, telemetry → model; actors → machines → model.
/// Ours: `handover` lies between the storage actors and what they hand over; `clock` belongs to the shells that read the time, so that
/// machines, model and journal get theirs as a value; `layout` says where files are; `cli` is above everything.
pub const MAY_IMPORT: &[(&str, &str)] = &[
    ("main", "cli"),
    ("lib", ""),
    ("cli", "run layout actors ledger console handover store journal wire network arbiter telemetry machines clock config model"),
    ("run", "layout actors ledger console handover store journal wire network arbiter telemetry machines clock config model"),
    ("actors", "handover store journal wire network arbiter telemetry machines clock config model"),
    // Of `actors` it takes messages and what they carry; the rule on siblings holds for it as well.
    ("console", "actors ledger handover store journal wire arbiter telemetry machines clock config model"),
    ("ledger", "store schema config model"),
    ("handover", "journal store machines config model"),
    ("store", "schema config model"),
    ("journal", "config model"),
    ("wire", "config model"),
    ("network", ""),
    // The witness is reached over frames of the same kind as the peer.
    ("arbiter", "wire clock config model"),
    ("telemetry", "config model"),
    ("machines", "model"),
    ("clock", "model"),
    // It also loads the files that more than one command reads.
    ("layout", "ledger wire config"),
    ("config", "model"),
    ("schema", ""),
    ("model", ""),
];

/// The only parts that a crate is known to. Crates that are not listed may be used anywhere but in [`PURE`].
pub const CRATE_HOMES: &[(&str, &str)] = &[
    ("actix", "actors run console"),
    ("actix_rt", "actors run console"),
    ("actix_web", "console"),
    ("argon2", "ledger"),
    ("clap", "cli"),
    ("diesel", "store schema ledger"),
    ("diesel_migrations", "store"),
    ("etcd_client", "arbiter"),
    ("libsqlite3_sys", "store"),
    ("netlink_packet_route", "network"),
    ("pnet", "network"),
    ("pq_sys", "store"),
    ("prometheus_client", "telemetry console"),
    ("r2d2", "store"),
    ("rcgen", "wire"),
    ("ring", "wire"),
    ("rtnetlink", "network"),
    ("slog_async", "telemetry"),
    ("slog_json", "telemetry"),
    ("slog_term", "telemetry"),
    ("supervisors", "run console"),
    ("ureq", "cli"),
];

/// Decisions and words: std and serde only, and of std nothing that reads a clock, a file or a socket.
pub const PURE: &[&str] = &["machines", "model"];
pub const PURE_CRATES: &[&str] = &["serde"];
pub const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
];

/// The pair's own tables; every other table of `schema.rs` is the application's.
pub const PAIR_TABLES: &[&str] = &["applied", "epoch_history", "command_record"];
/// The only parts that name an application's table.
pub const KNOW_TABLES: &[&str] = &["ledger", "schema"];

/// Never written, in tests neither.
pub const NEVER: &[&str] = &["todo!", "unimplemented!", "#[ignore", "thread::sleep"];
/// (file, word, reason)
pub const NEVER_BUT: &[(&str, &str, &str)] = &[
    ("src/cli/audit.rs", "thread::sleep", "two appliers of other processes move on; looks again until a deadline"),
    ("tests/faults.rs", "thread::sleep", "real processes: the pause between a server's death and its return is part of the case"),
    ("tests/lab.rs", "thread::sleep", "`until`: real processes are looked at again until a deadline"),
    ("tests/lab/watchers.rs", "thread::sleep", "the pace of a client that asks again and again"),
    ("tests/support/program.rs", "thread::sleep", "`eventually`: real processes are looked at again until a deadline"),
];

pub const MAIN_LINES_MAX: usize = 60;
pub const FILE_LINES_MAX: usize = 400;
pub const FUNCTION_LINES_MAX: usize = 60;

/// (file, ceiling of its own, reason)
pub const LONG_FILES: &[(&str, usize, &str)] = &[];

/// (file, function, ceiling of its own, reason)
pub const LONG_FUNCTIONS: &[(&str, &str, usize, &str)] = &[
    ("src/ledger/texts.rs", "wording", 106, "a table: every code with its two sentences"),
    ("src/machines/failover.rs", "step", 75, "one total `match` over state and event"),
    ("src/run.rs", "start_tree", 240, "the supervision tree is one visible list"),
];

/// Where every public constant says where its number came from. One sentence may be about two: `PROOF_LIMIT`, and below it `PROOF_POLL`.
pub const LIMITS: &str = "src/config/limits.rs";
