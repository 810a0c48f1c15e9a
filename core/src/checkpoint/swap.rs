//! The swap of a writer's head for the next one, whatever becomes of its answer.

use alloc::vec::Vec;

use super::open::Writer;
use super::procedure::{Request, Response, unexpected};
use crate::error::{Error, Result};
use crate::format::head::HEAD_NAME;

/// Puts the next head in place of the one that a writer left: part of the procedures that change a head.
#[derive(Debug)]
pub(super) struct SwapHead {
    next: Vec<u8>,
    state: SwapState,
}

#[derive(Debug)]
enum SwapState {
    Swap,
    /// The swap failed without saying whether it took effect: look.
    Look(Error),
    /// It took effect, and may not be durable: once more.
    Again,
    /// Someone else changed the head: read by whom.
    Refused,
}

impl SwapHead {
    /// Begins to swap.
    pub(super) fn new(next: Vec<u8>) -> Self {
        SwapHead { next, state: SwapState::Swap }
    }

    /// What is asked for next.
    pub(super) fn request(&self, writer: &mut Writer) -> Request {
        match self.state {
            SwapState::Swap => {
                writer.expect_swap(&self.next);
                Request::SwapHead { expected: Some(writer.head_bytes.clone()), new: self.next.clone() }
            }
            SwapState::Again => Request::SwapHead { expected: Some(self.next.clone()), new: self.next.clone() },
            SwapState::Look(_) | SwapState::Refused => Request::ReadHead,
        }
    }

    /// Takes the answer; whether the next head is in its place now, which the writer knows then.
    ///
    /// # Errors
    /// Of the swap, if it did not take effect or that is not known; of whoever changed the head meanwhile.
    pub(super) fn handle_response(&mut self, writer: &mut Writer, response: Response) -> Result<bool> {
        match (&mut self.state, response) {
            (SwapState::Swap | SwapState::Again, Response::Swapped(true)) => {
                writer.head_bytes = core::mem::take(&mut self.next);
                writer.unsure.clear();
                return Ok(true);
            }
            (SwapState::Swap | SwapState::Again, Response::Swapped(false)) => {
                writer.forget_swap(&self.next);
                self.state = SwapState::Refused;
            }
            (SwapState::Swap, Response::Failed(error)) => self.state = SwapState::Look(error),
            (SwapState::Look(_), Response::Head(Some(found))) if found == self.next => self.state = SwapState::Again,
            (SwapState::Look(error), Response::Head(Some(found))) => {
                let error = error.clone();
                writer.own(&found)?;
                return Err(error);
            }
            (SwapState::Look(error), _) => return Err(error.clone()),
            (SwapState::Refused, Response::Head(Some(found))) => {
                if !writer.settle(&found)? {
                    return Err(writer.head_changed(&found));
                }
                // Whoever tries again goes on from there: what was put now may be gone, such as with a transaction.
                let reason = "an earlier write, which had failed, came late; try again".into();
                return Err(Error::Storage { operation: "write", object: HEAD_NAME.into(), reason });
            }
            (SwapState::Refused, Response::Head(None)) => {
                return Err(Error::ObjectMissing { object: HEAD_NAME.into() });
            }
            (_, Response::Failed(error)) => return Err(error),
            _ => return Err(unexpected("swap", HEAD_NAME)),
        }
        Ok(false)
    }
}
