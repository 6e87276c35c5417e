//! The ioctls, each with the type of its argument. Types and codes are the kernel's own, by bindgen.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::from_mut;

use v4l::v4l_sys::*;
use v4l::v4l2::vidioc;

/// A request and the type that it takes.
pub(super) struct Request<T>(vidioc::_IOC_TYPE, PhantomData<T>);

const fn request<T>(code: vidioc::_IOC_TYPE) -> Request<T> {
    Request(code, PhantomData)
}

pub(super) const QUERYCAP: Request<v4l2_capability> = request(vidioc::VIDIOC_QUERYCAP);
pub(super) const ENUM_FMT: Request<v4l2_fmtdesc> = request(vidioc::VIDIOC_ENUM_FMT);
pub(super) const ENUM_FRAMESIZES: Request<v4l2_frmsizeenum> = request(vidioc::VIDIOC_ENUM_FRAMESIZES);
pub(super) const ENUM_FRAMEINTERVALS: Request<v4l2_frmivalenum> = request(vidioc::VIDIOC_ENUM_FRAMEINTERVALS);
pub(super) const TRY_FMT: Request<v4l2_format> = request(vidioc::VIDIOC_TRY_FMT);
pub(super) const S_FMT: Request<v4l2_format> = request(vidioc::VIDIOC_S_FMT);
pub(super) const S_PARM: Request<v4l2_streamparm> = request(vidioc::VIDIOC_S_PARM);
pub(super) const REQBUFS: Request<v4l2_requestbuffers> = request(vidioc::VIDIOC_REQBUFS);
pub(super) const QUERYBUF: Request<v4l2_buffer> = request(vidioc::VIDIOC_QUERYBUF);
pub(super) const QBUF: Request<v4l2_buffer> = request(vidioc::VIDIOC_QBUF);
pub(super) const DQBUF: Request<v4l2_buffer> = request(vidioc::VIDIOC_DQBUF);
pub(super) const STREAMON: Request<u32> = request(vidioc::VIDIOC_STREAMON);
pub(super) const STREAMOFF: Request<u32> = request(vidioc::VIDIOC_STREAMOFF);
pub(super) const QUERY_EXT_CTRL: Request<v4l2_query_ext_ctrl> = request(vidioc::VIDIOC_QUERY_EXT_CTRL);
pub(super) const QUERYMENU: Request<v4l2_querymenu> = request(vidioc::VIDIOC_QUERYMENU);
pub(super) const G_CTRL: Request<v4l2_control> = request(vidioc::VIDIOC_G_CTRL);
pub(super) const S_CTRL: Request<v4l2_control> = request(vidioc::VIDIOC_S_CTRL);
pub(super) const S_EXT_CTRLS: Request<v4l2_ext_controls> = request(vidioc::VIDIOC_S_EXT_CTRLS);

/// A structure of the kernel's with every byte zero, as V4L2 wants unused fields.
pub(super) fn zeroed<T: Plain>() -> T {
    // SAFETY: that is what `Plain` promises.
    unsafe { std::mem::zeroed() }
}

/// # Safety
/// All bytes zero must be a value of the type.
pub(super) unsafe trait Plain {}

macro_rules! plain {
    ($($name:ty),*) => { $(
        // SAFETY: numbers, arrays and unions of them, and raw pointers.
        unsafe impl Plain for $name {}
    )* };
}
plain!(v4l2_capability, v4l2_fmtdesc, v4l2_frmsizeenum, v4l2_frmivalenum, v4l2_format, v4l2_streamparm);
plain!(v4l2_requestbuffers, v4l2_buffer, v4l2_plane, v4l2_query_ext_ctrl, v4l2_querymenu, v4l2_control);
plain!(v4l2_ext_control, v4l2_ext_controls);

/// Asks the driver behind `fd`; again when a signal came in between.
///
/// # Errors
/// The system's.
///
/// # Safety
/// Pointers within `argument` must point to as much memory as its counts say, ours to write.
pub(super) unsafe fn ioctl<T>(fd: &OwnedFd, request: &Request<T>, argument: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: the request's argument is a T, which is ours; the rest is promised by the caller. The type of the
        // code differs between C libraries.
        let result = unsafe { libc::ioctl(fd.as_raw_fd(), request.0 as _, from_mut(argument)) };
        if result != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
