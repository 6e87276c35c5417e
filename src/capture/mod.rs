//! L3: where pictures and sound come from: the test source, files (devices come with V4L2 and ALSA).
