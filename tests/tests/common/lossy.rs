//! A connection to a server that loses a request or an answer when told.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What is lost, once.
pub enum Loss {
    /// The request does not arrive; something else happens meanwhile.
    Request(Box<dyn FnOnce() + Send>),
    /// It does arrive, and its answer does not.
    Answer,
}

/// What a request contains that is affected, and how.
type Armed = Option<(&'static [u8], Loss)>;

/// Passes bytes on to a server, until it loses some and breaks the connection.
pub struct Lossy {
    port: u16,
    loss: Arc<Mutex<Armed>>,
}

impl Lossy {
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let loss = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&loss);
        // Ends with the process of the test.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let shared = Arc::clone(&shared);
                thread::spawn(move || pass_on(client, server, &shared));
            }
        });
        Lossy { port, loss }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next request that contains `part` is affected.
    pub fn arm(&self, part: &'static [u8], loss: Loss) {
        *self.loss.lock().unwrap() = Some((part, loss));
    }

    /// Whether the loss has happened.
    pub fn is_disarmed(&self) -> bool {
        self.loss.lock().unwrap().is_none()
    }
}

/// One connection; requests come whole before they are answered.
fn pass_on(mut client: TcpStream, mut server: TcpStream, loss: &Mutex<Armed>) {
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let lost = Arc::new(Mutex::new(false));
    let is_lost = Arc::clone(&lost);
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(count @ 1..) = answers.read(&mut buffer) {
            if *is_lost.lock().unwrap_or_else(PoisonError::into_inner) || to_client.write_all(&buffer[..count]).is_err()
            {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let request = &buffer[..count];
        let mut armed = loss.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = |(part, _): &mut (&'static [u8], Loss)| request.windows(part.len()).any(|window| window == *part);
        match armed.take_if(hit) {
            Some((_, Loss::Request(meanwhile))) => {
                drop(armed);
                meanwhile();
                let _ = client.shutdown(Shutdown::Both);
                break;
            }
            Some((_, Loss::Answer)) => *lost.lock().unwrap_or_else(PoisonError::into_inner) = true,
            None => {}
        }
        if server.write_all(request).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}
