//! Work that waits for a storage written in JavaScript.
//!
//! JavaScript drives: it polls a [`Task`], does what that asks for, and answers, until nothing is asked for any more. So
//! there is no executor here and no promise, and whoever drives decides what runs in between.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use eventflux_core::{ByteRange, Error, ObjectId, ObjectInfo, Procedure, Request, Response, Step};
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::error::{Failure, Result, coded};
use crate::memory;

/// Something under way. See the module.
#[wasm_bindgen]
pub struct Task {
    work: Option<Pin<Box<dyn Future<Output = Result<JsValue>>>>>,
    mailbox: Mailbox,
    result: Option<Result<JsValue>>,
}

/// Where the work leaves what it asks for, and finds the answer.
#[derive(Clone, Default)]
pub(crate) struct Mailbox(Rc<Letters>);

#[derive(Default)]
struct Letters {
    request: RefCell<Option<JsValue>>,
    answer: RefCell<Option<Result<JsValue>>>,
}

impl Task {
    /// Begins work that asks through a mailbox.
    pub(crate) fn new<F: Future<Output = Result<JsValue>> + 'static>(work: impl FnOnce(Mailbox) -> F) -> Task {
        let mailbox = Mailbox::default();
        Task { work: Some(Box::pin(work(mailbox.clone()))), mailbox, result: None }
    }
}

#[wasm_bindgen]
impl Task {
    /// Goes on as far as it can; what it asks for next, or `undefined` at its end.
    pub fn poll(&mut self) -> JsValue {
        // Without room it may come to its end all the same; what it takes much of, it asks for itself.
        let _ = memory::grow_ahead();
        if let Some(work) = &mut self.work
            && let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            self.result = Some(result);
            self.work = None;
        }
        self.mailbox.0.request.take().unwrap_or(JsValue::UNDEFINED)
    }

    /// Answers what was asked for last.
    pub fn answer(&self, value: JsValue) {
        self.mailbox.0.answer.replace(Some(Ok(value)));
    }

    /// Says that what was asked for last failed, with what was thrown.
    pub fn fail(&self, error: JsValue) {
        self.mailbox.0.answer.replace(Some(Err(error)));
    }

    /// What it has come to; can be taken once.
    pub fn result(&mut self) -> Result<JsValue> {
        self.result
            .take()
            .unwrap_or_else(|| Err(coded("BUSY", "the task has not ended; poll it until it asks for nothing")))
    }
}

impl Mailbox {
    /// Asks, and waits for the answer.
    async fn ask(&self, request: JsValue) -> Result<JsValue> {
        self.0.request.replace(Some(request));
        poll_fn(|_| self.0.answer.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Lets the event loop run, if it has waited for long.
    pub(crate) async fn pause(&self) -> Result<()> {
        self.ask(object(&[("op", "pause".into())])).await.map(drop)
    }

    /// Takes the lock from another writer, if that was asked for; whether it was.
    pub(crate) async fn take_over(&self) -> Result<bool> {
        Ok(self.ask(object(&[("op", "takeOver".into())])).await?.is_truthy())
    }

    /// Deletes an object, if there is one.
    pub(crate) async fn delete(&self, object: ObjectId) -> Result<()> {
        self.ask(request_to_js(&Request::Delete { object: object.name() })).await.map(drop)
    }

    /// Drives a procedure to its end.
    pub(crate) async fn drive<P: Procedure>(&self, procedure: P) -> Result<P::Output, Failure> {
        let mut driven = Driven { procedure, output: None };
        self.drive_any(&mut driven).await?;
        // It ends in an error or in an output.
        driven.output.ok_or_else(|| Failure::Thrown(coded("BUSY", "the procedure did not end")))
    }

    async fn drive_any(&self, procedure: &mut dyn Asking) -> Result<(), Failure> {
        // What the storage threw: if one of that ends the procedure, it says more than our own error.
        let mut thrown = Vec::new();
        let error = loop {
            let request = match procedure.poll_request() {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) => break error,
            };
            let response =
                match self.ask(request_to_js(&request)).await.and_then(|answer| response_of(&request, answer)) {
                    Ok(response) => response,
                    Err(error) => {
                        let failed = storage_error(&request, &error);
                        thrown.push((failed.clone(), error));
                        Response::Failed(failed)
                    }
                };
            if let Err(error) = procedure.handle_response(response) {
                break error;
            }
        };
        let said = thrown.iter().find(|(failed, thrown)| *failed == error && has_code(thrown));
        Err(match said {
            Some((_, thrown)) => Failure::Thrown(thrown.clone()),
            None => Failure::Core(error),
        })
    }
}

/// A procedure whatever it comes to: so that there is one loop, not one for each.
trait Asking {
    fn poll_request(&mut self) -> Result<Option<Request>, Error>;
    fn handle_response(&mut self, response: Response) -> Result<(), Error>;
}

struct Driven<P: Procedure> {
    procedure: P,
    output: Option<P::Output>,
}

impl<P: Procedure> Asking for Driven<P> {
    fn poll_request(&mut self) -> Result<Option<Request>, Error> {
        Ok(match self.procedure.poll_request()? {
            Step::Request(request) => Some(request),
            Step::Done(output) => {
                self.output = Some(output);
                None
            }
        })
    }

