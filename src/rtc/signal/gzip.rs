//! gzip, reading only (RFC 1952 around RFC 1951): a client's join request in its URL. Small, and bounded by the caller.

/// Why bytes are no gzip file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    /// Another format, or something after the end.
    #[error("not one gzip member of deflated data")]
    Format,
    /// It ends too early.
    #[error("gzip data ends too early")]
    Truncated,
    /// What no compressor writes.
    #[error("gzip data is corrupt: {0}")]
    Corrupt(&'static str),
    /// More than the caller takes.
    #[error("gzip data has more than {limit} bytes when decompressed")]
    TooLong {
        /// The caller's limit, in bytes.
        limit: usize,
    },
}

/// Decompresses one whole member; never holds more than `limit` bytes.
///
/// # Errors
/// [`GzipError`].
pub fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    let body = bytes.get(header_bytes(bytes)?..).ok_or(GzipError::Truncated)?;
    let mut inflate = Inflate { bits: Bits { rest: body, held: 0, count: 0 }, out: Vec::new(), limit };
    while !inflate.block()? {}
    let Inflate { bits, out, .. } = inflate;
    // What is left of the last byte is padding.
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *bits.rest else {
        return Err(if bits.rest.len() < 8 { GzipError::Truncated } else { GzipError::Format });
    };
    if u32::from_le_bytes([c0, c1, c2, c3]) != crc32(&out) {
        return Err(GzipError::Corrupt("its checksum is wrong"));
    }
    if u32::from_le_bytes([l0, l1, l2, l3]) as usize != out.len() {
        return Err(GzipError::Corrupt("its length is wrong"));
    }
    Ok(out)
}

/// RFC 1952 §2.3.
fn header_bytes(bytes: &[u8]) -> Result<usize, GzipError> {
    let [0x1f, 0x8b, 8, flags, ..] = *bytes else { return Err(GzipError::Format) };
    let mut at = 10;
    if flags & 4 != 0 {
        let extra = bytes.get(at..at + 2).ok_or(GzipError::Truncated)?;
        at += 2 + usize::from(u16::from_le_bytes([extra[0], extra[1]]));
    }
    // Name and comment end with a zero each.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let text = bytes.get(at..).ok_or(GzipError::Truncated)?;
            at += 1 + text.iter().position(|byte| *byte == 0).ok_or(GzipError::Truncated)?;
        }
    }
    Ok(if flags & 2 != 0 { at + 2 } else { at })
}

fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let (mut value, mut bit) = (n as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[n] = value;
            n += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

/// Bits, least significant first.
struct Bits<'a> {
    rest: &'a [u8],
    held: u32,
    count: u32,
}

impl Bits<'_> {
    /// At most 16.
    fn take(&mut self, count: u32) -> Result<u32, GzipError> {
        while self.count < count {
            let (byte, rest) = self.rest.split_first().ok_or(GzipError::Truncated)?;
            self.held |= u32::from(*byte) << self.count;
            (self.rest, self.count) = (rest, self.count + 8);
        }
        let value = self.held & ((1 << count) - 1);
        (self.held, self.count) = (self.held >> count, self.count - count);
        Ok(value)
    }

    fn take_usize(&mut self, count: u32) -> Result<usize, GzipError> {
        Ok(self.take(count)? as usize)
    }
}

/// Longest code, in bits.
const MAX_BITS: usize = 15;

/// A canonical Huffman code: how many codes there are of each length, and the symbols in the order of their codes.
struct Code {
    counts: [u16; MAX_BITS + 1],
    symbols: Vec<u16>,
}

