//! Fault injection: with the feature `fault-injection`, any actor can be made to panic at any message, by the environment.
//!
//! `DUPLEX_FAULT=<actor>/<message>:<n>` panics at the n-th time (1 is the first); several are separated by commas. With `@<file>`
//! behind it, times count while that file exists. With `=<file>` it does not panic: it makes that file, a pipe, and stands still until
//! somebody opens it to read, so that a test holds this server at a place, and another's fault (`@` the same file) meets it there.
//! With `~<file>` the number is milliseconds, and each passage takes so long while that file exists.
//! Without the feature, [`point`] is nothing.

/// A place where a test may want this process to fail.
#[cfg(not(feature = "fault-injection"))]
pub fn point(_name: &str) {}

#[cfg(feature = "fault-injection")]
pub use injected::point;

#[cfg(feature = "fault-injection")]
mod injected {
    use std::fs::File;
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    struct Fault {
        name: String,
        /// The passage that fails.
        nth: u64,
        passed: AtomicU64,
        kind: Kind,
    }

    enum Kind {
        Panic,
        PanicWhile(PathBuf),
        StandStill(PathBuf),
        SlowWhile(PathBuf),
    }

    impl Fault {
        /// Nothing if it is not written as it should be.
        fn read(text: &str) -> Option<Self> {
            let (name, rest) = text.split_once(':')?;
            let (nth, kind) = match (rest.split_once('@'), rest.split_once('='), rest.split_once('~')) {
                (Some((nth, file)), ..) => (nth, Kind::PanicWhile(file.into())),
                (None, Some((nth, file)), _) => (nth, Kind::StandStill(file.into())),
                (None, None, Some((ms, file))) => (ms, Kind::SlowWhile(file.into())),
                (None, None, None) => (rest, Kind::Panic),
            };
            Some(Self { name: name.to_owned(), nth: nth.parse().ok()?, passed: AtomicU64::new(0), kind })
        }

        fn counts(&self) -> bool {
            match &self.kind {
                Kind::Panic | Kind::StandStill(_) => true,
                Kind::PanicWhile(file) | Kind::SlowWhile(file) => file.exists(),
            }
        }
    }

    /// A place where a test may want this process to fail.
    ///
    /// # Panics
    /// At the place and time that `DUPLEX_FAULT` names.
    pub fn point(name: &str) {
        static WANTED: OnceLock<Vec<Fault>> = OnceLock::new();

        let wanted = WANTED.get_or_init(|| {
            let faults = std::env::var("DUPLEX_FAULT").unwrap_or_default();
            faults.split(',').filter_map(Fault::read).collect()
        });
        for fault in wanted.iter().filter(|fault| fault.name == name && fault.counts()) {
            if let Kind::SlowWhile(_) = fault.kind {
                pass_slowly(fault.nth);
            } else if fault.passed.fetch_add(1, Ordering::SeqCst) + 1 == fault.nth {
                match &fault.kind {
                    Kind::Panic | Kind::PanicWhile(_) => panic!("fault injected at {name}"),
                    Kind::StandStill(file) => stand_still(file),
                    Kind::SlowWhile(_) => {}
                }
            }
        }
    }

    /// Nobody sends: it waits for all of its time.
    fn pass_slowly(ms: u64) {
        let (_sender, receiver) = mpsc::channel::<()>();
        let _ = receiver.recv_timeout(Duration::from_millis(ms));
    }

    /// Opening a pipe to write waits for whoever reads.
    fn stand_still(file: &Path) {
        mkfifo(file, Mode::S_IRWXU).expect("the pipe of a standstill can be made");
        File::options().write(true).open(file).expect("a pipe opens once somebody reads");
    }
}