    fn handle_response(&mut self, response: Response) -> Result<(), Error> {
        self.procedure.handle_response(response)
    }
}

fn request_to_js(request: &Request) -> JsValue {
    let bytes = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    match request {
        Request::Put { object: name, bytes: content } => {
            object(&[("op", "put".into()), ("object", name.into()), ("bytes", bytes(content))])
        }
        Request::Read { object: name, range } => {
            // Objects are far below 2^53 bytes; what goes beyond the end is cut short all the same.
            let (offset, length) = match *range {
                ByteRange::All => (JsValue::UNDEFINED, JsValue::UNDEFINED),
                ByteRange::At { offset, len } => ((offset as f64).into(), (len as f64).into()),
                ByteRange::Last { len } => (JsValue::UNDEFINED, (len as f64).into()),
            };
            object(&[("op", "read".into()), ("object", name.into()), ("offset", offset), ("length", length)])
        }
        Request::List => object(&[("op", "list".into())]),
        Request::Delete { object: name } => object(&[("op", "delete".into()), ("object", name.into())]),
        Request::ReadHead => object(&[("op", "readHead".into())]),
        Request::SwapHead { expected, new } => {
            let expected = expected.as_deref().map_or(JsValue::UNDEFINED, bytes);
            object(&[("op", "swapHead".into()), ("expected", expected), ("bytes", bytes(new))])
        }
    }
}

/// A plain object.
fn object(members: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in members {
        // An object that was made just now takes a property.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

fn response_of(request: &Request, answer: JsValue) -> Result<Response> {
    Ok(match request {
        Request::Put { .. } | Request::Delete { .. } => Response::Done,
        Request::Read { .. } => Response::Bytes(bytes_of("read", answer)?),
        Request::List => Response::Objects(objects_of(&answer)?),
        Request::ReadHead => Response::Head(bytes_of("readHead", answer)?),
        Request::SwapHead { .. } => {
            Response::Swapped(answer.as_bool().ok_or_else(|| wrong("swapHead", "true or false"))?)
        }
    })
}

fn bytes_of(method: &str, value: JsValue) -> Result<Option<Vec<u8>>> {
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    let bytes = value.dyn_into::<Uint8Array>().map_err(|_| wrong(method, "a Uint8Array or undefined"))?;
    memory::copy_of(&bytes, 1, "reading an object").map(Some)
}

fn objects_of(value: &JsValue) -> Result<Vec<ObjectInfo>> {
    let list = value.dyn_ref::<Array>().ok_or_else(|| wrong("list", "an array"))?;
    let info = |item: JsValue| {
        let name = Reflect::get(&item, &"name".into())?.as_string();
        let length = Reflect::get(&item, &"length".into())?.as_f64();
        let (name, length) = name.zip(length).ok_or_else(|| wrong("list", "objects with name and length"))?;
        Ok(ObjectInfo { name, len: length as u64 })
    };
    list.iter().map(info).collect()
}

fn wrong(method: &str, expected: &str) -> JsValue {
    coded("INVALID", &format!("`{method}` of the storage must come to {expected}"))
}

fn has_code(error: &JsValue) -> bool {
    Reflect::get(error, &"code".into()).is_ok_and(|code| code.is_string())
}

/// What the storage threw, as an error of the core.
fn storage_error(request: &Request, thrown: &JsValue) -> Error {
    let (operation, object) = match request {
        Request::Put { object, .. } => ("put", object.as_str()),
        Request::Read { object, .. } => ("read", object.as_str()),
        Request::List => ("list", "objects"),
        Request::Delete { object } => ("delete", object.as_str()),
        Request::ReadHead => ("read", "head"),
        Request::SwapHead { .. } => ("write", "head"),
    };
    let message = Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string());
    let reason =
        message.or_else(|| thrown.as_string()).unwrap_or_else(|| String::from("it threw something that is no Error"));
    Error::Storage { operation, object: object.into(), reason }
}
