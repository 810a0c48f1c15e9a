//! A server that speaks S3, on loopback, and a proxy before it that makes things go wrong.
//!
//! The server is moto, which `tests/run` installs. It looks at the condition of a put and takes the
//! put in two steps, which another thread may come between: of 800 races of four writers none had two
//! winners, of 800 with Python switching threads each microsecond 25 had. So the proxy lets puts under
//! a condition through one by one.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use eventflux::storage::ObjectStoreBackend;
use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

/// It ends when its input does, which is when this process does, however that comes.
const LAUNCH: &str = "
import os, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
";
/// What moto wants to see; it checks no signature.
const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=test/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
/// A server that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many servers there are; each has work for a core.
const SERVERS: usize = 2;

/// One of the servers.
pub struct Server {
    port: u16,
    /// Puts under a condition, one by one.
    conditional: Mutex<()>,
    _child: Child,
    /// Its end is the server's.
    _input: ChildStdin,
}

/// The server of this thread: the same one always, and that of a test is another one than that of the next test. Each
/// is started once.
pub fn server() -> &'static Server {
    static ALL: [OnceLock<Server>; SERVERS] = [const { OnceLock::new() }; SERVERS];
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SERVERS);
    ALL[NUMBER.with(|number| *number)].get_or_init(Server::start)
}

impl Server {
    fn start() -> Self {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
        let mut command = Command::new(&python);
        command.args(["-c", LAUNCH]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; run tests/run once, which installs the server", python.display())
        });
        let input = child.stdin.take().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("the server starts; tests/run installs it");
        Server { port, conditional: Mutex::new(()), _child: child, _input: input }
    }

    /// A new bucket, empty.
    pub fn bucket(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let bucket = format!("bucket-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let answer = self.ask("PUT", &format!("/{bucket}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        bucket
    }

    /// Every key below a prefix, in order.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map_or("", String::as_str);
            let page = self.ask("GET", &format!("/{bucket}?list-type=2&prefix={prefix}&start-after={after}"));
            keys.extend(all_between(&page, "<Key>", "</Key>"));
            if !page.contains("<IsTruncated>true") {
                return keys;
            }
        }
    }

    /// Ids of unfinished uploads.
    pub fn uploads(&self, bucket: &str) -> Vec<String> {
        all_between(&self.ask("GET", &format!("/{bucket}?uploads")), "<UploadId>", "</UploadId>")
    }

    /// The answer to a request without a body.
    pub fn ask(&self, method: &str, path: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {AUTHORIZATION}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        String::from_utf8_lossy(&exchange(self.port, request.as_bytes()).unwrap()).into_owned()
    }
}

fn all_between(text: &str, before: &str, after: &str) -> Vec<String> {
    text.split(before).skip(1).filter_map(|rest| rest.split_once(after)).map(|(found, _)| found.into()).collect()
}

/// Sends a request and reads the answer. Where that says how long it is, no more is waited for: the server keeps each
/// connection open for 10 ms more than it needs it.
fn exchange(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut reader = BufReader::new(stream);
    let mut answer = Vec::new();
    let mut body_len = None;
    loop {
        let line_from = answer.len();
        reader.read_until(b'\n', &mut answer)?;
        let line = String::from_utf8_lossy(&answer[line_from..]).to_ascii_lowercase();
        if line.trim_end().is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            body_len = value.trim().parse::<u64>().ok();
        }
    }
    if request.starts_with(b"HEAD ") || answer.starts_with(b"HTTP/1.1 204") {
        return Ok(answer);
    }
    reader.take(body_len.unwrap_or(u64::MAX)).read_to_end(&mut answer)?;
    Ok(answer)
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server never sees it, and the answer is this status and code.
    Says(u16, &'static str),
    /// The server does it, and the answer is this status and code.
    DoesAndSays(u16, &'static str),
    /// The server never sees it; the connection ends.
    Closes,
    /// The server does it; the connection ends without an answer.
    LosesAnswer,
    /// The server does it; the connection ends in the midst of the answer.
    HalvesAnswer,
    /// The server does it twice; the second answer counts.
    Doubles,
    /// The server does it without those of its conditions that begin so: `if-` is all of them.
    Ignores(&'static str),
}

/// A fault of each kind.
pub const FAULTS: [Fault; 10] = [
    Fault::Says(409, "ConditionalRequestConflict"),
    Fault::Says(412, "PreconditionFailed"),
    Fault::Says(503, "SlowDown"),
    Fault::DoesAndSays(500, "InternalError"),
    Fault::DoesAndSays(503, "ServiceUnavailable"),
    Fault::DoesAndSays(409, "ConditionalRequestConflict"),
    Fault::Closes,
    Fault::LosesAnswer,
    Fault::HalvesAnswer,
    Fault::Doubles,
];

/// A request as the plan of a proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// How many came before, over all connections.
    pub number: usize,
}

type Plan = Box<dyn FnMut(&Seen) -> Option<Fault> + Send>;

/// A proxy before the server. It lives as long as the process.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: &'static Server,
    state: Mutex<State>,
}

