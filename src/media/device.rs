//! How a device is, told by whoever has it open.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Whether a source or sink works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceStatus {
    /// Being opened.
    #[default]
    Starting,
    /// Delivering.
    Running,
    /// Configured away (`none`), or off by order.
    Off,
    /// It failed, or is not there, and is tried again.
    Failed,
}

/// One source or sink as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Whether it delivers.
    pub status: DeviceStatus,
    /// Which it is: `test`, `file:PATH`, or a device with its name, `/dev/video0 (HD Webcam)`.
    pub name: Option<String>,
    /// `1280x720@30 YUYV`, `48000 Hz, 2 channels`.
    pub format: Option<String>,
    /// Why it does not deliver, for people.
    pub reason: Option<String>,
}

/// Where a device is told of. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct DeviceReport(watch::Sender<Device>);

impl DeviceReport {
    /// It delivers.
    pub fn running(&self, name: impl Into<String>, format: Option<String>) {
        self.0.send_if_modified(|device| {
            let now = Device { status: DeviceStatus::Running, name: Some(name.into()), format, reason: None };
            let changed = *device != now;
            *device = now;
            changed
        });
    }

    /// It is about to be opened again. Keeps its name.
    pub fn starting(&self) {
        self.0.send_modify(|device| {
            (device.status, device.format, device.reason) = (DeviceStatus::Starting, None, None);
        });
    }

    /// It does not, and is tried again. Keeps its name.
    pub fn failed(&self, reason: impl Into<String>) {
        self.0.send_modify(|device| {
            (device.status, device.format) = (DeviceStatus::Failed, None);
            device.reason = Some(reason.into());
        });
    }

    /// It is configured away, or the box stops.
    pub fn off(&self) {
        self.0.send_modify(|device| *device = Device { status: DeviceStatus::Off, ..Device::default() });
    }

    /// As it is now, and every change to come.
    pub fn subscribe(&self) -> watch::Receiver<Device> {
        self.0.subscribe()
    }
}
