//! As much of HTTP as the double needs: a thread per connection, bodies with their length, connections that stay open. It does
//! not know what is asked.

use super::Inner;
use super::routes::{Outcome, answer};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Listens until it is dropped, and breaks its connections then.
pub(super) struct Listener {
    pub(super) port: u16,
    ends: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn start(port: u16, inner: Arc<Inner>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (ends, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let thread = std::thread::spawn({
            let (ends, open) = (Arc::clone(&ends), Arc::clone(&open));
            move || {
                while !ends.load(Ordering::Acquire) {
                    let Ok((stream, _)) = listener.accept() else {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    };
                    let (Ok(()), Ok(copy)) = (stream.set_nonblocking(false), stream.try_clone()) else {
                        continue;
                    };
                    open.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
                    let (inner, ends) = (Arc::clone(&inner), Arc::clone(&ends));
                    std::thread::spawn(move || serve(&stream, &inner, &ends));
                }
            }
        });
        Ok(Self { port, ends, open, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Answers what comes over a connection, one request after the other. An error is a connection that the client has left.
fn serve(stream: &TcpStream, inner: &Inner, ends: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = request(&mut reader) {
        let outcome = answer(inner, &path, &body, ends);
        if ends.load(Ordering::Acquire) {
            break; // what it was at work on dies with it
        }
        let (status, body, whole) = match outcome {
            Outcome::Reply(status, body) => (status, body, true),
            Outcome::Half(body) => (200, body, false),
            Outcome::Hangup => break,
        };
        let head = format!(
            "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = if whole { body.len() } else { body.len() / 2 };
        let mut stream = stream;
        // In one piece: two small ones would wait for each other's acknowledgement.
        if stream.write_all(&[head.as_bytes(), &body[..sent]].concat()).is_err() || !whole {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Path without its query, and body.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let path = line.split_whitespace().nth(1)?.split('?').next()?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}
