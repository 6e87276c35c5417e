//! L4: the life of the process: build, run, supervise, stop.

mod identity;
mod logging;
mod metrics;
mod mutator;
mod supervise;

pub use identity::IdentityError;
pub use logging::LoggingError;
pub use supervise::{Board, Health, Report, Subsystem, supervise, with_sources};
