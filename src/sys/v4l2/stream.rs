//! Streaming from memory-mapped buffers.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{NonNull, null_mut};
use std::time::Duration;

use v4l::v4l_sys::*;

use super::raw::{self, ioctl, zeroed};
use super::{Device, PLANES};

/// Buffers that the driver fills in turn. When all are full it drops frames by itself: a picture is converted in a
/// few milliseconds, so that happens only when this thread gets no CPU for 100 ms.
const BUFFERS: u32 = 4;
/// A driver that gives more is not believed.
const MOST_BUFFERS: u32 = 32;

/// Nanoseconds of `CLOCK_MONOTONIC`, which drivers stamp their frames with.
pub fn monotonic_nanos() -> i64 {
    // SAFETY: timespec is plain numbers.
    let mut now: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `now` is ours to write; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    // On 32-bit targets these fields are 32 bits wide.
    #[allow(clippy::unnecessary_cast)]
    (now.tv_sec as i64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as i64)
}

/// A buffer's memory, shared with the driver.
#[derive(Debug)]
struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: the memory belongs to the mapping alone, on whichever thread it is.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped with this length by `map`; nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr(), self.length) };
    }
}

/// A running stream; stops and gives its memory back when dropped.
#[derive(Debug)]
pub struct Stream {
    // Before the device: the memory goes before it is closed.
    buffers: Vec<Vec<Mapping>>,
    device: Device,
    /// A buffer could not be given back: told at the next frame.
    broken: Option<io::Error>,
}

