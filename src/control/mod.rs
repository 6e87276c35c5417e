//! L2: orders and what is true. MQTT, REST, the page and the CLI all make the same [`Command`]; a pure queue
//! accepts, ignores or refuses it; one task changes the world; one numbered [`State`] document comes out.

mod command;
pub mod config_document;
pub mod dedupe;
mod desired;
pub mod enrolment;
pub mod event;
mod handle;
pub mod https_url;
pub mod intake;
pub mod job;
pub mod job_book;
mod lane;
pub mod live;
pub mod plain;
pub mod presence;
pub mod queue;
pub mod rate;
mod reply;
mod state;
pub mod telemetry;
pub mod topics;

pub use command::{
    CameraSet, Command, CommandError, MicrophoneSet, Nothing, RecordingSet, RecordingSource, RoomJoin,
};
pub use desired::{Desired, DesiredCamera, DesiredError, DesiredLive, DesiredRecording};
pub use handle::{ControlHandle, Order, Origin, StatePublisher, rfc3339};
pub use reply::{Code, Reply};
pub use state::{
    Camera, DeviceStatus, Live, LiveDestination, LiveStatus, Microphone, Recording, RecordingStatus, Room,
    RoomStatus, Speaker, State,
};
