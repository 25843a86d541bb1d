//! The one door to the disk: a directory and its files. Tests and the simulator put a lying disk behind it (`model_disk`).

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;

pub type Disk = Arc<dyn Files>;

/// One directory. Nothing that happened to its names lasts before [`Files::sync_directory`].
pub trait Files: Debug + Send + Sync {
    /// For messages, and for the names handed to people.
    fn path(&self) -> &Path;

    /// Keeps a second process, or a second opening in this one, away until the lock is dropped.
    ///
    /// # Errors
    /// `WouldBlock` if it is taken.
    fn lock(&self) -> io::Result<Lock>;

    /// Names of the plain files, in no order.
    ///
    /// # Errors
    /// As the disk says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// For reading and writing.
    ///
    /// # Errors
    /// As the disk says; `NotFound`.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// For reading only.
    ///
    /// # Errors
    /// As the disk says; `NotFound`.
    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// A new file of `size` zero bytes that are really written, so that later writes need no space. Takes a leftover's name and leaves
    /// its content alone: whoever still has that open harms nobody.
    ///
    /// # Errors
    /// As the disk says; `StorageFull`.
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn DiskFile>>;

    /// Replaces `to` if it exists.
    ///
    /// # Errors
    /// As the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// # Errors
    /// As the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// # Errors
    /// As the disk says.
    fn sync_directory(&self) -> io::Result<()>;
}

/// One open file; offsets and sizes in bytes.
pub trait DiskFile: Debug + Send + Sync {
    /// # Errors
    /// As the disk says.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` as far as the file goes and returns how many bytes that were.
    ///
    /// # Errors
    /// As the disk says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes`, or fails with any part of them written.
    ///
    /// # Errors
    /// As the disk says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// fdatasync. After a failure nothing is known about any write since the last success, and it must not be tried again.
    ///
    /// # Errors
    /// As the disk says.
    fn sync_data(&self) -> io::Result<()>;
}

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// Of a disk that no second process can reach.
    pub fn unneeded() -> Self {
        Self { _file: None }
    }
}

/// Names the file in an error: `.map_err(failed("write", files, name))`.
pub(crate) fn failed<'a>(
    doing: &'static str,
    files: &'a dyn Files,
    name: &'a str,
) -> impl FnOnce(io::Error) -> JournalError + 'a {
    move |source| JournalError::Io { doing, file: files.path().join(name), source }
}

/// Zeros are written in pieces of this size: larger ones are no faster.
const ZEROS_LEN: usize = 256 * 1024;

/// A directory of the real file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory must exist: `duplex init` makes it, and a missing one (a disk not mounted) must not look like a new server.
    ///
    /// # Errors
    /// [`JournalError::Io`] if it is missing or not a directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Disk, JournalError> {
        let path = path.into();
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Arc::new(Self { path })),
            Ok(_) => Err(JournalError::Io { doing: "open directory", file: path, source: ErrorKind::NotADirectory.into() }),
            Err(source) => Err(JournalError::Io { doing: "open directory", file: path, source }),
        }
    }
}

impl Files for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> io::Result<Lock> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.path.join("lock"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(io::ErrorKind::WouldBlock, "another process is using this directory"),
            TryLockError::Error(error) => error,
        })?;
        Ok(Lock { _file: Some(file) })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(self.path.join(name))?))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(self.path.join(name))?))
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(path)?;
        let zeros = vec![0; ZEROS_LEN.min(usize::try_from(size).unwrap_or(ZEROS_LEN))];
        let mut offset = 0;
        while offset < size {
            let piece = (size - offset).min(zeros.len() as u64);
            file.write_all_at(&zeros[..piece as usize], offset)?;
            offset += piece;
        }
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}
