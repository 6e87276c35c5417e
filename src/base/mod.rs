//! L0: the vocabulary that everything else stands on. No media, no I/O but the operating system's clock and
//! private files.

pub mod backoff;
pub mod clock;
pub mod ids;
pub mod not_before;
pub mod private_file;
pub mod pulse;
pub mod thread;
pub mod units;

/// Asks every part that holds a clone (or a child) of it to finish; see `daemon` for the order.
pub use tokio_util::sync::CancellationToken as Shutdown;
