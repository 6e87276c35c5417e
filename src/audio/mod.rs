//! L3: sound processing: levels and mixing.
