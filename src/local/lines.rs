//! Lines of bounded length.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::MAX_LINE_BYTES;

/// One line, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its newline. May be empty.
    Whole(Vec<u8>),
    /// Longer than [`MAX_LINE_BYTES`]; the rest was not read.
    TooLong,
    /// The other side has hung up. A last line without its newline is dropped: it may be cut.
    End,
}

/// Reads the next line.
pub(super) async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(Line::End);
        }
        let newline = available.iter().position(|byte| *byte == b'\n');
        let taken = newline.unwrap_or(available.len());
        if line.len() + taken > MAX_LINE_BYTES {
            return Ok(Line::TooLong);
        }
        line.extend(available.iter().take(taken));
        reader.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(Line::Whole(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_split_bounded_and_a_cut_last_one_is_dropped() {
        let mut input: &[u8] = b"one\n\ntwo";
        assert_eq!(read_line(&mut input).await.unwrap(), Line::Whole(b"one".to_vec()));
        assert_eq!(read_line(&mut input).await.unwrap(), Line::Whole(Vec::new()));
        assert_eq!(read_line(&mut input).await.unwrap(), Line::End);
        let mut exact = vec![b'x'; MAX_LINE_BYTES];
        exact.push(b'\n');
        assert!(matches!(read_line(&mut exact.as_slice()).await.unwrap(), Line::Whole(_)));
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(read_line(&mut long.as_slice()).await.unwrap(), Line::TooLong);
    }
}
