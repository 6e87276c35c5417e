//! AMF0 (Adobe's Action Message Format 0), as far as commands need it.

use super::RtmpError;

/// Values inside values that are read. Real servers nest two deep; each level takes stack.
const MAX_DEPTH: u32 = 8;
/// Values of one message that are read.
const MAX_VALUES: u32 = 1000;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0a;
const DATE: u8 = 0x0b;
const LONG_STRING: u8 = 0x0c;

/// A value as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Boolean(bool),
    Text(String),
    /// Objects and associative arrays.
    Object(Vec<(String, Value)>),
    List(Vec<Value>),
    /// Null, undefined and dates: nothing that a publisher is told by.
    Nothing,
}

impl Value {
    /// The member `name` of an object.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// Every value of a message.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Value>, RtmpError> {
    let mut reader = Reader { rest: bytes, values: 0 };
    let mut values = Vec::new();
    while !reader.rest.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    rest: &'a [u8],
    values: u32,
}

const CUT_OFF: RtmpError = RtmpError::Malformed("a command that is cut off");

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], RtmpError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, RtmpError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    /// A big-endian number of `count` bytes.
    fn unsigned(&mut self, count: usize) -> Result<usize, RtmpError> {
        Ok(self.take(count)?.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    }

    /// What is no UTF-8 is replaced: it is shown to people at most.
    fn text(&mut self, length_bytes: usize) -> Result<String, RtmpError> {
        let length = self.unsigned(length_bytes)?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn value(&mut self, depth: u32) -> Result<Value, RtmpError> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err(RtmpError::Malformed("a command with too many values in it"));
        }
        Ok(match self.byte()? {
            NUMBER => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Value::Number(f64::from_be_bytes(bytes))
            }
            BOOLEAN => Value::Boolean(self.byte()? != 0),
            STRING => Value::Text(self.text(2)?),
            LONG_STRING => Value::Text(self.text(4)?),
            NULL | UNDEFINED => Value::Nothing,
            DATE => {
                self.take(10)?;
                Value::Nothing
            }
            OBJECT => Value::Object(self.members(depth)?),
            ECMA_ARRAY => {
                // Its count is only a hint; the end stands behind the last member.
                self.take(4)?;
                Value::Object(self.members(depth)?)
            }
            STRICT_ARRAY => {
                let count = self.unsigned(4)?;
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::List(values)
            }
            _ => return Err(RtmpError::Malformed("a command with a value of unknown type")),
        })
    }

    fn members(&mut self, depth: u32) -> Result<Vec<(String, Value)>, RtmpError> {
        let mut members = Vec::new();
        loop {
            let name = self.text(2)?;
            if name.is_empty() && self.rest.first() == Some(&OBJECT_END) {
                self.byte()?;
                return Ok(members);
            }
            members.push((name, self.value(depth + 1)?));
        }
    }
}

/// Writes values one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn number(mut self, number: f64) -> Self {
        self.bytes.push(NUMBER);
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn boolean(mut self, value: bool) -> Self {
        self.bytes.extend_from_slice(&[BOOLEAN, u8::from(value)]);
        self
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        match u16::try_from(text.len()) {
            Ok(length) => {
                self.bytes.push(STRING);
                self.bytes.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                self.bytes.push(LONG_STRING);
                self.bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    pub(super) fn null(mut self) -> Self {
        self.bytes.push(NULL);
        self
    }

    /// Begins an object, up to [`Writer::end`].
    pub(super) fn object(mut self) -> Self {
        self.bytes.push(OBJECT);
        self
    }

    /// Begins an associative array of `count` members, up to [`Writer::end`].
    pub(super) fn array(mut self, count: u32) -> Self {
        self.bytes.push(ECMA_ARRAY);
        self.bytes.extend_from_slice(&count.to_be_bytes());
        self
    }

    /// The name of the member whose value comes next: a literal, well below 64 KiB.
    pub(super) fn member(mut self, name: &'static str) -> Self {
        self.bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self
    }

    pub(super) fn end(mut self) -> Self {
        self.bytes.extend_from_slice(&[0, 0, OBJECT_END]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let long = "x".repeat(70_000);
        let bytes = Writer::default()
            .text("connect")
            .number(1.0)
            .object()
            .member("app")
            .text("live")
            .member("ok")
            .boolean(true)
            .end()
            .null()
            .array(1)
            .member("width")
            .number(1280.0)
            .end()
            .text(&long)
            .bytes;
        let values = read(&bytes).unwrap();
        assert_eq!(values[0].text(), Some("connect"));
        assert_eq!(values[2].member("app").and_then(Value::text), Some("live"));
        assert_eq!(values[2].member("ok"), Some(&Value::Boolean(true)));
        assert_eq!(values[3], Value::Nothing);
        assert_eq!(values[4].member("width").and_then(Value::number), Some(1280.0));
        assert_eq!(values[5].text(), Some(long.as_str()));
    }

    #[test]
    fn objects_within_objects_and_endless_arrays_are_refused() {
        let nested: Vec<u8> = [OBJECT, 0, 1, b'a'].repeat(100_000);
        assert!(matches!(read(&nested), Err(RtmpError::Malformed(_))));
        let arrays: Vec<u8> = [STRICT_ARRAY, 0, 0, 0, 1].repeat(100_000);
        assert!(matches!(read(&arrays), Err(RtmpError::Malformed(_))));
        let mut wide = vec![STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff];
        wide.resize(100_000, NULL);
        assert!(matches!(read(&wide), Err(RtmpError::Malformed(_))));
        assert!(matches!(read(&[STRING, 0xff, 0xff, b'x']), Err(RtmpError::Malformed(_))));
    }
}
