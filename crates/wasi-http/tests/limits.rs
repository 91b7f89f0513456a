//! Guests that ask for more than they may have: each limit from both sides, of WASI 0.2
//! and 0.3, as a guest meets it.

mod common;

use common::{Host, MEMORY, component, linker};
use helve::component::Component;
use helve::{Config, Engine, Store};
use helve_wasi::WasiCtx;
use helve_wasi::host::stdio::{Stdin, Stdout};
use helve_wasi::host::stream::MAX_TRANSFER;
use helve_wasi_http::host::fields::FieldLimits;

const ALL_2: &str = "
    import wasi:random/random@0.2.12;
    import wasi:random/insecure@0.2.12;
    import wasi:http/types@0.2.12;
    import wasi:cli/stdin@0.2.12;
    import wasi:cli/stdout@0.2.12;
    import wasi:io/streams@0.2.12;
    import wasi:io/poll@0.2.12;
    import wasi:sockets/tcp-create-socket@0.2.12;
    import wasi:sockets/udp-create-socket@0.2.12;
    import wasi:sockets/tcp@0.2.12;
    import wasi:sockets/udp@0.2.12;
    export check: func() -> s32;";

const ALL_3: &str = "
    import wasi:random/random@0.3.0;
    import wasi:random/insecure@0.3.0;
    import wasi:http/types@0.3.0;
    import wasi:sockets/types@0.3.0;
    export check: func() -> s32;";

