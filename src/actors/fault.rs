//! Fault injection: with the feature `fault-injection`, any actor can be made to panic at any message, by the environment.
//!
//! `DUPLEX_FAULT=<actor>/<message>:<n>` panics at the n-th time (1 is the first). Without the feature, [`point`] is nothing.

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

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| {
        let wanted = std::env::var("DUPLEX_FAULT").ok()?;
        let (name, n) = wanted.rsplit_once(':')?;
        Some((name.to_owned(), n.parse().ok()?))
    });
    let Some((wanted_name, n)) = wanted else { return };
    if wanted_name == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *n {
        panic!("fault injected at {name}");
    }
}
