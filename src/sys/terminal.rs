//! The size of the terminal that something is written to.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Columns and rows of the terminal at `fd`; None: it is none, or does not say.
pub fn terminal_size(fd: BorrowedFd<'_>) -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, which `size` is and which outlives the call; the descriptor is borrowed.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    #[test]
    fn a_file_is_no_terminal() {
        assert_eq!(super::terminal_size(tempfile::tempfile().unwrap().as_fd()), None);
    }
}
