//! One Rust file, read far enough to judge it: what is code, what is only for tests, and where functions begin and end.

use std::path::Path;

/// A file with its views. All views have the same length and lines: what is left out is blanked.
pub struct Source {
    /// From the root of the project, with `/`.
    pub path: String,
    pub text: String,
    /// Without comments.
    pub spoken: String,
    /// Without comments and what stands inside literals.
    pub code: String,
    /// `code` without the items under `#[cfg(test)]`; nothing of a file that is a test.
    pub shipped: String,
}

/// A function: its name, its first line (from 1) and how many lines it has.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let (spoken, code) = (blank(text, false), blank(text, true));
        let shipped = if is_test(path) { blank_range(&code, 0, code.len()) } else { without_tests(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), spoken, code, shipped }
    }

    pub fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        let name = path.strip_prefix(root).expect("files are found below the root");
        Self::new(&name.to_string_lossy().replace('\\', "/"), &text)
    }

    /// The part of `src/` that the file belongs to: `wire` for `src/wire/tls.rs` and for `src/wire.rs`.
    pub fn module(&self) -> Option<&str> {
        self.path.strip_prefix("src/").and_then(|rest| rest.split('/').next()).map(|name| name.trim_end_matches(".rs"))
    }

    pub fn line_at(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    pub fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    /// Every function with a body, nested ones too.
    pub fn functions(&self) -> Vec<Function> {
        words(&self.code).filter(|(_, word)| *word == "fn").filter_map(|(at, _)| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<Function> {
        let rest = &self.code[at + 2..];
        // `fn(u8)` is a type, not a function.
        let name = rest.trim_start().split(|c: char| !is_word(c)).next().filter(|name| !name.is_empty())?;
        let end = item_end(&self.code, at);
        let line = self.line_at(at);
        let has_body = self.code.as_bytes()[end - 1] == b'}';
        has_body.then(|| Function { name: name.to_owned(), line, lines: self.line_at(end - 1) - line + 1 })
    }

    /// How many modules enclose this place: `src/a/b.rs` has two, and each `mod x { … }` around the place one more.
    pub fn depth_at(&self, offset: usize) -> usize {
        let parts = self.path.trim_start_matches("src/").trim_end_matches(".rs").split('/');
        let file = parts.filter(|part| !matches!(*part, "mod" | "lib" | "main")).count();
        let inline = words(&self.code[..offset]).filter(|(at, word)| *word == "mod" && item_end(&self.code, *at) > offset);
        file + inline.count()
    }
}

/// Files that exist for tests only: `tests.rs`, `…_tests.rs` and what lies in a directory `tests`.
pub fn is_test(path: &str) -> bool {
    let stem = path.trim_end_matches(".rs").rsplit('/').next().unwrap_or_default();
    stem == "tests" || stem.ends_with("_tests") || path.split('/').any(|part| part == "tests")
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Each identifier, keyword or number with its place.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split(|c: char| !is_word(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

/// Just behind the `;` or `}` that ends the item that begins at `start`.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth -= 1,
            b'}' => {
                depth -= 1;
                if depth <= 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(at) = code.find("#[cfg(test)]") {
        let end = item_end(&code, at + "#[cfg(test)]".len());
        code = blank_range(&code, at, end);
    }
    code
}

fn blank_range(code: &str, from: usize, to: usize) -> String {
    let blanked = code[from..to].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' });
    code[..from].chars().chain(blanked).chain(code[to..].chars()).collect()
}

/// Blanks comments and, if wanted, the inside of text and character literals.
fn blank(text: &str, literals: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let before_is_word = out.chars().next_back().is_some_and(is_word);
        let (len, hide) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), true),
            '/' if rest.starts_with("/*") => (comment_len(rest), true),
            '"' => (quoted_len(rest, '"'), literals),
            '\'' => (character_len(rest), literals),
            'r' | 'b' | 'c' if !before_is_word => match raw_len(rest) {
                Some(len) => (len, literals),
                None => (1, false),
            },
            other => (other.len_utf8(), false),
        };
        let (piece, behind) = rest.split_at(len);
        if hide && len > 1 {
            out.push_str(&blank_range(piece, 0, len));
        } else {
            out.push_str(piece);
        }
        rest = behind;
    }
    out
}

fn comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        match rest {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// A lifetime (`'a`) is one character long here: its name is code.
fn character_len(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (_, Some('\'')) => quoted_len(text, '\''),
        _ => 1,
    }
}

/// Length of `r"…"`, `r#"…"#` and their byte and C forms, if the text begins with one.
fn raw_len(text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['b', 'c']);
    let hashes = body.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
    let open = text.len() - body.len() + 1 + hashes;
    text[open..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(text[open + 1..].find(&close).map_or(text.len(), |at| open + 1 + at + close.len()))
}
