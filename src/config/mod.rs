//! L4: configuration: files and environment in, typed and checked settings out.
