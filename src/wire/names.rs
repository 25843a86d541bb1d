//! What people call the two servers, for texts that cannot know it: a certificate and a witness only say `server-a` and `server-b`.

use super::pki::CertificateRole;
use crate::model::ServerId;

/// `hall-1 (server-a)` and `hall-2 (server-b)`.
#[derive(Clone, Debug)]
pub struct ServerNames([String; 2]);

impl ServerNames {
    /// `names` as configured, of servers A and B.
    pub fn new(names: &[String; 2]) -> Self {
        Self([ServerId::A, ServerId::B].map(|id| {
            let (name, role) = (&names[id.index()], CertificateRole::Server(id).name());
            if name == role { name.clone() } else { format!("{name} ({role})") }
        }))
    }

    /// The text with the names in it.
    pub fn put_into(&self, text: &str) -> String {
        let words = text.split_inclusive(|c| !is_of_a_word(c));
        words.fold(String::with_capacity(text.len()), |told, piece| told + &self.told(piece))
    }

    /// A word, and what ends it.
    fn told(&self, piece: &str) -> String {
        let word = piece.trim_end_matches(|c| !is_of_a_word(c));
        let id = [ServerId::A, ServerId::B].into_iter().find(|id| CertificateRole::Server(*id).name() == word);
        id.map_or(piece.into(), |id| format!("{}{}", self.0[id.index()], &piece[word.len()..]))
    }
}

/// Of a file's name as well: a directory may be called `server-a`.
fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || "-_./".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: [&str; 2], text: &str) -> String {
        ServerNames::new(&names.map(str::to_owned)).put_into(text)
    }

    #[test]
    fn the_configured_name_stands_before_the_role() {
        let text = told(["hall-1", "hall-2"], "own certificate is for server-b, not for server-a");
        assert_eq!(text, "own certificate is for hall-2 (server-b), not for hall-1 (server-a)");
    }

    #[test]
    fn a_file_or_another_word_keeps_its_name() {
        let text = "/srv/server-a/keys/server.pem: certificate 12 (claims server-a): my-server-b";
        let said = "/srv/server-a/keys/server.pem: certificate 12 (claims hall-1 (server-a)): my-server-b";
        assert_eq!(told(["hall-1", "hall-2"], text), said);
    }

    #[test]
    fn a_name_that_is_a_role_is_told_once_and_never_taken_for_one() {
        assert_eq!(told(["server-a", "x"], "server-a, server-b"), "server-a, x (server-b)");
        assert_eq!(told(["server-b", "server-a"], "server-a, server-b"), "server-b (server-a), server-a (server-b)");
    }
}
