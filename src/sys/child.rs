//! Child processes that cannot outlive us or do much harm, and waiting for what they write.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Address space of a limited child: 2 GiB, several times what decoding 4K takes.
const ADDRESS_SPACE_BYTES: libc::rlim_t = 2 << 30;
/// What Linux lets an unprivileged process ask for by default.
const PIPE_BYTES: libc::c_int = 1 << 20;

/// Makes the process that `command` starts die with the thread that starts it (however that ends), unable to write
/// into files or leave a core, and bounded in memory.
pub fn limit(command: &mut Command) {
    let before_exec = || {
        // SAFETY: prctl and setrlimit are plain system calls, allowed between fork and exec; the structure lives
        // until the call returns.
        unsafe {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            let limits =
                [(libc::RLIMIT_AS, ADDRESS_SPACE_BYTES), (libc::RLIMIT_FSIZE, 0), (libc::RLIMIT_CORE, 0)];
            for (resource, most) in limits {
                let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
                if libc::setrlimit(resource, &limit) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock, as must be between fork and exec.
    unsafe { command.pre_exec(before_exec) };
}

/// Lets `pipe` hold a megabyte, if the system allows it: fewer wake-ups for a picture.
pub fn widen(pipe: BorrowedFd) {
    // SAFETY: fcntl on a descriptor that is open for as long as it is borrowed. A refusal costs only speed.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
}

/// Waits at most `timeout` until reading from either descriptor would not block (there is something, or the end);
/// says from which. Neither after the timeout or a signal. A None never becomes readable.
///
/// # Errors
/// As poll(2).
pub fn readable(pipes: [Option<BorrowedFd>; 2], timeout: Duration) -> io::Result<[bool; 2]> {
    let mut fds = pipes.map(|pipe| libc::pollfd {
        // Negative ones are left out by poll.
        fd: pipe.map_or(-1, |pipe| pipe.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    let timeout_ms = timeout.as_millis().min(60_000) as libc::c_int;
    // SAFETY: the array and its length belong together; the descriptors are open while they are borrowed.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok([false; 2]) } else { Err(error) };
    }
    Ok(fds.map(|fd| fd.revents != 0))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_limited_child_runs_but_writes_no_file() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("written");
        let mut command = Command::new("sh");
        command.arg("-c").arg("echo hello; echo hello > \"$0\"").arg(&file).stdin(Stdio::null());
        limit(&mut command);
        let output = command.output().unwrap();
        assert_eq!(output.stdout, b"hello\n");
        assert!(!output.status.success());
        assert_eq!(std::fs::read(file).unwrap(), b"");
    }

    #[test]
    fn what_a_child_writes_is_noticed() {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg("echo x >&2; exec sleep 60")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        assert_eq!(readable([None, Some(stderr.as_fd())], Duration::from_secs(30)).unwrap(), [false, true]);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