impl Code {
    /// By the code lengths of the symbols; 0: not used.
    fn new(lengths: &[u8]) -> Result<Code, GzipError> {
        let mut counts = [0; MAX_BITS + 1];
        let mut symbols = Vec::new();
        for (bits, count) in counts.iter_mut().enumerate().skip(1) {
            let of_length = (0u16..).zip(lengths).filter(|(_, length)| usize::from(**length) == bits);
            let before = symbols.len();
            symbols.extend(of_length.map(|(symbol, _)| symbol));
            *count = (symbols.len() - before) as u16;
        }
        let mut free = 1i32;
        for count in &counts[1..] {
            free = free * 2 - i32::from(*count);
            if free < 0 {
                return Err(GzipError::Corrupt("a code has too many symbols"));
            }
        }
        Ok(Code { counts, symbols })
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<u16, GzipError> {
        // The first code of this length, and how many symbols have shorter ones.
        let (mut code, mut first, mut shorter) = (0u32, 0u32, 0u32);
        for count in &self.counts[1..] {
            let count = u32::from(*count);
            code |= bits.take(1)?;
            if code < first + count {
                let index = (shorter + code - first) as usize;
                return self.symbols.get(index).copied().ok_or(GzipError::Corrupt("an unused code"));
            }
            (shorter, first, code) = (shorter + count, (first + count) << 1, code << 1);
        }
        Err(GzipError::Corrupt("an unused code"))
    }
}

/// Lengths 3 to 258: base and further bits of symbols 257 to 285 (RFC 1951 §3.2.5).
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
/// In which order the code lengths of the code lengths' code stand (RFC 1951 §3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

struct Inflate<'a> {
    bits: Bits<'a>,
    out: Vec<u8>,
    limit: usize,
}

