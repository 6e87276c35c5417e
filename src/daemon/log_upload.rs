//! The job `log_upload`: the journal of a range of time, compressed, to a presigned URL.
//!
//! It is compressed into a file first, which has no name any more and is gone with the process: a presigned PUT must say
//! its length, and a second attempt must send the same.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::https_put::{Failure, Put};
use super::jobs::News;
use crate::base::Shutdown;
use crate::base::backoff::Backoff;
use crate::control::Code;
use crate::control::job::LogUpload;
use crate::sys;

/// Most that is sent, compressed. Beyond it the job fails: a smaller range is to be asked for.
const MAX_PACKED: u64 = 64 << 20;
/// Longest wait between two attempts, and the first one.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long the child is waited for before somebody looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(500);
/// Longest complaint of the child's that is read, in bytes.
const MAX_COMPLAINT: usize = 4096;

/// An upload on its way; dropping it ends it.
#[derive(Debug)]
pub struct Uploading {
    stop: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// Begins; `tell` hears how it goes, and the end.
pub fn start(id: String, upload: LogUpload, spool: PathBuf, tell: mpsc::Sender<News>) -> Uploading {
    let stop = Shutdown::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let ended = match run(&id, upload, spool, &tell, stopped).await {
            Ok(bytes) => News::Ended(id, Code::Ok, format!("{bytes} bytes sent")),
            Err(Fault { code, message }) => News::Ended(id, code, message),
        };
        let _ = tell.send(ended).await;
    });
    Uploading { stop, task }
}

/// Why it did not work, for good.
#[derive(Debug)]
struct Fault {
    code: Code,
    message: String,
}

fn fault(code: Code, message: impl Into<String>) -> Fault {
    Fault { code, message: message.into() }
}

async fn run(
    id: &str,
    upload: LogUpload,
    spool: PathBuf,
    tell: &mpsc::Sender<News>,
    stop: Shutdown,
) -> Result<u64, Fault> {
    let (since, until) = (upload.since.unix_timestamp(), upload.until.unix_timestamp());
    let (name, stopped) = (id.to_owned(), stop.clone());
    let collecting = tokio::task::spawn_blocking(move || collect(&name, since, until, &spool, &stopped));
    let (file, bytes) =
        collecting.await.map_err(|_| fault(Code::Internal, "collecting the log failed"))??;
    let put = Put::new(upload.url).map_err(|error| fault(Code::Internal, error))?;
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let file = file.try_clone().map_err(|error| fault(Code::Internal, error.to_string()))?;
        let (told, job) = (tell.clone(), id.to_owned());
        // A tenth for collecting, the rest for sending. A full queue leaves out a step.
        let sent = move |part: u64| {
            let percent = 10 + part.saturating_mul(89).checked_div(bytes).unwrap_or(89).min(89);
            let _ = told.try_send(News::Progress(job.clone(), "sending", percent as u8));
        };
        match put.send(file, bytes, sent).await {
            Ok(()) => return Ok(bytes),
            Err(Failure::Refused(status)) => {
                return Err(fault(Code::Upstream, format!("the server answered {status}")));
            }
            Err(failure) => {
                let delay = backoff.next_delay(&mut rand::rng());
                info!(id, %failure, ?delay, "the log could not be sent, trying again after the delay");
                let _ = tell.try_send(News::Progress(id.to_owned(), "waiting_to_retry", 10));
                tokio::time::sleep(delay).await;
            }
        }
    }
}

