//! L4: the life of the process: build, run, supervise, stop.
