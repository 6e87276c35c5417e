//! Reading boxes out of bytes that anybody may have damaged: every access is checked, nothing is allocated.

/// Takes big-endian fields off the front; None once the bytes are too few.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// Version and flags of a full box (ISO/IEC 14496-12 §4.2).
    pub(super) fn version_flags(&mut self) -> Option<(u8, u32)> {
        self.u32().map(|both| ((both >> 24) as u8, both & 0x00ff_ffff))
    }
}

/// The start of a box: its type, and the lengths of header and whole box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: [u8; 4],
    pub header_bytes: u64,
    pub box_bytes: u64,
}

impl Header {
    /// Reads a header; None when the bytes are too few or the size is smaller than the header. "To the end of
    /// the file" (size 0) is refused: a recording never has it, zeroed blocks after a power cut do.
    pub(super) fn read(bytes: &[u8]) -> Option<Header> {
        let mut fields = Fields(bytes);
        let size = u64::from(fields.u32()?);
        let kind = fields.take(4)?.try_into().ok()?;
        let (header_bytes, box_bytes) = if size == 1 { (16, fields.u64()?) } else { (8, size) };
        (box_bytes >= header_bytes).then_some(Header { kind, header_bytes, box_bytes })
    }
}

/// The boxes that stand one after the other in `bytes`; ends at the first that is not whole.
pub(super) fn children(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::read(bytes)?;
        let (whole, rest) = bytes.split_at_checked(usize::try_from(header.box_bytes).ok()?)?;
        bytes = rest;
        Some((header.kind, whole.get(header.header_bytes as usize..)?))
    })
}

/// The body of the first box of type `kind` in `bytes`.
pub(super) fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    children(bytes).find(|(found, _)| found == kind).map(|(_, body)| body)
}
