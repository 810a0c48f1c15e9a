//! The other end of the device's serial line: publishes its checkpoints, goes on from them, and sends one back.
//!
//! ```text
//! device-station FIRMWARE DIRECTORY out     the device begins, and its checkpoints go into DIRECTORY/state
//! device-station FIRMWARE DIRECTORY back    a new device goes on from a checkpoint that the command took there
//! ```
//!
//! In between `eventflux run` goes on from what the device left, in DIRECTORY. `tests/device` does all three.
//! The device is `qemu-system-arm`; one with a cable would differ in how the line is opened.

#[path = "src/readings.rs"]
mod readings;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use eventflux::storage::{Access, AnyBackend, StorageAddress};
use eventflux::{EventFluxManager, StateDescriptor, StateHolder, Value};
use eventflux_core::{
    CheckpointRequest, EncodedCheckpoint, Manifest, ObjectId, OpenWriter, Publish, ReadHead, ReadManifest, Restore,
    RestoreOptions, Retention, Selector, Verify, Writer, drive, encode_key,
};
use readings::reading;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many readings the device takes before its checkpoints: the first are enough for all sensors.
const READINGS: [u32; 6] = [1000, 3, 5, 2, 400, 4];
/// And after it was given one.
const READINGS_AFTER: [u32; 3] = [7, 250, 1];
/// Readings that the command takes on its own.
const READINGS_OF_COMMAND: u64 = 1500;
const NAME: &str = "sensors";
const BY_SENSOR: &str = "by_sensor";
const POSITION: &str = "readings";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [firmware, directory, "out"] => out(firmware, Path::new(directory)),
        [firmware, directory, "back"] => back(firmware, Path::new(directory)),
        _ => Err("usage: device-station FIRMWARE DIRECTORY out|back".into()),
    }
}

/// The device begins; what it sends is published; the command is sent what comes then.
fn out(firmware: &str, directory: &Path) -> Result<()> {
    check_definition(directory)?;
    let mut station = Station::open(directory)?;
    let mut device = Device::start(firmware)?;
    let mut taken = 0;
    for (at, count) in READINGS.into_iter().enumerate() {
        taken = device.take(count)?;
        if at == 1 {
            // One that is lost on its way: what it had is in the next.
            device.checkpoint(station.writer.next_object())?;
            device.command(b'A')?;
        }
        let object = station.writer.next_object();
        let bytes = device.checkpoint(object)?;
        println!("checkpoint {} of the device: {} readings, {} bytes", object.id, taken, bytes.len());
        station.publish(EncodedCheckpoint::from_object(object, bytes)?)?;
        device.command(b'K')?;
        station.check(taken)?;
    }
    device.print_memory()?;
    write_csv(&directory.join("readings.csv"), taken..taken + READINGS_OF_COMMAND)?;
    write_csv(&directory.join("all.csv"), 0..taken + READINGS_OF_COMMAND)
}

/// A checkpoint that the command took in the midst of its source goes into a new device, which goes on.
fn back(firmware: &str, directory: &Path) -> Result<()> {
    let mut station = Station::open(directory)?;
    let newest = station.newest_unfinished()?;
    let mut holder = holder(&newest.states)?;
    drive(Restore::object(&mut holder, newest.object, RestoreOptions::default()), &mut station.storage)?;
    let mut progress = newest.progress.clone();
    let mut taken = progress.engine.as_ref().map_or(0, |engine| engine.events);
    progress.positions = vec![(POSITION.into(), taken)];
    holder.begin_full(CheckpointRequest { created_ms: newest.created_ms, label: None, progress })?;
    let whole = holder.take_capture()?.into_row_object(station.writer.next_object())?;
    let bytes = whole.bytes().to_vec();
    println!("checkpoint {} of the command, for the device: {taken} readings, {} bytes", newest.object.id, bytes.len());
    station.publish(whole)?;

    let mut device = Device::start(firmware)?;
    let damaged: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
    let refused = device.restore(&damaged).map_err(|error| error.to_string());
    if !refused.as_ref().is_err_and(|error| error.contains("damaged")) {
        return Err(format!("a damaged checkpoint: {refused:?}").into());
    }
    let restored = device.restore(&bytes)?;
    if restored != taken {
        return Err(format!("the device goes on from reading {restored}, not {taken}").into());
    }
    for count in READINGS_AFTER {
        taken = device.take(count)?;
        let object = station.writer.next_object();
        let bytes = device.checkpoint(object)?;
        println!("checkpoint {} of the device: {} readings, {} bytes", object.id, taken, bytes.len());
        station.publish(EncodedCheckpoint::from_object(object, bytes)?)?;
        device.command(b'K')?;
        station.check(taken)?;
    }
    device.print_memory()
}

/// Whether the device says of its state what the definition of the command says.
fn check_definition(directory: &Path) -> Result<()> {
    let runtime = EventFluxManager::new().load(directory.join("app.toml"))?;
    let operator = runtime.definition().operators.first().ok_or("app.toml has no operator")?;
    let (wanted, found) = (operator.to_canonical_json(), include_str!("by_sensor.json"));
    if wanted == found { Ok(()) } else { Err(format!("by_sensor.json has to be\n{wanted}\nand is\n{found}").into()) }
}

fn write_csv(path: &Path, numbers: std::ops::Range<u64>) -> Result<()> {
    let mut text = String::from("at,sensor,value\n");
    for of in numbers.map(reading) {
        text += &format!("{},{},{}\n", of.at_ms, of.sensor, of.value);
    }
    Ok(fs::write(path, text)?)
}

