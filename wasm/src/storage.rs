//! A storage written in JavaScript: the core says what to do, and waits.

use eventflux_core::{ByteRange, Error, ObjectInfo, Procedure, Request, Response, Step};
use js_sys::{Array, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::error::{Result, from_core};

#[wasm_bindgen]
extern "C" {
    /// What `Storage` of `storage.ts` declares, with the same guarantees.
    #[wasm_bindgen(typescript_type = "Storage")]
    pub type JsStorage;

    #[wasm_bindgen(method, catch)]
    fn put(this: &JsStorage, object: &str, bytes: Uint8Array) -> Result<Promise>;

    #[wasm_bindgen(method, catch)]
    fn read(this: &JsStorage, object: &str, offset: Option<f64>, length: Option<f64>) -> Result<Promise>;

    #[wasm_bindgen(method, catch)]
    fn list(this: &JsStorage) -> Result<Promise>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &JsStorage, object: &str) -> Result<Promise>;

    #[wasm_bindgen(method, catch, js_name = readHead)]
    fn read_head(this: &JsStorage) -> Result<Promise>;

    #[wasm_bindgen(method, catch, js_name = swapHead)]
    fn swap_head(this: &JsStorage, expected: Option<Uint8Array>, new: Uint8Array) -> Result<Promise>;
}

/// Drives a procedure to its end.
pub(crate) async fn drive<P: Procedure>(mut procedure: P, storage: &JsStorage) -> Result<P::Output> {
    // What the storage threw last: if that ends the procedure, it says more than our own error.
    let mut thrown = None;
    let outcome = loop {
        match procedure.poll_request() {
            Ok(Step::Done(output)) => break Ok(output),
            Ok(Step::Request(request)) => {
                let response = match answer(&request, storage).await {
                    Ok(response) => response,
                    Err(error) => {
                        let failed = storage_error(&request, &error);
                        thrown = Some((failed.clone(), error));
                        Response::Failed(failed)
                    }
                };
                if let Err(error) = procedure.handle_response(response) {
                    break Err(error);
                }
            }
            Err(error) => break Err(error),
        }
    };
    outcome.map_err(|error| match thrown {
        Some((failed, thrown)) if failed == error && has_code(&thrown) => thrown,
        _ => from_core(error),
    })
}

fn has_code(error: &JsValue) -> bool {
    Reflect::get(error, &"code".into()).is_ok_and(|code| code.is_string())
}

async fn answer(request: &Request, storage: &JsStorage) -> Result<Response> {
    Ok(match request {
        Request::Put { object, bytes } => {
            JsFuture::from(storage.put(object, Uint8Array::from(bytes.as_slice()))?).await?;
            Response::Done
        }
        Request::Read { object, range } => {
            let (offset, length) = match *range {
                ByteRange::All => (None, None),
                // Objects are far below 2^53 bytes; what goes beyond the end is cut short all the same.
                ByteRange::At { offset, len } => (Some(offset as f64), Some(len as f64)),
                ByteRange::Last { len } => (None, Some(len as f64)),
            };
            Response::Bytes(bytes_of(JsFuture::from(storage.read(object, offset, length)?).await?)?)
        }
        Request::List => Response::Objects(objects_of(&JsFuture::from(storage.list()?).await?)?),
        Request::Delete { object } => {
            JsFuture::from(storage.delete(object)?).await?;
            Response::Done
        }
        Request::ReadHead => Response::Head(bytes_of(JsFuture::from(storage.read_head()?).await?)?),
        Request::SwapHead { expected, new } => {
            let expected = expected.as_deref().map(Uint8Array::from);
            let swapped = JsFuture::from(storage.swap_head(expected, Uint8Array::from(new.as_slice()))?).await?;
            Response::Swapped(swapped.as_bool().ok_or_else(|| wrong("swapHead", "true or false"))?)
        }
    })
}

fn bytes_of(value: JsValue) -> Result<Option<Vec<u8>>> {
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    let bytes = value.dyn_into::<Uint8Array>().map_err(|_| wrong("read", "a Uint8Array or undefined"))?;
    Ok(Some(bytes.to_vec()))
}

fn objects_of(value: &JsValue) -> Result<Vec<ObjectInfo>> {
    let list = value.dyn_ref::<Array>().ok_or_else(|| wrong("list", "an array"))?;
    let object = |item: JsValue| {
        let name = Reflect::get(&item, &"name".into())?.as_string();
        let length = Reflect::get(&item, &"length".into())?.as_f64();
        let (name, length) = name.zip(length).ok_or_else(|| wrong("list", "objects with name and length"))?;
        Ok(ObjectInfo { name, len: length as u64 })
    };
    list.iter().map(object).collect()
}

fn wrong(method: &str, expected: &str) -> JsValue {
    js_sys::TypeError::new(&format!("`{method}` of the storage must come to {expected}")).into()
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
    let reason = match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| String::from("it threw something that is no Error")),
    };
    Error::Storage { operation, object: object.into(), reason }
}
