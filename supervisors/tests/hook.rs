//! The program's own panic hook. A file, so a process, of its own: hooks are global.

mod common;

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::*;
use supervisors::Strategy;

#[actix::test]
async fn the_programs_own_panic_hook_is_called_as_before() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    panic::set_hook(Box::new(|_| {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }));
    let (a, child) = witness("a", &Log::default());
    let tree = start(group("root", Strategy::OneForOne).actor(child));
    a.do_send(Poison("first"));
    let report = restarted(&tree, 1).await;
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    assert!(report.children[0].last_exit.as_ref().is_some_and(|exit| exit.text.contains("mod.rs:")));
    // A hook set later replaces ours: the message is still known, only its place is not.
    panic::set_hook(Box::new(|_| {
        CALLS.fetch_add(10, Ordering::Relaxed);
    }));
    a.do_send(Poison("second"));
    let report = restarted(&tree, 2).await;
    assert_eq!(CALLS.load(Ordering::Relaxed), 11);
    let exit = report.children[0].last_exit.as_ref().map(|exit| exit.text.as_str());
    assert_eq!(exit, Some("panicked: second"));
}