impl Inflate<'_> {
    /// One block; true: it was the last.
    fn block(&mut self) -> Result<bool, GzipError> {
        let last = self.bits.take(1)? == 1;
        match self.bits.take(2)? {
            0 => self.stored()?,
            1 => {
                let lengths = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
                self.compressed(&Code::new(&lengths)?, &Code::new(&[5; 30])?)?;
            }
            2 => {
                let (literals, distances) = self.codes()?;
                self.compressed(&literals, &distances)?;
            }
            _ => return Err(GzipError::Corrupt("an unknown kind of block")),
        }
        Ok(last)
    }

    fn push(&mut self, byte: u8) -> Result<(), GzipError> {
        if self.out.len() >= self.limit {
            return Err(GzipError::TooLong { limit: self.limit });
        }
        self.out.push(byte);
        Ok(())
    }

    fn stored(&mut self) -> Result<(), GzipError> {
        // From the next whole byte on; at most 7 bits are held here.
        (self.bits.held, self.bits.count) = (0, 0);
        let (length, check) = (self.bits.take(16)?, self.bits.take(16)?);
        if length != !check & 0xffff {
            return Err(GzipError::Corrupt("a stored block's length"));
        }
        for _ in 0..length {
            let byte = self.bits.take(8)?;
            self.push(byte as u8)?;
        }
        Ok(())
    }

    /// RFC 1951 §3.2.7: the codes of a block that brings its own.
    fn codes(&mut self) -> Result<(Code, Code), GzipError> {
        let literals = self.bits.take_usize(5)? + 257;
        let distances = self.bits.take_usize(5)? + 1;
        let given = self.bits.take_usize(4)? + 4;
        let mut lengths = [0u8; 19];
        for symbol in ORDER.iter().take(given) {
            lengths[*symbol] = self.bits.take(3)? as u8;
        }
        let code = Code::new(&lengths)?;
        let mut lengths: Vec<u8> = Vec::with_capacity(320);
        while lengths.len() < literals + distances {
            let (length, times) = match code.symbol(&mut self.bits)? {
                16 => {
                    let last = *lengths.last().ok_or(GzipError::Corrupt("nothing to repeat"))?;
                    (last, 3 + self.bits.take_usize(2)?)
                }
                17 => (0, 3 + self.bits.take_usize(3)?),
                18 => (0, 11 + self.bits.take_usize(7)?),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times));
        }
        let (literals, rest) = lengths.split_at(literals);
        let distances = rest.get(..distances).filter(|all| all.len() == rest.len());
        let distances = distances.ok_or(GzipError::Corrupt("too many code lengths"))?;
        Ok((Code::new(literals)?, Code::new(distances)?))
    }

    fn compressed(&mut self, literals: &Code, distances: &Code) -> Result<(), GzipError> {
        loop {
            let symbol = literals.symbol(&mut self.bits)?;
            if symbol < 256 {
                self.push(symbol as u8)?;
                continue;
            }
            if symbol == 256 {
                return Ok(());
            }
            let length =
                LENGTHS.get(usize::from(symbol) - 257).ok_or(GzipError::Corrupt("an unknown length"))?;
            let length = usize::from(length.0) + self.bits.take_usize(length.1.into())?;
            let distance = self.distance(distances)?;
            let from = self.out.len().checked_sub(distance);
            let from = from.ok_or(GzipError::Corrupt("a distance before the beginning"))?;
            for at in from..from + length {
                let byte = self.out.get(at).copied().unwrap_or_default();
                self.push(byte)?;
            }
        }
    }

    fn distance(&mut self, distances: &Code) -> Result<usize, GzipError> {
        let symbol = u32::from(distances.symbol(&mut self.bits)?);
        // Each two symbols have one further bit more than the two before (RFC 1951 §3.2.5).
        match symbol {
            0..=1 => Ok(symbol as usize + 1),
            2..=29 => {
                let further = symbol / 2 - 1;
                Ok(((2 + (symbol as usize & 1)) << further) + 1 + self.bits.take_usize(further)?)
            }
            _ => Err(GzipError::Corrupt("an unknown distance")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use proptest::prelude::*;

    /// Written by zlib.
    const STORED: &str = "H4sIAAAAAAAEAwEIAPf/YXMgaXQgaXOzJE6WCAAAAA==";
    const FIXED: &str = "H4sIAAAAAAACAyvKz89NUShCkADUHbU6EQAAAA==";
    const EVERY_HEADER_FIELD: &str = "H4sIHgAAAAAAAwMAeHl6bmFtZQBjb21tZW50AKS7y0vMTU0BAIfM4HEFAAAA";
    const DYNAMIC: &str = concat!(
        "H4sIAAAAAAACA3XQsQrDMAwE0L3Qf/AnRJZPsgr9GBMXmiUN1B369y3ykkXzPY7j2n1te996G4/bkj79SEsa3yM9X+9xvbRTSp6q",
        "kQUgOyBUroFgF5kVGojigklUAoEpDIZAiIuioBIIdQEU5kBUF8KMHAibHcrRDJp3EguiHTQ/zfSvOZEfkRdh9ZQBAAA=",
    );

    fn bytes(text: &str) -> Vec<u8> {
        base64::engine::general_purpose::STANDARD.decode(text).unwrap()
    }

    fn candidates() -> String {
        (0u32..12).map(|n| format!("a=candidate:{n} udp {} typ host\r\n", n * 7919 % 65536)).collect()
    }

    #[test]
    fn what_zlib_writes_is_read() {
        let cases = [
            (STORED, "as it is"),
            (FIXED, "roomd roomd roomd"),
            (EVERY_HEADER_FIELD, "named"),
            (DYNAMIC, &candidates()),
        ];
        for (packed, text) in cases {
            assert_eq!(decompress(&bytes(packed), 1000).as_deref(), Ok(text.as_bytes()));
        }
    }

    #[test]
    fn the_limit_holds_to_the_byte() {
        assert_eq!(decompress(&bytes(FIXED), 17).map(|out| out.len()), Ok(17));
        assert_eq!(decompress(&bytes(FIXED), 16), Err(GzipError::TooLong { limit: 16 }));
    }

    #[test]
    fn every_single_damage_is_noticed_or_without_effect() {
        let (whole, text) = (bytes(DYNAMIC), candidates());
        for at in 0..whole.len() {
            assert!(decompress(&whole[..at], 1000).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bent = whole.clone();
                bent[at] ^= 1 << bit;
                let read = decompress(&bent, 1000);
                assert!(read.is_err() || read.as_deref() == Ok(text.as_bytes()), "bit {bit} of {at}");
            }
        }
        let longer = [whole.as_slice(), b"x"].concat();
        assert_eq!(decompress(&longer, 1000), Err(GzipError::Format));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let packed = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], body.as_slice()].concat();
            let _ = decompress(&packed, 10_000);
            let _ = decompress(&body, 10_000);
        }
    }
}
