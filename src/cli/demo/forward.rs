//! The user's browser cannot enter the namespaces, but the file system is common to both: two halves of a door, joined by a Unix
//! socket in the demo's directory. The outer half listens on the host's 127.0.0.1, the inner half connects to the server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::super::init::HTTP_PORT;
use crate::cli::Failure;
use crate::cli::stage::{Boxes, Machine};

/// A browser opens six connections to a host; a few windows.
const CONNECTIONS_MAX: usize = 64;

/// The outer half of a door.
pub(super) struct Door {
    pub(super) server: &'static str,
    pub(super) address: SocketAddr,
    _open: Open,
}

/// Closed when dropped.
pub(super) struct Open(AbortHandle);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens the inner halves; on loopback the browser needs no door.
pub(super) fn doors(directory: &Path, boxes: &Boxes) -> Result<Vec<Open>, Failure> {
    if boxes.is_loopback() {
        return Ok(Vec::new());
    }
    let open = |machine: Machine| {
        let file = socket(directory, machine);
        let listener = UnixListener::bind(&file).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
        let server = SocketAddr::new(boxes.address(machine), HTTP_PORT);
        Ok(Open(tokio::spawn(inner_half(listener, server)).abort_handle()))
    };
    Machine::SERVERS.into_iter().map(open).collect()
}

async fn inner_half(listener: UnixListener, server: SocketAddr) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((browser, _)) = listener.accept().await else { return };
        tokio::spawn(async move {
            let _place = place;
            join(browser, TcpStream::connect(server).await).await;
        });
    }
}

/// Opens the outer halves, at the usual port if it is free.
pub(super) async fn from_browser(directory: &Path) -> Result<Vec<Door>, Failure> {
    let mut doors = Vec::new();
    for (index, machine) in Machine::SERVERS.into_iter().enumerate() {
        let usual = TcpListener::bind(("127.0.0.1", HTTP_PORT + index as u16)).await;
        let listener = match usual {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("127.0.0.1:0").await.map_err(no_door)?,
        };
        let address = listener.local_addr().map_err(no_door)?;
        let task = tokio::spawn(outer_half(listener, socket(directory, machine)));
        doors.push(Door { server: machine.name(), address, _open: Open(task.abort_handle()) });
    }
    Ok(doors)
}

fn no_door(error: std::io::Error) -> Failure {
    Failure::failed(format!("cannot listen on 127.0.0.1 for the status pages: {error}"))
}

async fn outer_half(listener: TcpListener, socket: PathBuf) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((browser, _)) = listener.accept().await else { return };
        let socket = socket.clone();
        tokio::spawn(async move {
            let _place = place;
            join(browser, UnixStream::connect(socket).await).await;
        });
    }
}

/// A server that is down shows as a closed connection, as it would without a door.
async fn join(mut browser: impl AsyncRead + AsyncWrite + Unpin, server: std::io::Result<impl AsyncRead + AsyncWrite + Unpin>) {
    if let Ok(mut server) = server {
        let _ = copy_bidirectional(&mut browser, &mut server).await;
    }
}

fn socket(directory: &Path, machine: Machine) -> PathBuf {
    directory.join(format!("{}.http", machine.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_a_browser_sends_goes_through_both_halves_to_the_server_and_back() {
        let directory = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = UnixListener::bind(socket(directory.path(), Machine::ServerA)).unwrap();
        let inner = Open(tokio::spawn(inner_half(inner, server.local_addr().unwrap())).abort_handle());
        let outer = from_browser(directory.path()).await.unwrap();

        let mut browser = TcpStream::connect(outer[0].address).await.unwrap();
        browser.write_all(b"GET").await.unwrap();
        let (mut arrived, mut bytes) = (server.accept().await.unwrap().0, [0; 3]);
        arrived.read_exact(&mut bytes).await.unwrap();
        arrived.write_all(&bytes).await.unwrap();
        browser.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"GET");

        // The other server's inner half is missing: the browser sees a closed connection.
        let mut browser = TcpStream::connect(outer[1].address).await.unwrap();
        assert_eq!(browser.read(&mut bytes).await.unwrap(), 0);
        drop(inner);
    }
}
