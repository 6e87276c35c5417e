//! L3: encoders and decoders, and the threads that run them.