impl Stream {
    /// Maps buffers for the format that was set and starts.
    ///
    /// # Errors
    /// The system's (`EBUSY`: another program streams; `ENOSPC`: no room on the USB bus), `InvalidData` for an answer
    /// that cannot be.
    pub fn start(device: Device) -> io::Result<Stream> {
        let mut request: v4l2_requestbuffers = zeroed();
        (request.count, request.memory) = (BUFFERS, v4l2_memory_V4L2_MEMORY_MMAP);
        request.type_ = device.capability().buffer_type();
        // SAFETY: no pointers in it.
        unsafe { ioctl(&device.fd, &raw::REQBUFS, &mut request) }?;
        if request.count == 0 || request.count > MOST_BUFFERS {
            let text = format!("the driver gives {} buffers", request.count);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut stream = Stream { buffers: Vec::new(), device, broken: None };
        for index in 0..request.count {
            let mapped = stream.map(index)?;
            stream.buffers.push(mapped);
            stream.queue(index)?;
        }
        let mut kind = stream.device.capability().buffer_type();
        // SAFETY: a number.
        unsafe { ioctl(&stream.device.fd, &raw::STREAMON, &mut kind) }?;
        Ok(stream)
    }

    /// Its device, to set controls.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// An empty description of buffer `index`, with room for its planes.
    fn describe(&self, index: u32, planes: &mut [v4l2_plane; 8]) -> v4l2_buffer {
        let mut buffer: v4l2_buffer = zeroed();
        (buffer.index, buffer.memory) = (index, v4l2_memory_V4L2_MEMORY_MMAP);
        buffer.type_ = self.device.capability().buffer_type();
        if self.device.is_multi_planar() {
            buffer.m.planes = planes.as_mut_ptr();
            buffer.length = planes.len() as u32;
        }
        buffer
    }

    fn map(&self, index: u32) -> io::Result<Vec<Mapping>> {
        let mut planes = [zeroed(); 8];
        let mut buffer = self.describe(index, &mut planes);
        // SAFETY: `planes` has as many entries as `length` says, and outlives the call.
        unsafe { ioctl(&self.device.fd, &raw::QUERYBUF, &mut buffer) }?;
        if !self.device.is_multi_planar() {
            // SAFETY: for mapped memory of one plane the union is the offset.
            let offset = unsafe { buffer.m.offset };
            return Ok(vec![self.mapping(buffer.length, offset)?]);
        }
        let used = planes.iter().take((buffer.length as usize).min(PLANES));
        // SAFETY: for mapped memory the union is the offset.
        used.map(|plane| self.mapping(plane.length, unsafe { plane.m.mem_offset })).collect()
    }

    fn mapping(&self, length: u32, offset: u32) -> io::Result<Mapping> {
        let length = length as usize;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let fd = self.device.fd.as_raw_fd();
        // The kernel hands out offsets as 32 bits that fit this type.
        let offset = offset as libc::off_t;
        // SAFETY: a new mapping, where the kernel chooses; it checks offset and length against its buffers.
        let start = unsafe { libc::mmap(null_mut(), length, access, libc::MAP_SHARED, fd, offset) };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Mapping { start, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn queue(&self, index: u32) -> io::Result<()> {
        let mut planes = [zeroed(); 8];
        let mut buffer = self.describe(index, &mut planes);
        if self.device.is_multi_planar() {
            buffer.length = self.buffers.get(index as usize).map_or(0, Vec::len) as u32;
        }
        // SAFETY: `planes` has at least as many entries as `length` says, and outlives the call.
        unsafe { ioctl(&self.device.fd, &raw::QBUF, &mut buffer) }
    }

    /// Waits at most `wait` for a picture; None when none came.
    ///
    /// # Errors
    /// The system's: `ENODEV` when the camera was unplugged, `EIO` when it failed.
    pub fn next(&mut self, wait: Duration) -> io::Result<Option<Buffer<'_>>> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let failed = match self.poll(wait)? {
            0 => return Ok(None),
            events => events & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0,
        };
        let mut planes = [zeroed(); 8];
        let mut buffer = self.describe(0, &mut planes);
        // SAFETY: `planes` has as many entries as `length` says, and outlives the call.
        match unsafe { ioctl(&self.device.fd, &raw::DQBUF, &mut buffer) } {
            // Polled as failed, and nothing to fetch: it would be polled so for ever.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && failed => {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(()) => self.lend(&buffer, &planes).map(Some),
        }
    }

    fn poll(&self, wait: Duration) -> io::Result<i16> {
        let mut poll = libc::pollfd { fd: self.device.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one entry, ours.
        match unsafe { libc::poll(&raw mut poll, 1, millis) } {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            },
            _ => Ok(poll.revents),
        }
    }

    fn lend(&mut self, buffer: &v4l2_buffer, planes: &[v4l2_plane; 8]) -> io::Result<Buffer<'_>> {
        let Some(mapped) = self.buffers.get(buffer.index as usize) else {
            let text = format!("the driver gives buffer {} of {}", buffer.index, self.buffers.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        };
        let mut filled = [(0, 0); PLANES];
        for (n, (place, mapping)) in filled.iter_mut().zip(mapped).enumerate() {
            let (from, to) = match planes.get(n) {
                Some(plane) if self.device.is_multi_planar() => (plane.data_offset, plane.bytesused),
                _ => (0, buffer.bytesused),
            };
            // What a driver says of its buffers is not believed beyond their length.
            let to = (to as usize).min(mapping.length);
            *place = ((from as usize).min(to), to);
        }
        let monotonic = buffer.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        // On 32-bit targets these fields are 32 bits wide.
        #[allow(clippy::unnecessary_cast)]
        let (seconds, micros) = (buffer.timestamp.tv_sec as i64, buffer.timestamp.tv_usec as i64);
        let nanos = seconds.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1_000));
        Ok(Buffer {
            index: buffer.index,
            planes: mapped.len(),
            filled,
            stamp: monotonic.then_some(nanos),
            sequence: buffer.sequence,
            damaged: buffer.flags & V4L2_BUF_FLAG_ERROR != 0,
            stream: self,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut kind = self.device.capability().buffer_type();
        // SAFETY: a number. That a camera which is gone does not stop is of no use to anyone.
        let _ = unsafe { ioctl(&self.device.fd, &raw::STREAMOFF, &mut kind) };
    }
}

/// A picture as the driver filled it; given back when dropped.
#[derive(Debug)]
pub struct Buffer<'a> {
    stream: &'a mut Stream,
    index: u32,
    planes: usize,
    filled: [(usize, usize); PLANES],
    /// Nanoseconds of `CLOCK_MONOTONIC` (see [`monotonic_nanos`]) when it was captured, if the driver stamps with
    /// that clock. Not checked.
    pub stamp: Option<i64>,
    /// Counts the frames that the camera captured, those lost included.
    pub sequence: u32,
    /// The driver says that something is wrong with its content.
    pub damaged: bool,
}

impl Buffer<'_> {
    /// The bytes of each plane that were filled; at most the buffer's length, whatever the driver says.
    pub fn planes(&self) -> Vec<&[u8]> {
        let mapped = self.stream.buffers.get(self.index as usize).map(Vec::as_slice).unwrap_or_default();
        let each = mapped.iter().zip(self.filled).take(self.planes);
        each.map(|(mapping, (from, to))| {
            // SAFETY: `lend` made both ends lie within the mapping, which lives as long as the stream that is
            // borrowed; the driver does not write to a buffer that it has handed out.
            unsafe { std::slice::from_raw_parts(mapping.start.as_ptr().cast::<u8>().add(from), to - from) }
        })
        .collect()
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stream.queue(self.index) {
            self.stream.broken = Some(error);
        }
    }
}
