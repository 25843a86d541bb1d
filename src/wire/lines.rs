//! Lines out of a terminal's byte stream. Pure; memory bounded by one line and one read.

use std::fmt;

/// Longest line in bytes, without its newline.
pub const LINE_MAX: usize = 64 * 1024;
/// How much one read asks for: a request is 300 to 500 bytes, so a pipelining terminal gets ten into one read.
const READ_CHUNK: usize = 4 * 1024;
/// What a buffer may keep between lines: 3,500 connections then hold 56 MiB at most.
const IDLE_CAPACITY_MAX: usize = 4 * READ_CHUNK;

/// Why a connection's bytes can no longer be cut into lines. The terminal gets an answer; then the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineRefusal {
    TooLong,
    NotUtf8,
}

impl fmt::Display for LineRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "line is longer than {LINE_MAX} bytes"),
            Self::NotUtf8 => f.write_str("line is not UTF-8"),
        }
    }
}

impl std::error::Error for LineRefusal {}

/// Takes bytes as they arrive and gives whole lines. The owner takes every line before it reads again.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Bytes before this were given out already.
    begin: usize,
    /// No newline between `begin` and here.
    searched: usize,
    refused: Option<LineRefusal>,
}

impl LineBuffer {
    /// Where the next read goes: appends behind what is there. Gives memory back after a long line: thousands of connections are idle.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.begin);
        self.searched -= self.begin;
        self.begin = 0;
        if self.bytes.capacity() > IDLE_CAPACITY_MAX {
            self.bytes.shrink_to(self.bytes.len() + READ_CHUNK);
        }
        self.bytes.reserve(READ_CHUNK);
        &mut self.bytes
    }

    /// The next whole line without its end (`\n` or `\r\n`), or `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`LineRefusal`]; once refused, always refused.
    pub fn next_line(&mut self) -> Result<Option<&str>, LineRefusal> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let (begin, newline) = (self.begin, self.bytes[self.searched..].iter().position(|byte| *byte == b'\n'));
        let end = newline.map_or(self.bytes.len(), |offset| self.searched + offset);
        if end - begin > LINE_MAX {
            *self = Self { refused: Some(LineRefusal::TooLong), ..Self::default() };
            return Err(LineRefusal::TooLong);
        }
        self.searched = end;
        if newline.is_none() {
            return Ok(None);
        }
        (self.begin, self.searched) = (end + 1, end + 1);
        match std::str::from_utf8(&self.bytes[begin..end]) {
            Ok(line) => Ok(Some(line.strip_suffix('\r').unwrap_or(line))),
            Err(_) => {
                self.refused = Some(LineRefusal::NotUtf8);
                Err(LineRefusal::NotUtf8)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(buffer: &mut LineBuffer) -> Result<Vec<String>, LineRefusal> {
        std::iter::from_fn(|| buffer.next_line().map(|line| line.map(str::to_owned)).transpose()).collect()
    }

    fn buffer(bytes: &[u8]) -> LineBuffer {
        let mut buffer = LineBuffer::default();
        buffer.room().extend_from_slice(bytes);
        buffer
    }

    #[test]
    fn a_line_of_64_kib_passes_and_one_byte_more_is_too_long() {
        let mut longest = vec![b'x'; LINE_MAX];
        longest.push(b'\n');
        assert_eq!(lines_of(&mut buffer(&longest)).unwrap()[0].len(), LINE_MAX);
        longest.insert(0, b'x');
        assert_eq!(lines_of(&mut buffer(&longest)), Err(LineRefusal::TooLong));
    }

    #[test]
    fn a_line_is_too_long_before_its_end_has_come() {
        let mut buffer = buffer(&vec![b'x'; LINE_MAX]);
        assert_eq!(buffer.next_line(), Ok(None));
        buffer.room().push(b'x');
        assert_eq!(buffer.next_line(), Err(LineRefusal::TooLong));
    }

    #[test]
    fn lines_before_a_bad_one_come_out_and_none_after_it() {
        let mut buffer = buffer(b"first\n\xff\xfe\nthird\n");
        assert_eq!(buffer.next_line(), Ok(Some("first")));
        assert_eq!(buffer.next_line(), Err(LineRefusal::NotUtf8));
        buffer.room().extend_from_slice(b"fourth\n");
        assert_eq!(buffer.next_line(), Err(LineRefusal::NotUtf8));
    }

    #[test]
    fn memory_of_a_long_line_is_given_back() {
        let mut line = vec![b'x'; LINE_MAX];
        line.push(b'\n');
        let mut buffer = buffer(&line);
        assert!(matches!(buffer.next_line(), Ok(Some(_))));
        assert!(buffer.room().capacity() <= IDLE_CAPACITY_MAX);
    }

    proptest! {
        #[test]
        fn lines_survive_any_cutting_into_reads(lines in prop::collection::vec("[^\r\n]{0,40}", 0..20), chunk in 1_usize..100) {
            let bytes: String = lines.iter().enumerate().map(|(n, line)| format!("{line}{}", ["\n", "\r\n"][n % 2])).collect();
            let (mut buffer, mut got) = (LineBuffer::default(), vec![]);
            for part in bytes.as_bytes().chunks(chunk) {
                buffer.room().extend_from_slice(part);
                got.extend(lines_of(&mut buffer).unwrap());
            }
            prop_assert_eq!(got, lines);
        }

        #[test]
        fn arbitrary_bytes_never_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let mut buffer = LineBuffer::default();
            for part in parts {
                buffer.room().extend_from_slice(&part);
                let _ = lines_of(&mut buffer);
            }
        }
    }
}
