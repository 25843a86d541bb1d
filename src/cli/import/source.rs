//! A file of members or commands in memory: read once, known by its digest, proven to be UTF-8.

use std::path::Path;

use crate::cli::Failure;

/// A million rows of 250 bytes. More is not a site's member list.
const FILE_BYTES_MAX: u64 = 256 << 20;
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The text of a member file and the digest of its bytes.
#[derive(Debug)]
pub struct Source {
    text: String,
    digest: [u8; 32],
}

impl Source {
    /// # Errors
    /// The file cannot be read, is too large, or is not UTF-8 (line named).
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let unread = |e: std::io::Error| Failure::usage(format!("{}: {e}", file.display()));
        let bad = |reason: String| Failure::usage(format!("{}: {reason}", file.display()));
        let len = std::fs::metadata(file).map_err(unread)?.len();
        if len > FILE_BYTES_MAX {
            return Err(bad(format!("{len} bytes; split it into files of at most {FILE_BYTES_MAX}")));
        }
        let bytes = std::fs::read(file).map_err(unread)?;
        Self::from_bytes(bytes).map_err(bad)
    }

    /// # Errors
    /// Not UTF-8: the line, and what to do.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, String> {
        let digest = *blake3::hash(&bytes).as_bytes();
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            // Spreadsheets on Japanese Windows write Shift_JIS unless told otherwise.
            format!("not UTF-8 at line {line}; save as UTF-8")
        })?;
        Ok(Self { text, digest })
    }

    /// The text without a byte order mark.
    pub fn text(&self) -> &str {
        self.text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.text)
    }

    /// The id of the command that begins with row (or line) `first_row`: the same in every run over the same file, so that a run goes on
    /// where another was cut off. A recorded refusal has no effect, so what was refused is tried anew as the next `attempt`.
    pub fn command_id(&self, first_row: u64, attempt: u32) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.digest).update(&first_row.to_be_bytes());
        if attempt > 0 {
            hasher.update(&attempt.to_be_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        id
    }
}

/// On which line of a text records begin. The CSV reader's own count leaves out blank lines, and counts lines that end with CR LF late.
#[derive(Debug)]
pub struct LineCount<'a> {
    text: &'a [u8],
    /// Counted up to here.
    at: usize,
    line: u64,
}

impl<'a> LineCount<'a> {
    pub fn of(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line, from 1, of a record; records are asked about in order. 0 if it does not know where it stands.
    pub fn line_of(&mut self, record: &csv::StringRecord) -> u64 {
        let Some(position) = record.position() else { return 0 };
        let begins = usize::try_from(position.byte()).unwrap_or(usize::MAX);
        while let Some(byte) = self.text.get(self.at)
            // A position may stand at the end of the line before, or at blank lines.
            && (self.at < begins || matches!(byte, b'\r' | b'\n'))
        {
            self.line += u64::from(*byte == b'\n');
            self.at += 1;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_jis_file_is_refused_with_the_line_and_the_cure() {
        let shift_jis = b"name,kana\nplain,plain\n\x8e\x52\x93\x63,x\n".to_vec();
        assert_eq!(Source::from_bytes(shift_jis).unwrap_err(), "not UTF-8 at line 3; save as UTF-8");
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_first_column() {
        assert_eq!(Source::from_bytes(b"\xef\xbb\xbfname".to_vec()).unwrap().text(), "name");
    }

    #[test]
    fn lines_are_counted_as_an_editor_does_whatever_ends_them() {
        let text = "a,b\n\n\n1,2\n\"x\ny\",3\n4,5\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let (mut lines, mut reader) = (LineCount::of(&text), csv::Reader::from_reader(text.as_bytes()));
            let found: Vec<u64> = reader.records().map(|record| lines.line_of(&record.unwrap())).collect();
            assert_eq!(found, [4, 5, 7], "{text:?}");
        }
    }

    #[test]
    fn ids_depend_on_file_row_and_attempt_and_on_nothing_else() {
        let (one, other) = (Source::from_bytes(b"a".to_vec()).unwrap(), Source::from_bytes(b"b".to_vec()).unwrap());
        assert_eq!(one.command_id(1, 0), Source::from_bytes(b"a".to_vec()).unwrap().command_id(1, 0));
        let ids = [one.command_id(1, 0), one.command_id(257, 0), one.command_id(1, 1), other.command_id(1, 0)];
        assert_eq!(std::collections::HashSet::from(ids).len(), 4);
    }
}
