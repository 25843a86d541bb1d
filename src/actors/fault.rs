//! Fault injection: with the feature `fault-injection`, any actor can be made to panic at any message, by the environment.
//!
//! `DUPLEX_FAULT=<actor>/<message>:<n>` panics at the n-th time (1 is the first); several are separated by commas. With `@<file>`
//! behind it, times count once that file exists. Without the feature, [`point`] is nothing.

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

    struct Fault {
        name: String,
        /// The passage that fails.
        nth: u64,
        passed: AtomicU64,
        /// Passages count once it exists.
        file: Option<String>,
    }
    static WANTED: OnceLock<Vec<Fault>> = OnceLock::new();

    let wanted = WANTED.get_or_init(|| {
        let faults = std::env::var("DUPLEX_FAULT").unwrap_or_default();
        let read = |fault: &str| {
            let (name, rest) = fault.split_once(':')?;
            let (nth, file) = rest.split_once('@').map_or((rest, None), |(nth, file)| (nth, Some(file.to_owned())));
            Some(Fault { name: name.to_owned(), nth: nth.parse().ok()?, passed: AtomicU64::new(0), file })
        };
        faults.split(',').filter_map(read).collect()
    });
    let is_due =
        |fault: &&Fault| fault.name == name && fault.file.as_ref().is_none_or(|file| std::path::Path::new(file).exists());
    for fault in wanted.iter().filter(is_due) {
        if fault.passed.fetch_add(1, Ordering::SeqCst) + 1 == fault.nth {
            panic!("fault injected at {name}");
        }
    }
}