/// The journal from `since` to `until` (seconds since 1970), compressed, with its size in bytes.
fn collect(id: &str, since: i64, until: i64, spool: &Path, stop: &Shutdown) -> Result<(File, u64), Fault> {
    let file = nameless(&spool.join(format!("log-{id}.gz"))).map_err(|error| {
        fault(Code::Internal, format!("no file for the log in {}: {error}", spool.display()))
    })?;
    let mut command = Command::new("journalctl");
    command
        .args([&format!("--since=@{since}"), &format!("--until=@{until}")])
        .args(["--no-pager", "--output=short-iso-precise", "--utc", "--merge"])
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    sys::child::limit(&mut command);
    let child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            fault(Code::Unsupported, "this box has no journal (journalctl is missing)")
        }
        _ => fault(Code::Internal, format!("journalctl: {error}")),
    })?;
    let mut reading =
        Reading { child, packer: GzEncoder::new(file, Compression::default()), complaint: Vec::new() };
    reading.read(stop)?;
    let status =
        reading.child.wait().map_err(|error| fault(Code::Internal, format!("journalctl: {error}")))?;
    let said = String::from_utf8_lossy(&reading.complaint).into_owned();
    complained(&said)?;
    if !status.success() {
        let line: String = said.lines().next().unwrap_or_default().chars().take(200).collect();
        return Err(fault(Code::Internal, format!("journalctl: {status}: {line}")));
    }
    let written =
        |error: std::io::Error| fault(Code::Internal, format!("the log cannot be written: {error}"));
    let file = reading.packed().map_err(written)?;
    let bytes = file.metadata().map_err(written)?.len();
    debug!(id, bytes, "the log is collected");
    Ok((file, bytes))
}

/// What journalctl says while it exits well, or not, that means that there is nothing to be had.
fn complained(said: &str) -> Result<(), Fault> {
    if said.contains("insufficient permissions") || said.contains("not seeing messages") {
        let message = "roomd may not read the system's journal (it is not in the group systemd-journal)";
        return Err(fault(Code::Unauthorized, message));
    }
    if said.contains("No journal files were found") {
        return Err(fault(Code::Unsupported, "this box keeps no journal"));
    }
    Ok(())
}

/// A new file for its owner only, that nobody can open by a name.
fn nameless(path: &Path) -> std::io::Result<File> {
    let _ = std::fs::remove_file(path);
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// A child that writes; killed when dropped.
struct Reading {
    child: Child,
    packer: GzEncoder<File>,
    complaint: Vec<u8>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reading {
    /// Until the child has closed its output.
    fn read(&mut self, stop: &Shutdown) -> Result<(), Fault> {
        let lost = |error: std::io::Error| fault(Code::Internal, format!("journalctl: {error}"));
        let (mut output, mut errors) = (self.child.stdout.take(), self.child.stderr.take());
        let mut bytes = vec![0; 64 * 1024];
        while output.is_some() || errors.is_some() {
            if stop.is_cancelled() {
                return Err(fault(Code::Timeout, "given up"));
            }
            let pipes = [output.as_ref().map(AsFd::as_fd), errors.as_ref().map(AsFd::as_fd)];
            let [text, complaint] = sys::child::readable(pipes, PATIENCE).map_err(lost)?;
            if text && let Some(pipe) = &mut output {
                match pipe.read(&mut bytes).map_err(lost)? {
                    0 => output = None,
                    length => self.pack(bytes.get(..length).unwrap_or_default())?,
                }
            }
            if complaint && let Some(pipe) = &mut errors {
                match pipe.read(&mut bytes).map_err(lost)? {
                    0 => errors = None,
                    length => {
                        let room = MAX_COMPLAINT.saturating_sub(self.complaint.len()).min(length);
                        self.complaint.extend_from_slice(bytes.get(..room).unwrap_or_default());
                    }
                }
            }
        }
        Ok(())
    }

    fn pack(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let packed =
            |error: std::io::Error| fault(Code::Internal, format!("the log cannot be written: {error}"));
        self.packer.write_all(bytes).map_err(packed)?;
        if self.packer.get_ref().metadata().map_err(packed)?.len() > MAX_PACKED {
            let message = format!("more than {MAX_PACKED} bytes of log, compressed: ask for a shorter range");
            return Err(fault(Code::BadRequest, message));
        }
        Ok(())
    }

    fn packed(&mut self) -> std::io::Result<File> {
        self.packer.try_finish()?;
        self.packer.get_ref().try_clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_without_a_journal_and_one_that_may_not_read_it_say_so() {
        let code = |said| complained(said).unwrap_err().code;
        assert_eq!(code("No journal files were found.\n"), Code::Unsupported);
        assert_eq!(code("No journal files were opened due to insufficient permissions."), Code::Unauthorized);
        assert_eq!(code("Hint: You are currently not seeing messages from other users"), Code::Unauthorized);
        assert!(complained("").is_ok());
    }

    #[test]
    fn the_file_has_no_name_and_can_be_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = nameless(&dir.path().join("log")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        file.write_all(b"text").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 4);
    }
}
