//! A transaction that writes one chunk, sent from where it lies: chunks are large, and copies cost as much as Redis.

use redis::{Cmd, Connection, FromRedisValue, RedisResult, Value, cmd};

/// Commands around a chunk, in the bytes of the protocol.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    before: Vec<u8>,
    chunk: &'a [u8],
    after: Vec<u8>,
    /// Commands between `MULTI` and `EXEC`.
    commands: usize,
}

impl<'a> Transaction<'a> {
    pub(super) fn new() -> Self {
        Transaction { before: cmd("MULTI").get_packed_command(), chunk: &[], after: Vec::new(), commands: 0 }
    }

    /// Adds a command.
    pub(super) fn command(&mut self, command: &Cmd) {
        let part = if self.chunk.is_empty() { &mut self.before } else { &mut self.after };
        part.extend(command.get_packed_command());
        self.commands += 1;
    }

    /// Adds `SET` of the one chunk, which is not empty; it ends at a time, unless that is 0.
    pub(super) fn set(&mut self, key: &str, chunk: &'a [u8], ends_at: &str) {
        let ends = ends_at != "0";
        let (arguments, key_len, len) = (if ends { 5 } else { 3 }, key.len(), chunk.len());
        self.before.extend(format!("*{arguments}\r\n$3\r\nSET\r\n${key_len}\r\n{key}\r\n${len}\r\n").into_bytes());
        self.chunk = chunk;
        self.after.extend(b"\r\n");
        if ends {
            self.after.extend(format!("$4\r\nPXAT\r\n${}\r\n{ends_at}\r\n", ends_at.len()).into_bytes());
        }
        self.commands += 1;
    }

    /// Runs it; the answer of its last command.
    pub(super) fn run<T: FromRedisValue>(&self, connection: &mut Connection) -> RedisResult<T> {
        connection.send_packed_command(&self.before)?;
        if !self.chunk.is_empty() {
            connection.send_packed_command(self.chunk)?;
        }
        let end = [&self.after[..], &cmd("EXEC").get_packed_command()].concat();
        connection.send_packed_command(&end)?;
        // All answers, whatever they are: the next one must be to the next command.
        let answers = 1 + self.commands + 1;
        let answers: Vec<Value> = (0..answers).map(|_| connection.recv_response()).collect::<RedisResult<_>>()?;
        let mut last = Value::Nil;
        for answer in answers {
            // The first that is refused says why, `EXEC` only that one was.
            last = answer.extract_error()?;
        }
        match last {
            Value::Array(mut answers) => Ok(T::from_redis_value(answers.pop().unwrap_or(Value::Nil))?),
            other => Ok(T::from_redis_value(other)?),
        }
    }
}
