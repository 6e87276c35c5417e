//! gzip, reading only (RFC 1952): a client's join request in its URL. Bounded by the caller.

use std::io::{ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// Why bytes are no gzip file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    /// Another format, corrupt, or something after the end.
    #[error("not one whole gzip member of deflated data")]
    Malformed,
    /// It ends too early.
    #[error("gzip data ends too early")]
    Truncated,
    /// More than the caller takes.
    #[error("gzip data has more than {limit} bytes when decompressed")]
    TooLong {
        /// The caller's limit, in bytes.
        limit: usize,
    },
}

/// Decompresses one whole member; never makes more than `limit` bytes and one of it.
///
/// # Errors
/// [`GzipError`].
pub fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    let (mut decoder, mut out) = (GzDecoder::new(bytes), Vec::new());
    let read = decoder.by_ref().take((limit as u64).saturating_add(1)).read_to_end(&mut out);
    if out.len() > limit {
        return Err(GzipError::TooLong { limit });
    }
    read.map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => GzipError::Truncated,
        _ => GzipError::Malformed,
    })?;
    if decoder.into_inner().is_empty() { Ok(out) } else { Err(GzipError::Malformed) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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
    fn a_bomb_is_left_at_the_limit() {
        // 64 MiB of zeros: by zlib 65 kB.
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..1024).for_each(|_| packer.write_all(&[0; 65536]).unwrap());
        let bomb = packer.finish().unwrap();
        assert!(bomb.len() < 100_000);
        assert_eq!(decompress(&bomb, 1 << 20), Err(GzipError::TooLong { limit: 1 << 20 }));
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
        assert_eq!(decompress(&longer, 1000), Err(GzipError::Malformed));
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
