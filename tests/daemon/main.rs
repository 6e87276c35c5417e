//! The whole daemon: a real `roomd` process with a real broker, browser, disk and film.

mod call;
mod film;
mod parts;
mod process;
mod recording;
mod roomd;
