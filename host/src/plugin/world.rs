//! The world of plugins, made from its description.

#![allow(missing_docs, unused_qualifications)]

wasmtime::component::bindgen!({ path: "wit", world: "plugin" });
