//! L3: recordings: the writer, recovery after a crash, the index.
