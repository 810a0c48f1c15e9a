//! The board: its serial line (a PL011), its memory. All that is unsafe is here.

use core::panic::PanicInfo;
use core::ptr::{addr_of, read_volatile, write_volatile};

const UART0: usize = 0x4000_c000;
const DATA: usize = UART0;
const FLAGS: usize = UART0 + 0x18;
const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
/// What the stack was painted with before the program began.
const PAINT: u32 = cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    /// Where static memory ends.
    static __sheap: u32;
    /// Where the stack begins, growing down.
    static _stack_start: u32;
}

/// The serial line, which there is one of.
pub struct Serial(());

impl Serial {
    /// The line as the machine starts it: on.
    pub fn new() -> Self {
        Serial(())
    }

    pub fn byte(&mut self) -> u8 {
        while flags() & RECEIVE_EMPTY != 0 {}
        // SAFETY: the address is that of the receiver's register.
        unsafe { read_volatile(DATA as *const u32) as u8 }
    }

    pub fn u32(&mut self) -> u32 {
        (0..4).fold(0, |number, at| number | u32::from(self.byte()) << (8 * at))
    }

    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    pub fn send(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while flags() & TRANSMIT_FULL != 0 {}
            // SAFETY: the address is that of the transmitter's register.
            unsafe { write_volatile(DATA as *mut u32, u32::from(*byte)) };
        }
    }
}

fn flags() -> u32 {
    // SAFETY: the address is that of the line's flags.
    unsafe { read_volatile(FLAGS as *const u32) }
}

/// Bytes between static memory and the deepest that the stack has been.
pub fn never_used_bytes() -> u32 {
    let (mut at, end) = (addr_of!(__sheap), addr_of!(_stack_start));
    let mut bytes = 0;
    // SAFETY: between the two symbols there is memory, and nothing else writes to it at this time.
    while at < end && unsafe { read_volatile(at) } == PAINT {
        (at, bytes) = (at.wrapping_add(1), bytes + 4);
    }
    bytes
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    Serial(()).send(b"E\x05\0panic");
    loop {}
}
