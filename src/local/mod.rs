//! L3: the bridge between the Unix control socket and `control`.
