//! Plain HTTP by hand, so that a test sees exactly what a stranger would.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::roomd::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET path` with more header lines, like `"Authorization: Bearer x"`.
pub fn get(address: &str, path: &str, headers: &[&str]) -> Answer {
    request(address, &format!("GET {path}"), headers)
}

/// A request without a body.
pub fn request(address: &str, line: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the box listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).expect("the request is taken");
    let mut answer = Vec::new();
    // A reset after the answer is the box's good right.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an HTTP answer");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head, body: answer[end + 4..].to_vec() }
}
