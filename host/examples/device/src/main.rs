//! Aggregates readings of up to 64 sensors, and sends checkpoints over the serial line when it is asked to.
//!
//! It runs on an LM3S6965, as `qemu-system-arm -machine lm3s6965evb` has it. What it holds is the state of the operator
//! in `app.toml`: the native command goes on from its checkpoints, and it from those of the command.
//!
//! A command is a letter and numbers, little-endian; the answer begins with the same letter, or is `E`, a length of 16
//! bits, and why it failed.
//!
//! | command | answer |
//! |---|---|
//! | `T` count (32 bits): take so many readings | readings so far (64) |
//! | `C` id (64) generation (64): a checkpoint | length (32), the object |
//! | `K`: it is durable; `A`: it is lost | |
//! | `R` length (32), an object: go on from it | readings so far (64) |
//! | `S`: how much memory was never used | bytes (32) |

#![no_std]
#![no_main]

mod board;
mod readings;

use board::Serial;
use cortex_m_rt::entry;
use eventflux_core::{
    FixedAccumulator, FixedAggregation, FixedEngine, FixedError, FixedHolder, FixedMap, FixedPlain, FixedRequest,
    FixedStateDescriptor, Function, ObjectId, Value, encode_key,
};
use readings::Reading;

const SENSORS: usize = 64;
/// What a checkpoint takes at most, and what comes in.
const BUFFER_BYTES: usize = 2712;
/// Of `app.toml`, as the command records it.
const BY_SENSOR: &str = include_str!("../by_sensor.json");

/// No plain values, but every checkpoint has a state of them.
type Values = FixedMap<FixedPlain<0>, 0, 0>;
/// Count, mean and largest value, by the number of a sensor.
type Groups = FixedMap<FixedAggregation<3, 28>, SENSORS, 11>;

/// The program's state. Its methods are not inlined: together they would take as much stack as all of them.
struct Device {
    holder: FixedHolder<'static, 2, 3>,
    values: Values,
    /// Elsewhere: what begins as zeros takes no flash.
    groups: &'static mut Groups,
    taken: u64,
}

impl Device {
    fn new(groups: &'static mut Groups) -> Self {
        let values = FixedStateDescriptor { name: "", version: 1, description: "" };
        let by_sensor = FixedStateDescriptor { name: "by_sensor", version: 1, description: BY_SENSOR };
        Device { holder: FixedHolder::new("sensors", 16, [values, by_sensor]), values: Values::new(), groups, taken: 0 }
    }

    #[inline(never)]
    fn take(&mut self, reading: &Reading) -> Result<(), FixedError> {
        let mut buffer = [0; 11];
        let key = encode_key(&[Value::from(reading.sensor)], &mut buffer)?;
        let empty = || FixedAggregation::new(&[Function::Count, Function::Avg, Function::Max].map(FixedAccumulator::new));
        self.groups.update(key, empty, |group| {
            group.update(|accumulators| {
                let [count, mean, largest] = accumulators;
                count.add_event();
                mean.add(reading.at_ms, &Value::from(reading.value))?;
                largest.add(reading.at_ms, &Value::from(reading.value))
            })
        })?;
        self.taken += 1;
        Ok(())
    }

    #[inline(never)]
    fn checkpoint(&mut self, object: ObjectId, buffer: &mut [u8]) -> Result<usize, FixedError> {
        let newest = self.taken.checked_sub(1).map(readings::reading);
        let timestamp_max = newest.as_ref().map(|reading| reading.at_ms);
        // As the engine of the command: one operator, which has given out nothing yet.
        let engine = FixedEngine { events: self.taken, timestamp_max, finished: false, results: &[0], late: &[0] };
        let request = FixedRequest {
            created_ms: timestamp_max.unwrap_or_default(),
            positions: &[("readings", self.taken)],
            engine: Some(engine),
            ..Default::default()
        };
        self.holder.encode(object, &request, &mut [&mut self.values, self.groups], buffer)
    }

    #[inline(never)]
    fn restore(&mut self, object: &[u8]) -> Result<(), FixedError> {
        let restored = self.holder.restore(&mut [&mut self.values, self.groups], &[object]);
        match restored {
            Ok(restored) => self.taken = restored.position("readings").unwrap_or_default(),
            // Rows that are not of these groups have emptied them: readings are counted anew.
            Err(_) if self.groups.is_empty() => self.taken = 0,
            Err(_) => {}
        }
        restored.map(drop)
    }
}

#[entry]
fn main() -> ! {
    static mut GROUPS: Groups = Groups::new();
    static mut BUFFER: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];
    let mut device = Device::new(GROUPS);
    let mut serial = Serial::new();
    loop {
        let command = serial.byte();
        if let Err(error) = answer(command, &mut device, BUFFER, &mut serial) {
            let text = text_of(&error);
            serial.send(b"E");
            serial.send(&(text.len() as u16).to_le_bytes());
            serial.send(text.as_bytes());
        }
    }
}

fn answer(command: u8, device: &mut Device, buffer: &mut [u8], serial: &mut Serial) -> Result<(), FixedError> {
    match command {
        b'T' => {
            for _ in 0..serial.u32() {
                device.take(&readings::reading(device.taken))?;
            }
            serial.send(b"T");
            serial.send(&device.taken.to_le_bytes());
        }
        b'C' => {
            let object = ObjectId { id: serial.u64(), generation: serial.u64() };
            let len = device.checkpoint(object, buffer)?;
            serial.send(b"C");
            serial.send(&(len as u32).to_le_bytes());
            serial.send(&buffer[..len]);
        }
        b'K' => {
            device.holder.commit(&mut [&mut device.values, device.groups])?;
            serial.send(b"K");
        }
        b'A' => {
            device.holder.abort(&mut [&mut device.values, device.groups])?;
            serial.send(b"A");
        }
        b'R' => {
            let needed = serial.u32() as usize;
            let available = buffer.len();
            // All of it is taken off the line, whether it fits or not.
            (0..needed).for_each(|at| {
                let byte = serial.byte();
                if let Some(place) = buffer.get_mut(at) {
                    *place = byte;
                }
            });
            device.restore(buffer.get(..needed).ok_or(FixedError::BufferFull { needed, available })?)?;
            serial.send(b"R");
            serial.send(&device.taken.to_le_bytes());
        }
        b'S' => {
            serial.send(b"S");
            serial.send(&board::never_used_bytes().to_le_bytes());
        }
        // Noise on the line.
        _ => {}
    }
    Ok(())
}

/// What failed, in a word or two: formatting whole sentences would take flash.
fn text_of(error: &FixedError) -> &'static str {
    match error {
        FixedError::Full { what, .. } => what,
        FixedError::BufferFull { .. } => "the buffer is too small",
        FixedError::Damaged(_) => "damaged checkpoint",
        FixedError::NotRows => "a checkpoint that is not rows",
        FixedError::OtherHolder | FixedError::StateChanged { .. } => "a checkpoint of another program",
        FixedError::CheckpointUnderWay => "a checkpoint is under way",
        FixedError::NoCheckpointUnderWay => "no checkpoint is under way",
        _ => "failed",
    }
}
