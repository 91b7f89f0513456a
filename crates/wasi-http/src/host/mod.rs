//! HTTP as both versions of WASI need it: fields, bodies, requests, the client.

pub mod body;
pub mod client;
mod connect;
pub mod error;
pub mod fields;
pub mod message;
