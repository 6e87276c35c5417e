//! L3: where the others are heard.
