//! The machine-readable time in the pixels of the test picture.
//!
//! The top of the picture holds 2 rows of 32 square cells, each a 32nd of the width wide and high; row 0 then row 1,
//! left to right, most significant bit first: 48 bits of wall-clock time (Unix time in units of 100 µs), then 16 bits
//! of CRC-16/CCITT-FALSE over the six big-endian bytes of the time. A 1 has luma 215, a 0 luma 40; chroma is 128.
//! A cell is read by the mean of its inner half, so that it survives scaling to 320x180 and a low bitrate.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::media::VideoFrame;

/// Cells of one row.
const COLUMNS: usize = 32;
/// Rows of cells.
const ROWS: usize = 2;
const ONE: u8 = 215;
const ZERO: u8 = 40;
const THRESHOLD: u64 = 128;

/// `time` in the units of the pixels: 100 µs since 1970, 48 bits of them (until the year 2861).
pub fn ticks(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_micros() / 100) as u64 & 0xffff_ffff_ffff
}

/// Draws `time` into the top of `frame`, which must be at least 32 pixels wide and a 16th of its width high.
pub fn write(frame: &mut VideoFrame, time: SystemTime) {
    let (width, height) = (frame.size().width as usize, frame.size().height as usize);
    let bits = coded(ticks(time));
    let (y, u, v) = frame.planes_mut();
    let bottom = (ROWS * width / COLUMNS).min(height);
    for (row, line) in y.chunks_exact_mut(width).take(bottom).enumerate() {
        let first = (row * COLUMNS / width) * COLUMNS;
        for column in 0..COLUMNS {
            let bit = bits >> (63 - (first + column)) & 1;
            line[column * width / COLUMNS..(column + 1) * width / COLUMNS].fill(if bit == 1 {
                ONE
            } else {
                ZERO
            });
        }
    }
    let chroma = (bottom.div_ceil(2) * (width / 2)).min(u.len());
    u[..chroma].fill(128);
    v[..chroma].fill(128);
}

/// Reads the time (see [`ticks`]) from a luma plane with rows `stride` bytes apart. None when there is none, or the
/// picture is too damaged or too small (under 160 pixels wide).
pub fn read(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<u64> {
    let fits = width >= 160 && stride >= width && height >= ROWS * width / COLUMNS;
    if !fits || luma.len() < (height - 1) * stride + width {
        return None;
    }
    let bits = (0..ROWS * COLUMNS)
        .fold(0u64, |bits, cell| bits << 1 | u64::from(mean(luma, stride, width, cell) >= THRESHOLD));
    let ticks = bits >> 16;
    (coded(ticks) == bits).then_some(ticks)
}

/// Mean luma of the inner half of `cell`, which lies within the plane.
fn mean(luma: &[u8], stride: usize, width: usize, cell: usize) -> u64 {
    let inner = |n: usize| {
        let (from, to) = (n * width / COLUMNS, (n + 1) * width / COLUMNS);
        let quarter = (to - from) / 4;
        from + quarter..to - quarter
    };
    let (columns, rows) = (inner(cell % COLUMNS), inner(cell / COLUMNS));
    let pixels = (columns.len() * rows.len()) as u64;
    let sum: u64 = rows
        .flat_map(|row| luma[row * stride + columns.start..row * stride + columns.end].iter())
        .map(|luma| u64::from(*luma))
        .sum();
    sum / pixels.max(1)
}

/// 48 bits of time and their checksum.
fn coded(ticks: u64) -> u64 {
    ticks << 16 | u64::from(crc16(&ticks.to_be_bytes()[2..]))
}

/// CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xffff, nothing reflected or inverted.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::MediaTime;
    use crate::base::units::Size;

    #[test]
    fn the_checksum_is_that_of_the_catalogue() {
        assert_eq!(crc16(b"123456789"), 0x29b1);
    }

    #[test]
    fn what_is_written_is_read_at_every_size_and_nothing_is_read_from_a_plain_picture() {
        let time = UNIX_EPOCH + Duration::from_micros(1_795_204_800_123_400);
        for (width, height) in [(1280, 720), (320, 180), (160, 90), (854, 480), (1920, 1080), (640, 480)] {
            let mut frame = VideoFrame::black(Size::new(width, height), MediaTime::ZERO);
            let (width, height) = (width as usize, height as usize);
            assert_eq!(read(frame.planes().0, width, width, height), None);
            write(&mut frame, time);
            assert_eq!(read(frame.planes().0, width, width, height), Some(17_952_048_001_234));
        }
    }

    #[test]
    fn one_cell_that_is_wrong_is_noticed() {
        let mut frame = VideoFrame::black(Size::new(320, 180), MediaTime::ZERO);
        write(&mut frame, UNIX_EPOCH + Duration::from_secs(1_795_204_800));
        for row in frame.planes_mut().0.chunks_mut(320).take(10) {
            row[50..60].iter_mut().for_each(|luma| *luma = 255 - *luma);
        }
        assert_eq!(read(frame.planes().0, 320, 320, 180), None);
    }
}
