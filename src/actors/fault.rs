//! Fault injection: with the feature `fault-injection`, any actor can be made to panic at any message, by the environment.
//!
//! `DUPLEX_FAULT=<actor>/<message>:<n>` panics at the n-th time (1 is the first); several are separated by commas. Without the
//! feature, [`point`] is nothing.

/// A place where a test may want this process to fail.
#[cfg(not(feature = "fault-injection"))]
pub fn point(_name: &str) {}

/// A place where a test may want this process to fail.
///
/// # Panics
/// At the place and time that `DUPLEX_FAULT` names.
#[cfg(feature = "fault-injection")]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Name of the place, the passage that fails, and how often it was passed.
    type Fault = (String, u64, AtomicU64);
    static WANTED: OnceLock<Vec<Fault>> = OnceLock::new();

    let wanted = WANTED.get_or_init(|| {
        let faults = std::env::var("DUPLEX_FAULT").unwrap_or_default();
        let read = |fault: &str| {
            fault.rsplit_once(':').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?, AtomicU64::new(0))))
        };
        faults.split(',').filter_map(read).collect()
    });
    for (_, n, passed) in wanted.iter().filter(|(wanted, ..)| wanted == name) {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == *n {
            panic!("fault injected at {name}");
        }
    }
}
