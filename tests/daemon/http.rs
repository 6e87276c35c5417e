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
    /// The value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

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
    let connection = headers.iter().any(|header| header.starts_with("Connection:"));
    let connection = if connection { "" } else { "Connection: close\r\n" };
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("{line} HTTP/1.1\r\nHost: {address}\r\n{connection}{more}\r\n");
    stream.write_all(request.as_bytes()).expect("the request is taken");
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    // Until the end of the answer or of the connection; a reset after the answer is the box's good right.
    while !is_whole(&answer) {
        match stream.read(&mut chunk) {
            Ok(read) if read > 0 => answer.extend_from_slice(&chunk[..read]),
            _ => break,
        }
    }
    let end = head_end(&answer).unwrap_or_else(|| panic!("no HTTP answer to {line}: {answer:?}"));
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

fn head_end(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|four| four == b"\r\n\r\n")
}

/// By its `content-length`; without one it ends with the connection.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = head_end(answer) else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}
