//! What a person, a collector of logs and a collector of numbers get to see. No decision rests on anything here.

mod drains;
mod lines;
pub mod logs;
pub mod metrics;
pub mod read;
mod streams;

pub use logs::{Guard, LogError, Logs, start};
pub use metrics::Metrics;