struct State {
    plan: Plan,
    seen: usize,
    faults: usize,
}

impl Proxy {
    pub fn start(server: &'static Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Mutex::new(State { plan: Box::new(|_| None), seen: 0, faults: 0 });
        let shared = Arc::new(Shared { server, state });
        let of_connections = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&of_connections);
                thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        Proxy { port, shared }
    }

    /// What goes wrong from now on; counts from 0 again.
    pub fn plan(&self, plan: impl FnMut(&Seen) -> Option<Fault> + Send + 'static) {
        *self.shared.state.lock().unwrap() = State { plan: Box::new(plan), seen: 0, faults: 0 };
    }

    /// Nothing goes wrong any more; how many requests there were, and how many of them went wrong.
    pub fn calm(&self) -> (usize, usize) {
        let state = &mut *self.shared.state.lock().unwrap();
        state.plan = Box::new(|_| None);
        (state.seen, state.faults)
    }

    /// URL of the store.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A storage behind the proxy; the client beneath it tries again so often by itself.
    pub fn storage(&self, bucket: &str, prefix: &str, client_retries: usize) -> ObjectStoreBackend {
        let store = self.client(bucket, client_retries).with_access_key_id("test").with_secret_access_key("test");
        ObjectStoreBackend::with_store(Arc::new(store.build().unwrap()), prefix).unwrap().with_retries(5, PATIENCE)
    }

    /// A storage whose client has the credentials of the machine.
    pub fn storage_on(&self, machine: &MetadataService, bucket: &str) -> ObjectStoreBackend {
        let store = self.client(bucket, 0).with_metadata_endpoint(machine.endpoint()).build().unwrap();
        ObjectStoreBackend::with_store(Arc::new(store), "").unwrap().with_retries(5, PATIENCE)
    }

    fn client(&self, bucket: &str, client_retries: usize) -> AmazonS3Builder {
        let pause = Duration::from_millis(1);
        let retry = RetryConfig {
            max_retries: client_retries,
            backoff: BackoffConfig { init_backoff: pause, max_backoff: 2 * pause, base: 2.0 },
            ..RetryConfig::default()
        };
        choose_cryptography();
        AmazonS3Builder::new()
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_bucket_name(bucket)
            .with_disable_bulk_delete(true)
            .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout(PATIENCE))
            .with_retry(retry)
    }
}

/// Where a machine of a cloud asks for its credentials. What it gives has expired, so it is asked before each request.
pub struct MetadataService {
    port: u16,
    /// How many answers from now on are none.
    fails: Arc<AtomicUsize>,
}

