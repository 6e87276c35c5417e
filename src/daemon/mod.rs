//! L4: the life of the process: build, run, supervise, stop.

mod identity;
mod info;
mod lanes;
mod live;
mod logging;
mod media;
mod metrics;
mod mutator;
mod recording;
mod room;
mod run;
mod serving;
mod settings;
mod supervise;
mod task;

pub use identity::IdentityError;
pub use logging::LoggingError;
pub use run::{DaemonError, run};
pub use serving::ServingError;
pub use settings::SettingError;
pub use supervise::{Board, Health, Report, Subsystem, supervise, with_sources};
