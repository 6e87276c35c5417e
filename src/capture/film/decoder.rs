//! One `ffmpeg` that decodes one track of a film, once, into a pipe.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::base::Shutdown;
use crate::capture::CaptureError;
use crate::sys::child;

/// How often a read that waits looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);
/// Of what the program complains about, this much is kept: enough for the last line.
const COMPLAINT_BYTES: usize = 4096;

/// A limited child: no stdin, no network, killed when dropped or when its thread ends.
pub struct Decoder {
    path: PathBuf,
    child: Child,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    complaint: Vec<u8>,
}

/// What [`Decoder::fill`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// All of the buffer, or less only at the film's end; never zero bytes.
    Bytes(usize),
    /// Nothing: the film is over.
    End,
    /// Nothing of use: we are asked to stop.
    Stopped,
}

/// A command for `program` on the film `path`, limited and without stdin.
pub fn command(program: &str, path: &Path, before: &[&str], after: &[&str]) -> Command {
    // "file:" keeps ffmpeg from seeing another protocol in a path; the whitelist keeps a film from naming one.
    let mut input = OsString::from("file:");
    input.push(path);
    let mut command = Command::new(program);
    command
        .args(["-v", "error", "-protocol_whitelist", "file"])
        .args(before)
        .arg("-i")
        .arg(input)
        .args(after);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    child::limit(&mut command);
    command
}

/// The last line that is not empty, readable, without the film's path (the error has it already).
pub fn last_line(complaint: &[u8], path: &Path) -> String {
    let text = String::from_utf8_lossy(complaint);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let named = format!("file:{}: ", path.display());
    last.map_or("it said nothing", |line| line.strip_prefix(&named).unwrap_or(line)).to_owned()
}

impl Decoder {
    /// Starts `program` (`ffmpeg`) on `path` at `from` seconds; `output` are its output options.
    pub fn start(
        program: &'static str,
        path: &Path,
        from: f64,
        output: &[&str],
    ) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Program { path: path.to_owned(), program: "ffmpeg", source };
        let from = format!("{from:.6}");
        let mut child = command(program, path, &["-nostdin", "-threads", "2", "-ss", &from], output)
            .spawn()
            .map_err(failed)?;
        let (Some(stdout), stderr) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        child::widen(stdout.as_fd());
        Ok(Decoder { path: path.to_owned(), child, stdout, stderr, complaint: Vec::new() })
    }

    /// Reads until `buffer` is full or the film ends. Blocks; looks for `shutdown` meanwhile.
    ///
    /// # Errors
    /// When the program ends with an error.
    pub fn fill(&mut self, buffer: &mut [u8], shutdown: &Shutdown) -> Result<Filled, CaptureError> {
        let mut filled = 0;
        while filled < buffer.len() {
            if shutdown.is_cancelled() {
                return Ok(Filled::Stopped);
            }
            let [sound, complaint] = self.wait(true)?;
            if complaint {
                self.read_complaint();
            }
            if !sound {
                continue;
            }
            match self.stdout.read(&mut buffer[filled..]).map_err(|source| self.broken(source))? {
                0 if filled > 0 => break,
                0 => return self.ended(shutdown),
                bytes => filled += bytes,
            }
        }
        Ok(Filled::Bytes(filled))
    }

    /// Stdout is closed: how did it end?
    fn ended(&mut self, shutdown: &Shutdown) -> Result<Filled, CaptureError> {
        while self.stderr.is_some() {
            if shutdown.is_cancelled() {
                return Ok(Filled::Stopped);
            }
            if self.wait(false)?[1] {
                self.read_complaint();
            }
        }
        // Both pipes are closed: it is about to exit.
        let status = self.child.wait().map_err(|source| self.broken(source))?;
        if status.success() {
            return Ok(Filled::End);
        }
        let message = format!("{} ({status})", last_line(&self.complaint, &self.path));
        Err(CaptureError::NotAFilm { path: self.path.clone(), program: "ffmpeg", message })
    }

    /// Waits a little for `[stdout, stderr]`; for stdout only if asked.
    fn wait(&self, stdout: bool) -> Result<[bool; 2], CaptureError> {
        let stdout = stdout.then(|| self.stdout.as_fd());
        child::readable([stdout, self.stderr.as_ref().map(AsFd::as_fd)], LOOK)
            .map_err(|source| self.broken(source))
    }

    /// Takes what stands in stderr, which is readable; keeps the end of it.
    fn read_complaint(&mut self) {
        let mut text = [0; COMPLAINT_BYTES];
        let bytes = self.stderr.as_mut().map_or(0, |stderr| stderr.read(&mut text).unwrap_or(0));
        if bytes == 0 {
            self.stderr = None;
        }
        self.complaint.extend_from_slice(&text[..bytes]);
        let old = self.complaint.len().saturating_sub(COMPLAINT_BYTES);
        self.complaint.drain(..old);
    }

    fn broken(&self, source: std::io::Error) -> CaptureError {
        CaptureError::Pipe { path: self.path.clone(), source }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // An error means that it has ended already; wait takes it out of the process table.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