impl MetadataService {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let fails = Arc::new(AtomicUsize::new(0));
        let of_service = Arc::clone(&fails);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(Some(request)) = Request::read(&stream) else { continue };
                let left = of_service.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                let body = match &*request.target {
                    _ if left.is_ok_and(|left| left % 2 == 0) => continue,
                    _ if left.is_ok() => {
                        drop((&stream).write_all(&error_answer(503, "Busy")));
                        continue;
                    }
                    target if target.ends_with("/api/token") => "token",
                    target if target.ends_with("/security-credentials/") => "role",
                    _ => {
                        r#"{"AccessKeyId":"test","SecretAccessKey":"test","Token":"t","Expiration":"2013-01-01T00:00:00Z"}"#
                    }
                };
                let len = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}");
                drop((&stream).write_all(answer.as_bytes()));
            }
        });
        MetadataService { port, fails }
    }

    /// So many answers are none from now on.
    pub fn fail(&self, answers: usize) {
        self.fails.store(answers, Ordering::SeqCst);
    }

    /// How many of them are still to come.
    pub fn fails_left(&self) -> usize {
        self.fails.load(Ordering::SeqCst)
    }

    /// An address that shows what it stands for.
    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/169.254.169.254", self.port)
    }
}

impl Shared {
    /// Serves the one request of a connection.
    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(request) = Request::read(stream)? else { return Ok(()) };
        let fault = {
            let state = &mut *self.state.lock().unwrap();
            let seen = Seen { method: request.method.clone(), target: request.target.clone(), number: state.seen };
            state.seen += 1;
            let fault = (state.plan)(&seen);
            state.faults += usize::from(fault.is_some());
            fault
        };
        let forward = || {
            let _one_by_one = request.is_conditional.then(|| self.server.conditional.lock().unwrap());
            exchange(self.server.port, &request.bytes)
        };
        let answer = match fault {
            None => forward()?,
            Some(Fault::Says(status, code)) => error_answer(status, code),
            Some(Fault::DoesAndSays(status, code)) => {
                forward()?;
                error_answer(status, code)
            }
            Some(Fault::Closes) => return Ok(()),
            Some(Fault::LosesAnswer) => {
                forward()?;
                return Ok(());
            }
            Some(Fault::HalvesAnswer) => {
                let mut answer = forward()?;
                answer.truncate(answer.len() / 2);
                answer
            }
            Some(Fault::Ignores(conditions)) => exchange(self.server.port, &request.without(conditions))?,
            Some(Fault::Doubles) => {
                forward()?;
                forward()?
            }
        };
        let mut stream = stream;
        stream.write_all(&answer)
    }
}

struct Request {
    method: String,
    target: String,
    is_conditional: bool,
    /// As it goes to the server.
    bytes: Vec<u8>,
}

impl Request {
    /// Reads a request; nothing if the connection ends before one.
    fn read(stream: &TcpStream) -> std::io::Result<Option<Self>> {
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut words = first.split(' ').map(String::from);
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let mut bytes = first.into_bytes();
        let (mut len, mut is_conditional) = (0, false);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
            assert!(!lower.starts_with("transfer-encoding:"), "bodies have a length");
            is_conditional |= lower.starts_with("if-match:") || lower.starts_with("if-none-match:");
            if line == "\r\n" || line.is_empty() {
                break;
            }
            if !lower.starts_with("connection:") {
                bytes.extend_from_slice(line.as_bytes());
            }
        }
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        let body_from = bytes.len();
        bytes.resize(body_from + len, 0);
        reader.read_exact(&mut bytes[body_from..])?;
        Ok(Some(Request { method, target, is_conditional, bytes }))
    }
}

impl Request {
    fn without(&self, headers: &str) -> Vec<u8> {
        let head_len = self.bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 2;
        let (head, rest) = self.bytes.split_at(head_len);
        let head = String::from_utf8(head.to_vec()).unwrap();
        let lines = head.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with(headers));
        [lines.collect::<String>().as_bytes(), rest].concat()
    }
}

fn error_answer(status: u16, code: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>As told.</Message></Error>"
    );
    let len = body.len();
    format!(
        "HTTP/1.1 {status} Told\r\nContent-Type: application/xml\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What a program does that makes clients of its own: they have no cryptography of their own.
pub fn choose_cryptography() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
