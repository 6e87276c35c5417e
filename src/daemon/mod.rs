//! L4: the life of the process: build, run, supervise, stop.

mod devices;
mod identity;
mod info;
mod lanes;
mod live;
mod logging;
mod manager;
mod media;
mod metrics;
mod mutator;
mod recording;
mod reload;
mod remembered;
mod room;
mod run;
mod serving;
mod settings;
mod status;
mod supervise;
mod task;
mod watchdog;

pub use devices::Devices;
pub use identity::{IdentityError, box_id};
pub use logging::LoggingError;
pub use reload::Read;
pub use run::{DaemonError, run};
pub use serving::ServingError;
pub use settings::SettingError;
pub use supervise::{Board, Health, Report, Subsystem, supervise, with_sources};
