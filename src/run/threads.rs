//! Where actors run.

use actix_rt::Arbiter;

use crate::config::limits;

/// Three shared ones, so that a blocked write never delays a heartbeat, and three for actors that block rightfully.
pub(super) struct Threads {
    pub control: Arbiter,
    pub storage: Arbiter,
    pub edge: Arbiter,
    pub journal: Arbiter,
    pub updater: Arbiter,
    pub applier: Arbiter,
}

impl Threads {
    pub fn start() -> Self {
        let at_nice = |name: &'static str, nice: i32| {
            let arbiter = Arbiter::new();
            arbiter.spawn_fn(move || {
                // The name is for people with `top`; a kernel that refuses either harms nobody.
                let name = std::ffi::CString::new(name).unwrap_or_default();
                let _ = nix::sys::prctl::set_name(&name);
                // Linux: of the calling thread, and of those that it starts.
                let _ = rustix::process::setpriority_process(None, nice);
            });
            arbiter
        };
        let named = |name| at_nice(name, 0);
        Self {
            control: at_nice("control", limits::CONTROL_NICE),
            storage: named("storage"),
            edge: named("edge"),
            journal: named("journal"),
            updater: named("updater"),
            applier: at_nice("applier", limits::APPLIER_NICE),
        }
    }
}
