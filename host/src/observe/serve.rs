//! The metrics over HTTP, for Prometheus: one page, `GET /metrics`.
//!
//! A server of the standard library: one page without encryption, asked for every few seconds, is not
//! worth the crates of a web server. Who listens is nobody's enemy but its own: whatever a client
//! sends, or does not send, costs at most one thread for some seconds.
//!
//! Invariants:
//! - The run never waits for it: recording is atomic counters, and the page is made on a thread of
//!   the client that asks for it.
//! - A connection has one deadline for all of it, however slowly bytes trickle; its request has a
//!   largest length; only so many are served at once, and what comes beyond is closed unanswered.
//! - The listener is closed when the server is dropped.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::facade::{DURATION_BUCKETS, describe, refresh};

/// Path of the page.
pub(crate) const PATH: &str = "/metrics";
/// How long a connection may take, from its first byte to its last.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// How long what a client still sends is read, once it has its answer.
const DRAIN_WAIT: Duration = Duration::from_millis(500);
/// Longest request: its first line and all headers.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Connections served at once.
const CONNECTIONS_MAX: usize = 16;
/// How often the listener looks for connections.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(20);
/// How often what was recorded is summed up, if nobody asks for it: until then it takes memory.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Serves the metrics until it is dropped.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// Listens at an address and installs the recorder; port 0 takes any that is free.
    ///
    /// # Errors
    /// The address cannot be listened at; the program has a recorder of its own.
    pub(crate) fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let builder = PrometheusBuilder::new().set_buckets(&DURATION_BUCKETS).map_err(io::Error::other)?;
        let page = builder.install_recorder().map_err(io::Error::other)?;
        describe();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = thread::Builder::new().name("metrics".into()).spawn(move || serve(&listener, &page, &ends))?;
        Ok(MetricsServer { address, is_over, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, page: &PrometheusHandle, is_over: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    let mut last_upkeep = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => answer_on_a_thread(stream, page, &open),
            // None there, or one that has gone; out of file handles, it may come again.
            Err(_) => thread::park_timeout(ACCEPT_INTERVAL),
        }
        if last_upkeep.elapsed() >= UPKEEP_INTERVAL {
            page.run_upkeep();
            last_upkeep = Instant::now();
        }
    }
}

fn answer_on_a_thread(stream: TcpStream, page: &PrometheusHandle, open: &Arc<AtomicUsize>) {
    let slot = Slot(Arc::clone(open));
    if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        return;
    }
    let page = page.clone();
    let work = move || {
        let _slot = slot;
        // The client has gone or is too slow: its loss.
        let _ = answer(Connection { stream, until: Instant::now() + CONNECTION_WAIT }, &page);
    };
    // Without a thread it is closed.
    let _ = thread::Builder::new().name("metrics client".into()).spawn(work);
}

/// A place among the connections; given back when dropped.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer(mut connection: Connection, page: &PrometheusHandle) -> io::Result<()> {
    connection.stream.set_nonblocking(false)?;
    let (status, body) = match read_request(&mut connection)? {
        Request::Page => {
            refresh();
            ("200 OK", in_order(&page.render()))
        }
        Request::OtherPath => ("404 Not Found", format!("the metrics are at {PATH}\n")),
        Request::OtherMethod => ("405 Method Not Allowed", String::from("use GET\n")),
        Request::TooLong => ("431 Request Header Fields Too Large", String::from("the request is too long\n")),
        Request::NotHttp => ("400 Bad Request", String::from("this is no HTTP request\n")),
    };
    let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())?;
    connection.finish()
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Page,
    OtherPath,
    OtherMethod,
    TooLong,
    NotHttp,
}

fn read_request(connection: &mut Connection) -> io::Result<Request> {
    let mut request = Vec::new();
    loop {
        if let Some(parsed) = parse(&request) {
            return Ok(parsed);
        }
        let mut bytes = [0; 1024];
        match connection.read(&mut bytes)? {
            0 => return Ok(Request::NotHttp),
            count => request.extend_from_slice(&bytes[..count]),
        }
    }
}

/// `None`: more must come.
fn parse(request: &[u8]) -> Option<Request> {
    let line = request.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_whole = line.len() < request.len();
    if is_whole && !is_request_line(line) {
        return Some(Request::NotHttp);
    }
    if request.len() > REQUEST_BYTES_MAX {
        return Some(Request::TooLong);
    }
    let has_ended = request.windows(4).any(|end| end == b"\r\n\r\n") || request.windows(2).any(|end| end == b"\n\n");
    if !has_ended {
        return None;
    }
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    Some(match (method, path == PATH.as_bytes()) {
        (b"GET", true) => Request::Page,
        (b"GET", false) => Request::OtherPath,
        _ => Request::OtherMethod,
    })
}

fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    matches!(words[..], [method, target, version]
        if !method.is_empty() && method.iter().all(u8::is_ascii_uppercase) && !target.is_empty()
            && version.starts_with(b"HTTP/1."))
}

/// A stream with one deadline for everything.
struct Connection {
    stream: TcpStream,
    until: Instant,
}

impl Connection {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(self.left()?))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends it so that the answer arrives: bytes of the client that nobody read would cut it off.
    fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        self.until = self.until.min(Instant::now() + DRAIN_WAIT);
        let mut unread = [0; 4096];
        while self.read(&mut unread)? > 0 {}
        Ok(())
    }
}

/// The page with its metrics by name and, within one, counters and gauges by label: the recorder has
/// them in any order, and people read it too.
fn in_order(page: &str) -> String {
    let mut metrics: Vec<(&str, Vec<&str>)> = Vec::new();
    for block in page.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let mut lines: Vec<&str> = block.lines().collect();
        let comments = lines.iter().take_while(|line| line.starts_with('#')).count();
        let is_histogram = lines[..comments].iter().any(|line| line.ends_with(" histogram"));
        if is_histogram {
            // Buckets stay in their order, below each set of labels.
            lines[comments..].sort_by_key(|line| labels_without_bound(line));
        } else {
            lines[comments..].sort_unstable();
        }
        // `# HELP name …` or `# TYPE name …`
        let name = lines[0].split(' ').nth(2).unwrap_or_default();
        metrics.push((name, lines));
    }
    metrics.sort_unstable();
    let mut out = String::with_capacity(page.len());
    for (at, (_, lines)) in metrics.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        for line in lines {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The labels of a line of a histogram, but for the bound of the bucket, which comes last.
fn labels_without_bound(line: &str) -> String {
    let labels = line.find('{').zip(line.rfind('}')).map_or("", |(start, end)| &line[start + 1..end]);
    String::from(labels.split(",le=\"").next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let parse = |text: &str| parse(text.as_bytes());
        assert_eq!(parse("GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"), Some(Request::Page));
        assert_eq!(parse("GET /metrics?all=1 HTTP/1.0\n\n"), Some(Request::Page));
        assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Some(Request::OtherPath));
        assert_eq!(parse("GET /metrics/ HTTP/1.1\r\n\r\n"), Some(Request::OtherPath));
        assert_eq!(parse("POST /metrics HTTP/1.1\r\n\r\n"), Some(Request::OtherMethod));
        for part in
            ["", "GET", "GET /metrics HTTP/1.1", "GET /metrics HTTP/1.1\r\n", "GET /metrics HTTP/1.1\r\nA: b\r\n"]
        {
            assert_eq!(parse(part), None, "{part:?}");
        }
        for wrong in ["\n", "GET\n", "\r\n\r\n", "get /metrics HTTP/1.1\n", "GET  HTTP/1.1\n", "GET /metrics HTTP/2\n"]
        {
            assert_eq!(parse(wrong), Some(Request::NotHttp), "{wrong:?}");
        }
        let long = "x".repeat(REQUEST_BYTES_MAX);
        assert_eq!(parse(&format!("GET /{long}")), Some(Request::TooLong));
        assert_eq!(parse(&format!("GET /metrics HTTP/1.1\r\nCookie: {long}")), Some(Request::TooLong));
    }

    #[test]
    fn the_page_is_in_order() {
        let page = "# TYPE b counter\nb{x=\"2\"} 1\nb{x=\"1\"} 1\n\n# HELP a It is a.\n# TYPE a histogram\n\
                    a_bucket{p=\"z\",le=\"9\"} 1\na_bucket{p=\"z\",le=\"10\"} 1\na_sum{p=\"z\"} 1\na_bucket{p=\"y\",le=\"9\"} 1\n\n";
        assert_eq!(
            in_order(page),
            "# HELP a It is a.\n# TYPE a histogram\na_bucket{p=\"y\",le=\"9\"} 1\na_bucket{p=\"z\",le=\"9\"} 1\n\
             a_bucket{p=\"z\",le=\"10\"} 1\na_sum{p=\"z\"} 1\n\n# TYPE b counter\nb{x=\"1\"} 1\nb{x=\"2\"} 1\n"
        );
    }
}
