//! The host side of concurrency: calls beside each other, host functions that wait,
//! streams and futures that the host holds, stalls, schedules.

mod calls;
mod faults;
mod many;
mod schedules;
mod stalls;
mod streams;
mod support;
