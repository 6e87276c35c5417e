//! L4: the life of the process: build, run, supervise, stop.

mod logging;
mod supervise;

pub use logging::LoggingError;
pub use supervise::{Board, Health, Report, Subsystem, supervise, with_sources};
