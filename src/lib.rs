//! **roomd**: one daemon that turns a Linux box with a camera and a microphone into a managed meeting room.
//!
//! ```text
//!  capture ─▶ codec ─▶ media::Stream ─┬─ participant ── ws/SRTP ──▶ server (embedded) │ LiveKit cluster
//!  (V4L2, ALSA)  H.264, Opus, AAC     ├─ record (fragmented MP4)
//!                                     └─ push ── RTMP(S) ──▶ any number of servers
//!
//!  MQTT ─┐
//!  page ─┼─▶ control: Command ─▶ queue ─▶ daemon (the one mutator) ─▶ State ─▶ MQTT, page, CLI
//!  CLI ──┘
//! ```
//! Each layer may use only those above it; `tests/rules.rs` checks the arrows. `design/architecture.md` is the map.
#![warn(missing_docs)]
#![deny(unsafe_code)]
#![warn(clippy::unwrap_used)]

// L0
pub mod base;
#[allow(unsafe_code)]
pub mod sys;
// L1
pub mod media;
// L2
pub mod control;
pub mod mp4;
pub mod room;
pub mod rtmp;
pub mod sfu;
// L3
pub mod audio;
pub mod capture;
pub mod codec;
pub mod https;
pub mod local;
pub mod mqtt;
pub mod participant;
pub mod playback;
pub mod push;
pub mod record;
pub mod rtc;
pub mod server;
pub mod store;
// L4
pub mod config;
pub mod ctl;
pub mod daemon;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod provision;
