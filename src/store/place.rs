//! Where a store is: `sqlite:/path/store.db` or `postgres://user@host/database`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::StoreError;

/// A store's address, its scheme checked: an enum's own `establish` would make a SQLite file named `postgres:typo`.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    Sqlite(PathBuf),
    /// The whole URL, password included: never shown.
    Postgres(String),
}

impl Place {
    /// # Errors
    /// [`StoreError::Address`] for another scheme, no path, or a directory that does not exist. The URL is not repeated: it may carry
    /// a password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let address = |reason: String| StoreError::Address { reason };
        match url.split_once(':') {
            Some(("sqlite", path)) => sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))).map_err(address),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(Self::Postgres(url.to_owned())),
            Some((scheme, _)) => Err(address(format!("`{scheme}:` is neither `sqlite:/path/file` nor `postgres://…`"))),
            None => Err(address("it begins with neither `sqlite:` nor `postgres://`".to_owned())),
        }
    }
}

fn sqlite(path: &Path) -> Result<Place, String> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err("`sqlite:` needs the path of a file".to_owned());
    }
    if path.is_relative() {
        return Err(format!("{} is not a whole path: it would depend on where the server is started", path.display()));
    }
    if path.is_dir() {
        return Err(format!("{} is a directory", path.display()));
    }
    match path.parent() {
        Some(directory) if directory.is_dir() => Ok(Place::Sqlite(path.to_owned())),
        _ => Err(format!("the directory of {} does not exist", path.display())),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "SQLite at {}", path.display()),
            Self::Postgres(url) => write!(f, "PostgreSQL at {}", without_secrets(url)),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Host and database, and of the parameters only the host that a socket needs: user and password may stand in either part.
fn without_secrets(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (base, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let base = base.rsplit_once('@').map_or(base, |(_, base)| base);
    let host = parameters.split('&').find_map(|parameter| parameter.strip_prefix("host="));
    host.map_or_else(|| base.to_owned(), |host| format!("{host}{base}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_scheme_is_named_and_the_password_is_not() {
        let error = Place::parse("postgers://clerk:secret@db/duplex").expect_err("no such scheme").to_string();
        assert!(error.contains("postgers") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = Place::parse("sqlite:/no/such/place/store.db").expect_err("no such directory").to_string();
        assert_eq!(error, "store address: the directory of /no/such/place/store.db does not exist");
    }

    #[test]
    fn a_place_shows_no_user_and_no_password() {
        let place = Place::parse("postgres://clerk:se%40cret@db:5433/duplex?password=secret").expect("a url");
        assert_eq!(place.to_string(), "PostgreSQL at db:5433/duplex");
        let socket = Place::parse("postgres://clerk@/duplex?host=/run/pg&port=5433").expect("a url");
        assert_eq!(socket.to_string(), "PostgreSQL at /run/pg/duplex");
    }
}