/// A holder of the states of a checkpoint.
fn holder(states: &[StateDescriptor]) -> Result<StateHolder> {
    let mut builder = StateHolder::builder(NAME);
    for state in states.iter().skip(1) {
        builder = builder.state(state.clone());
    }
    Ok(builder.build()?)
}

/// The storage that the checkpoints go into.
struct Station {
    storage: AnyBackend,
    writer: Writer,
}

impl Station {
    fn open(directory: &Path) -> Result<Self> {
        let mut storage = StorageAddress::parse("file:state", directory)?.open(Access::Write)?;
        let writer = drive(OpenWriter::new(), &mut storage)?;
        Ok(Station { storage, writer })
    }

    fn publish(&mut self, mut checkpoint: EncodedCheckpoint) -> Result<()> {
        let publish = Publish::new(&mut self.writer, &mut checkpoint, Retention { max_retained: 20 })?;
        drive(publish, &mut self.storage)?;
        Ok(())
    }

    /// The newest checkpoint of the command, but for that of the end of its source, whose groups have been given out.
    fn newest_unfinished(&mut self) -> Result<Manifest> {
        let head = drive(ReadHead::new(), &mut self.storage)?.ok_or("the storage is empty")?;
        for entry in head.entries.iter().rev() {
            let manifest = drive(ReadManifest::new(entry.object), &mut self.storage)?;
            if manifest.progress.engine.as_ref().is_some_and(|engine| !engine.finished) {
                return Ok(manifest);
            }
        }
        Err("the command took no checkpoint in the midst of its source".into())
    }

    /// Whether the newest checkpoint restores natively, with the numbers that so many readings give.
    fn check(&mut self, taken: u64) -> Result<()> {
        let report = drive(Verify::new(), &mut self.storage)?;
        if !report.findings.is_empty() {
            return Err(format!("the storage is damaged: {:?}", report.findings).into());
        }
        let newest = Selector::Latest.find(self.writer.head())?;
        let manifest = drive(ReadManifest::new(newest), &mut self.storage)?;
        let mut holder = holder(&manifest.states)?;
        drive(Restore::new(&mut holder, Selector::Latest, RestoreOptions::default()), &mut self.storage)?;
        let mut expected: BTreeMap<i64, (i64, i64, i64)> = BTreeMap::new();
        for of in (0..taken).map(reading) {
            let (count, sum, largest) = expected.entry(of.sensor).or_insert((0, 0, i64::MIN));
            (*count, *sum, *largest) = (*count + 1, *sum + of.value, of.value.max(*largest));
        }
        let groups = holder.aggregations(BY_SENSOR).ok_or("no groups")?;
        for (sensor, (count, sum, largest)) in &expected {
            let key = encode_key(&[Value::from(*sensor)], &mut [0; 11])?.to_vec();
            let group = groups.get(&key).ok_or_else(|| format!("sensor {sensor} is missing"))?;
            let results: Vec<Value> = group.accumulators().iter().map(|of| of.result()).collect();
            let wanted = [Value::from(*count), Value::from(*sum as f64 / *count as f64), Value::from(*largest)];
            if results != wanted {
                return Err(format!("sensor {sensor}: {results:?} instead of {wanted:?}").into());
            }
        }
        if groups.len() == expected.len() { Ok(()) } else { Err("more groups than sensors".into()) }
    }
}

/// The device on its serial line.
struct Device {
    machine: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Device {
    fn start(firmware: &str) -> Result<Self> {
        let mut machine = Command::new("qemu-system-arm")
            .args(["-machine", "lm3s6965evb", "-display", "none", "-monitor", "none", "-serial", "stdio", "-kernel"])
            .arg(firmware)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("qemu-system-arm: {error}"))?;
        let (to, from) = machine.stdin.take().zip(machine.stdout.take()).ok_or("no serial line")?;
        Ok(Device { machine, to, from })
    }

    fn command(&mut self, command: u8) -> Result<()> {
        self.send(command, &[])
    }

    /// Sends a command; its answer has begun when this returns.
    fn send(&mut self, command: u8, what: &[u8]) -> Result<()> {
        self.to.write_all(&[command])?;
        self.to.write_all(what)?;
        self.to.flush()?;
        match self.bytes::<1>()? {
            [answer] if answer == command => Ok(()),
            [b'E'] => {
                let len = u16::from_le_bytes(self.bytes()?);
                let mut text = vec![0; len.into()];
                self.from.read_exact(&mut text)?;
                Err(format!("the device: {}", String::from_utf8_lossy(&text)).into())
            }
            [other] => Err(format!("the device answers {other:#04x}").into()),
        }
    }

    fn bytes<const COUNT: usize>(&mut self) -> Result<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Lets it take readings; how many it has taken.
    fn take(&mut self, count: u32) -> Result<u64> {
        self.send(b'T', &count.to_le_bytes())?;
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn checkpoint(&mut self, object: ObjectId) -> Result<Vec<u8>> {
        self.send(b'C', &[object.id.to_le_bytes(), object.generation.to_le_bytes()].concat())?;
        let mut bytes = vec![0; u32::from_le_bytes(self.bytes()?) as usize];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn restore(&mut self, object: &[u8]) -> Result<u64> {
        self.send(b'R', &[&(object.len() as u32).to_le_bytes(), object].concat())?;
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// Says how much memory was left, and refuses a stack that may have run into static memory.
    fn print_memory(&mut self) -> Result<()> {
        self.command(b'S')?;
        let unused = u32::from_le_bytes(self.bytes()?);
        println!("{unused} bytes of the device's memory were never used");
        if unused == 0 { Err("the stack has used all there is, or more".into()) } else { Ok(()) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}