/// What `check` returns, in a store whose guest may have little.
async fn check(version: &str, body: &str) -> Result<i32, String> {
    let mut config = Config::new();
    config.all_features(true).max_handles(100);
    let engine = Engine::new(&config).unwrap();
    let world = if version == "0.2.12" { ALL_2 } else { ALL_3 };
    let text = format!(
        r#"{MEMORY} (data (i32.const 16) "a")
        (func (export "check") (result i32)
            (local $i i32) (local $n i32) (local $it i32) {body})"#
    );
    let component = Component::new(&engine, component(version, world, &text)).unwrap();
    let ctx = WasiCtx::builder()
        .max_random_bytes(1000)
        .max_sockets(3)
        .stdin(Stdin::bytes(vec![7; 3 * MAX_TRANSFER]))
        .stdout(Stdout::sink());
    let mut host = Host::new(ctx.build());
    host.http.field_limits = FieldLimits {
        fields: 10,
        bytes: 2000,
    };
    let mut store = Store::new(&engine, host);
    let instance = linker(&engine).instantiate(&mut store, &component).unwrap();
    let check = instance
        .get_typed_func::<(), (i32,)>(&mut store, "check")
        .unwrap();
    match check.call_async(&mut store, ()).await {
        Ok((number,)) => Ok(number),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// A call, so often; its result, 0 for `ok`, is counted where it is so.
fn counted(times: u32, call: &str) -> String {
    format!(
        "(loop $again
            {call}
            (local.set $n (i32.add (local.get $n) (i32.eqz (i32.load8_u (i32.const 1024)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const {times}))))
        (local.get $n)"
    )
}

const TO: &str = "(i32.const 1024)";

fn random(function: &str, count: &str) -> String {
    format!("(call {function} (i64.const {count}) {TO}) (i32.load (i32.const 1028))")
}

fn append(bytes: u32) -> String {
    format!(
        "(call $types/fields.append (local.get $it)
            (i32.const 16) (i32.const 1) (i32.const 65536) (i32.const {bytes}) {TO})"
    )
}

/// Appends to one set of fields.
fn fields(times: u32, bytes: u32) -> String {
    // What is in the memory there must be fit for a value.
    let fill = "(memory.fill (i32.const 65536) (i32.const 65) (i32.const 4096))";
    let new = "(local.set $it (call $types/fields))";
    format!("{fill} {new} {}", counted(times, &append(bytes)))
}

fn handles(times: u32) -> String {
    counted(times, "(drop (call $types/fields))")
}

/// A row: what the guest does, and what comes of it.
type Row<'a> = (&'a str, String, Result<i32, &'a str>);

async fn check_all(version: &str, rows: Vec<Row<'_>>) {
    for (name, body, expected) in rows {
        let got = check(version, &body).await;
        let holds = match (&got, expected) {
            (Ok(got), Ok(expected)) => *got == expected,
            (Err(got), Err(part)) => got.contains(part),
            _ => false,
        };
        assert!(holds, "{version}, {name}: {got:?}");
    }
}

#[tokio::test]
async fn of_version_2() {
    let random_2 = "$random/get-random-bytes";
    let insecure = "$insecure/get-insecure-random-bytes";
    let refused = Err("random bytes; at most 1000");
    let most = i32::try_from(MAX_TRANSFER).unwrap();
    let input = "(call $stdin/get-stdin)";
    let output = "(local.set $it (call $stdout/get-stdout))";
    let write = |function: &str, count: &str| {
        format!(
            "{output} (call $streams/output-stream.{function} (local.get $it) {count} {TO}) (i32.const 0)"
        )
    };
    let rows: Vec<Row<'_>> = vec![
        ("random bytes", random(random_2, "1000"), Ok(1000)),
        ("more random bytes", random(random_2, "1001"), refused),
        ("all random bytes", random(random_2, "-1"), refused),
        ("insecure bytes", random(insecure, "1000"), Ok(1000)),
        ("more insecure bytes", random(insecure, "1001"), refused),
        ("fields", fields(10, 1), Ok(10)),
        ("more fields", fields(11, 1), Err("more header fields than")),
        ("bytes of fields", fields(1, 1900), Ok(1)),
        ("more bytes of fields", fields(2, 1900), Err("more header fields than")),
        ("handles", handles(90), Ok(90)),
        ("more handles", handles(110), Err("handle")),
        (
            "sockets",
            counted(5, &format!("(call $tcp-create-socket/create-tcp-socket (i32.const 0) {TO})")),
            Ok(3),
        ),
        (
            "sockets of the other kind",
            counted(5, &format!("(call $udp-create-socket/create-udp-socket (i32.const 1) {TO})")),
            Ok(3),
        ),
        (
            "a read of all there could be",
            format!("(call $streams/input-stream.read {input} (i64.const -1) {TO}) (i32.load (i32.const 1032))"),
            Ok(most),
        ),
        (
            "a skip of all there could be",
            format!("(call $streams/input-stream.skip {input} (i64.const -1) {TO}) (i32.load (i32.const 1032))"),
            Ok(most),
        ),
        ("zeroes without end", write("write-zeroes", "(i64.const -1)"), Err("where `check-write` allowed 0")),
        (
            "zeroes that nobody allowed",
            write("write-zeroes", "(i64.const 9)"),
            Err("where `check-write` allowed 0"),
        ),
        (
            "bytes that nobody allowed",
            write("write", "(i32.const 0) (i32.const 9)"),
            Err("where `check-write` allowed 0"),
        ),
        (
            "a blocking write",
            write("blocking-write-and-flush", "(i32.const 0) (i32.const 4096)"),
            Ok(0),
        ),
        (
            "a larger blocking write",
            write("blocking-write-and-flush", "(i32.const 0) (i32.const 4097)"),
            Err("at most 4096"),
        ),
        (
            "a larger blocking write of zeroes",
            write("blocking-write-zeroes-and-flush", "(i64.const 4097)"),
            Err("at most 4096"),
        ),
        (
            "a splice of all there could be",
            format!("{output} (call $streams/output-stream.splice (local.get $it) {input} (i64.const -1) {TO})
                (i32.le_u (i32.load (i32.const 1032)) (i32.const {most}))"),
            Ok(1),
        ),
        (
            "a poll of nothing",
            format!("(call $poll/poll (i32.const 0) (i32.const 0) {TO}) (i32.const 0)"),
            Err("empty list"),
        ),
        (
            "a poll of more than there is memory for",
            format!("(call $poll/poll (i32.const 0) (i32.const 0x3fffffff) {TO}) (i32.const 0)"),
            Err("bounds"),
        ),
    ];
    check_all("0.2.12", rows).await;
}

#[tokio::test]
async fn of_version_3() {
    // 0.3 says so where it gives fewer bytes than were asked for.
    let random_3 = "$random/get-random-bytes";
    let insecure = "$insecure/get-insecure-random-bytes";
    let rows: Vec<Row<'_>> = vec![
        ("random bytes", random(random_3, "1000"), Ok(1000)),
        ("more random bytes", random(random_3, "1001"), Ok(1000)),
        ("all random bytes", random(random_3, "-1"), Ok(1000)),
        ("insecure bytes", random(insecure, "-1"), Ok(1000)),
        ("fields", fields(10, 1), Ok(10)),
        ("more fields", fields(11, 1), Ok(10)),
        ("bytes of fields", fields(1, 1900), Ok(1)),
        ("more bytes of fields", fields(2, 1900), Ok(1)),
        ("handles", handles(90), Ok(90)),
        ("more handles", handles(110), Err("handle")),
        (
            "sockets",
            counted(
                5,
                &format!("(call $types/tcp-socket.create (i32.const 0) {TO})"),
            ),
            Ok(3),
        ),
        (
            "sockets of the other kind",
            counted(
                5,
                &format!("(call $types/udp-socket.create (i32.const 1) {TO})"),
            ),
            Ok(3),
        ),
    ];
    check_all("0.3.0", rows).await;
}
