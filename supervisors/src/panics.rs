//! Running code that may panic, and keeping what the panic said and where.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

/// What a panic said, and where if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panic {
    message: String,
    location: Option<String>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "panicked at {location}: {}", self.message),
            None => write!(f, "panicked: {}", self.message),
        }
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// The newest panic inside `guarded` on this thread; code under it may have caught earlier ones
    /// itself.
    static NEWEST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Learn the places of panics from now on. The program's own hook stays in force: it is called as
/// before, and one set later costs only the places, because the message comes with the panic
/// itself.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
}

/// Run `work`; a panic in it is returned. Whatever `work` leaves half done is the caller's to
/// discard or rebuild.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    NEWEST.take();
    let outer = GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.map_err(|payload| {
        let message = text(payload.as_ref());
        // A panic that was resumed, not begun, passes no hook: then the newest one noted is
        // another.
        let location = NEWEST.take().filter(|newest| newest.message == message).and_then(|newest| newest.location);
        Panic { message, location }
    })
}

fn note(info: &PanicHookInfo<'_>) {
    if GUARDED.try_with(Cell::get) != Ok(true) {
        return;
    }
    let panic = Panic { message: text(info.payload()), location: info.location().map(ToString::to_string) };
    let _ = NEWEST.try_with(|newest| newest.replace(Some(panic)));
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with a value that is not text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(work: impl FnOnce()) -> String {
        listen();
        guarded(work).expect_err("it panics").to_string()
    }

    #[test]
    fn message_and_place_of_a_panic_are_kept() {
        let text = caught(|| panic!("number {}", 7));
        assert!(text.starts_with("panicked at ") && text.contains("panics.rs:"), "{text}");
        assert!(text.ends_with(": number 7"), "{text}");
    }

    #[test]
    fn a_panic_with_any_value_is_told() {
        let text = caught(|| panic::panic_any(7));
        assert!(text.ends_with(": with a value that is not text"), "{text}");
    }

    #[test]
    fn a_resumed_panic_does_not_get_the_place_of_another() {
        let text = caught(|| {
            let _ = panic::catch_unwind(|| panic!("caught by itself"));
            panic::resume_unwind(Box::new("resumed"));
        });
        assert_eq!(text, "panicked: resumed");
    }

    #[test]
    fn a_panic_outside_is_not_kept_for_later() {
        listen();
        let _ = panic::catch_unwind(|| panic!("same words"));
        assert_eq!(caught(|| panic::resume_unwind(Box::new("same words"))), "panicked: same words");
    }
}
