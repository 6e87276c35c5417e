//! L4, only in tests and in `fuzz/`: an entry for every parser of outside bytes. Each takes any bytes whatever, and must
//! neither panic nor take long nor keep much.
//!
//! `make fuzz` has libFuzzer call them; the tests here call them with everything in `fuzz/seeds`, where also stands what
//! once was found.

mod control;
mod media;
mod network;
mod session;
#[cfg(test)]
mod tests;

/// Takes any bytes.
pub type Entry = fn(&[u8]);

/// Every entry by its name, which is that of its folder in `fuzz/seeds`.
pub const TARGETS: [(&str, Entry); 21] = [
    ("api", control::api),
    ("command", control::command),
    ("config", control::config),
    ("datagram", network::datagram),
    ("desired", control::desired),
    ("feedback", network::feedback),
    ("h264", media::h264),
    ("job", control::job),
    ("join", network::join),
    ("local", control::local),
    ("mp4", media::mp4),
    ("provision", control::provision),
    ("rtmp", media::rtmp),
    ("rtp", media::rtp),
    ("sdp", network::sdp),
    ("server", session::server),
    ("session", session::session),
    ("set", control::set),
    ("token", control::token),
    ("url", control::url),
    ("whip", network::whip),
];

/// The entry of that name.
///
/// # Panics
/// When there is none.
pub fn entry(name: &str) -> Entry {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, entry)) = found else { panic!("no entry is called {name:?}") };
    *entry
}

/// Ends the process at a panic, as libFuzzer wants it, except where panics of the WebRTC library are caught.
pub fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !crate::rtc::sfu::guard::is_guarded() {
            report(panic);
            std::process::abort();
        }
    }));
}

/// Up to the first `byte`, and what follows it.
fn split(bytes: &[u8], byte: u8) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|found| *found == byte).unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or_default())
}
