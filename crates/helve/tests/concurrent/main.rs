//! The host side of concurrency: calls beside each other, host functions that wait,
//! streams and futures that the host holds, stalls, schedules.

mod afterwards;
mod bindings;
mod calls;
mod exclusive;
mod faults;
mod hooks;
mod many;
mod others;
mod pipes;
mod schedules;
mod stacks;
mod stalls;
mod streams;
mod support;
