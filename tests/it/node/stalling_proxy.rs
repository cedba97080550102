//! A TCP proxy before the S3 server that holds one write back for ever: the moment to kill a backup in. Bytes pass
//! unchanged, so signatures stay right.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::cluster::variable;

/// A running proxy; its threads end with the test process.
pub(super) struct StallingProxy {
    /// Where to send requests to.
    pub(super) endpoint: String,
    arrived: Receiver<()>,
}

impl StallingProxy {
    /// Starts one that never answers a PUT of a path that ends with this, nor passes it on.
    pub(super) fn before_put_of(file: &'static str) -> Self {
        let upstream = variable("TESTBED_S3_ENDPOINT").trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (tell, arrived) = channel();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&upstream).unwrap());
                let (answers_from, answers_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass(answers_from, answers_to, |_| false));
                let tell = tell.clone();
                std::thread::spawn(move || pass(client, server, |bytes| is_held_back(bytes, file, &tell)));
            }
        });
        Self { endpoint, arrived }
    }

    /// Waits until the write has come.
    pub(super) fn wait(&self) {
        self.arrived.recv_timeout(Duration::from_mins(1)).unwrap();
    }
}

/// Passes bytes on until the end, or until some of them are to be held back.
fn pass(mut from: TcpStream, mut to: TcpStream, hold_back: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    let mut held = false;
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        held = held || hold_back(&buffer[..read]);
        if !held && to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A client sends a request only after the answer to the one before, so each begins what is read at once.
fn is_held_back(bytes: &[u8], file: &str, tell: &Sender<()>) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split([' ', '?']);
    let held = words.next() == Some("PUT") && words.next().is_some_and(|path| path.ends_with(file));
    if held {
        // Nobody listens any more once the test is over.
        let _ = tell.send(());
    }
    held
}
