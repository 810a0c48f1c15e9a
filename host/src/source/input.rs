//! The bytes of an input, uncompressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::error::SourceError;
use super::stdin::StandardInput;

/// Compressed bytes read at a time.
const COMPRESSED_READ_BYTES: usize = 64 * 1024;
/// First byte of a gzip member.
const GZIP_FIRST: u8 = 0x1f;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Ndjson,
}

/// An open file or standard input.
pub(super) struct Input {
    name: String,
    bytes: Bytes,
    bytes_total: Option<u64>,
    /// What the decompressor failed with; asked again, it might claim the end of the file.
    gzip_failure: Option<(ErrorKind, String)>,
}

enum Bytes {
    Plain(File),
    Gzip(Box<Members>),
    Stdin(StandardInput),
}

impl Input {
    /// Opens a file; the format is `None` where the name does not tell it, for standard input.
    pub(super) fn open(file: &Path) -> Result<(Input, Option<Format>), SourceError> {
        if file.as_os_str() == "-" {
            let name = String::from("standard input");
            let bytes = match StandardInput::open() {
                Ok(stdin) => Bytes::Stdin(stdin),
                Err(reason) => return Err(SourceError::Open { file: name, reason }),
            };
            return Ok((Input { name, bytes, bytes_total: None, gzip_failure: None }, None));
        }
        let name = file.display().to_string();
        let Some((format, gzip)) = format_of(&name) else {
            return Err(SourceError::Extension { file: name });
        };
        let opened = File::open(file).and_then(|open| Ok((open.metadata()?, open)));
        let (metadata, open) = match opened {
            Ok(opened) => opened,
            Err(reason) => return Err(SourceError::Open { file: name, reason }),
        };
        let bytes = if gzip { Bytes::Gzip(Box::new(Members::new(open))) } else { Bytes::Plain(open) };
        let bytes_total = metadata.is_file().then_some(metadata.len());
        Ok((Input { name, bytes, bytes_total, gzip_failure: None }, Some(format)))
    }

    /// The file as messages name it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Size on disk.
    pub(super) fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// Whether it is a file that is read as it is.
    pub(super) fn is_plain_file(&self) -> bool {
        matches!(self.bytes, Bytes::Plain(_)) && self.bytes_total.is_some()
    }

    /// Of standard input: from now on asks whether it is to stop before it takes anything.
    pub(super) fn stop_when(&mut self, is_stopped: Box<dyn Fn() -> bool + Send>) {
        if let Bytes::Stdin(stdin) = &mut self.bytes {
            stdin.stop_when(is_stopped);
        }
    }

    /// Bytes read from the disk, if the file is compressed.
    pub(super) fn compressed_read(&self) -> Option<u64> {
        match &self.bytes {
            Bytes::Gzip(members) => members.count(),
            Bytes::Plain(_) | Bytes::Stdin(_) => None,
        }
    }

