//! Signals that tell this process to end: those of a service manager, of a person, and of a session that closes.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears them from when it is made. One that cannot be listened to ends the process by itself, as ever.
pub struct Told {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Told {
    /// To be called within a runtime; what comes between two questions is not lost.
    pub fn listen() -> Self {
        let listen = |kind| signal(kind).ok();
        let hang_up = if hang_up_is_ignored() { None } else { listen(SignalKind::hangup()) };
        Self { terminate: listen(SignalKind::terminate()), interrupt: listen(SignalKind::interrupt()), hang_up }
    }

    /// The name of the next one.
    pub async fn to_end(&mut self) -> &'static str {
        tokio::select! {
            () = next(&mut self.terminate) => "SIGTERM",
            () = next(&mut self.interrupt) => "SIGINT",
            () = next(&mut self.hang_up) => "SIGHUP",
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// By `nohup`: whoever listens all the same would end with the session that it was to outlive.
fn hang_up_is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hang_up(&status))
}

fn ignores_hang_up(status: &str) -> bool {
    // A mask in which the lowest bit is signal 1.
    const HANG_UP: u64 = 1;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANG_UP != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_closes_ends_nobody_who_was_started_to_outlive_it() {
        // As the kernel writes it: of a program under `nohup`, and of an ordinary one, which ignores SIGPIPE.
        assert!(ignores_hang_up("Name:\tduplex\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hang_up("Name:\tduplex\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hang_up(""));
    }
}
