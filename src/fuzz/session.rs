//! Signalling from either end, as a whole.

/// What clients, the network and the APIs do to a room server (`server/signal/engine/script.rs` has the words).
pub fn session(bytes: &[u8]) {
    crate::server::signal::play(bytes);
}

/// What a room server says to the box: frames, [`SEPARATOR`](crate::server::signal::SEPARATOR) between them.
pub fn server(bytes: &[u8]) {
    crate::participant::listen(bytes, crate::server::signal::SEPARATOR);
}