    /// Fills some of `buffer`; 0 is the end. `is_in_row`: whether what was read so far ends in the midst of a row.
    pub(super) fn read(&mut self, buffer: &mut [u8], is_in_row: bool) -> Result<usize, SourceError> {
        if let Some((kind, reason)) = &self.gzip_failure {
            return Err(self.failed(io::Error::new(*kind, reason.clone())));
        }
        loop {
            let result = match &mut self.bytes {
                Bytes::Plain(file) => file.read(buffer),
                Bytes::Gzip(members) => members.read(buffer),
                Bytes::Stdin(stdin) => stdin.read(buffer, is_in_row),
            };
            match result {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if matches!(self.bytes, Bytes::Gzip(_)) {
                        self.gzip_failure = Some((error.kind(), error.to_string()));
                    }
                    return Err(self.failed(error));
                }
            }
        }
    }

    /// Goes on at `offset` of the uncompressed bytes; false if the input cannot be repeated.
    pub(super) fn seek(&mut self, offset: u64) -> Result<bool, SourceError> {
        let repeated = match &mut self.bytes {
            Bytes::Stdin(_) => return Ok(false),
            Bytes::Plain(file) => {
                file.metadata().and_then(|metadata| Ok((metadata.len(), file.seek(SeekFrom::Start(offset))?)))
            }
            Bytes::Gzip(members) => members.restart().map(|()| (u64::MAX, offset)),
        };
        self.gzip_failure = None;
        let (length, _) = repeated.map_err(|error| self.failed(error))?;
        if length < offset {
            return Err(self.beyond_end(offset, length));
        }
        if matches!(self.bytes, Bytes::Gzip(_)) {
            self.discard(offset)?;
        }
        Ok(true)
    }

    /// Whether a file whose end was met after so many bytes has lost none: one that is cut ends early, and a read behind
    /// its end says just that it has ended. And whether it still begins as it did: else it was written over in its place,
    /// and what was read is of both. What is compressed tells by itself, and a pipe cannot be cut.
    pub(super) fn check_whole(&self, read: u64, beginning: &[u8]) -> Result<(), SourceError> {
        let (Bytes::Plain(file), Some(opened)) = (&self.bytes, self.bytes_total) else { return Ok(()) };
        let found = file.metadata().map_err(|error| self.failed(error))?.len();
        let (length, before) = (found.min(read), opened.max(read));
        // Some file systems do not tell the length of what they make as it is read.
        if length < before && found + opened > 0 {
            return Err(SourceError::CutWhileRead { file: self.name.clone(), length, before });
        }
        if found == 0 {
            return Ok(());
        }
        let mut now = vec![0; beginning.len()];
        let mut file: &File = file;
        let read_again = file.rewind().and_then(|()| file.read_exact(&mut now));
        // Behind the end again, where nothing is read but its end.
        let read_again = read_again.and_then(|()| file.seek(SeekFrom::Start(read)).map(drop));
        read_again.map_err(|error| self.failed(error))?;
        if now != beginning {
            return Err(SourceError::OverwrittenWhileRead { file: self.name.clone() });
        }
        Ok(())
    }

    fn discard(&mut self, offset: u64) -> Result<(), SourceError> {
        let mut buffer = vec![0; COMPRESSED_READ_BYTES];
        let mut done = 0;
        while done < offset {
            let wanted = usize::try_from(offset - done).unwrap_or(usize::MAX).min(buffer.len());
            match self.read(&mut buffer[..wanted], false)? {
                0 => return Err(self.beyond_end(offset, done)),
                count => done += count as u64,
            }
        }
        Ok(())
    }

    fn beyond_end(&self, offset: u64, length: u64) -> SourceError {
        SourceError::PositionBeyondEnd { file: self.name.clone(), offset, length }
    }

    fn failed(&self, reason: io::Error) -> SourceError {
        let file = self.name.clone();
        match (&self.bytes, reason.kind()) {
            (Bytes::Gzip(_), ErrorKind::UnexpectedEof) => SourceError::GzipTruncated { file },
            (Bytes::Gzip(_), ErrorKind::InvalidInput | ErrorKind::InvalidData) => {
                SourceError::GzipCorrupt { file, reason }
            }
            _ => SourceError::Io { file, reason },
        }
    }
}

/// A file that counts what is read from it.
struct Counted {
    file: File,
    count: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// Gzip members one after the other, and zeros behind them: what is written to tapes and by some archivers is filled up
/// with them, and `gzip` passes over them too.
struct Members {
    /// The member that is read; there is one between calls.
    member: Option<GzDecoder<Compressed>>,
}

type Compressed = BufReader<Counted>;

impl Members {
    fn new(file: File) -> Self {
        let counted = Counted { file, count: 0 };
        Members { member: Some(GzDecoder::new(BufReader::with_capacity(COMPRESSED_READ_BYTES, counted))) }
    }

    /// Compressed bytes that were read.
    fn count(&self) -> Option<u64> {
        Some(self.member.as_ref()?.get_ref().get_ref().count)
    }

    fn restart(&mut self) -> io::Result<()> {
        let Some(member) = self.member.take() else { return Ok(()) };
        let mut file = member.into_inner().into_inner().file;
        let rewound = file.rewind();
        *self = Members::new(file);
        rewound
    }
}

impl Read for Members {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() || !skip_zeros(member.get_mut())? {
                return Ok(count);
            }
            self.member = self.member.take().map(|ended| GzDecoder::new(ended.into_inner()));
        }
        Ok(0)
    }
}

/// Whether another member is left behind them.
fn skip_zeros(compressed: &mut Compressed) -> io::Result<bool> {
    loop {
        let buffer = compressed.fill_buf()?;
        let Some(first) = buffer.first() else { return Ok(false) };
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        match *first {
            0 => compressed.consume(zeros),
            GZIP_FIRST => return Ok(true),
            _ => return Err(io::Error::new(ErrorKind::InvalidData, "something else than gzip comes behind its end")),
        }
    }
}

/// The format by the end of the name, and whether it is compressed.
fn format_of(name: &str) -> Option<(Format, bool)> {
    let name = name.to_ascii_lowercase();
    let (stem, gzip) = name.strip_suffix(".gz").map_or((name.as_str(), false), |stem| (stem, true));
    let format = if stem.ends_with(".csv") {
        Format::Csv
    } else if stem.ends_with(".ndjson") || stem.ends_with(".jsonl") {
        Format::Ndjson
    } else {
        return None;
    };
    Some((format, gzip))
}
