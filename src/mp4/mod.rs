//! L2: fragmented MP4 (ISO/IEC 14496-12), pure: boxes in and out, no files.
