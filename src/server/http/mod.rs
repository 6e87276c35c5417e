//! The box's HTTP service.
