//! `helve serve` as a user sees it, with guests that do no good: they trap, spin, or give
//! no answer. The server outlives them, is told when its file changes, and ends in order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// A proxy whose `handle` does this.
fn guest(body: &str) -> String {
    format!(
        r#"(component
    (import "wasi:http/types@0.2.0" (instance $types
        (export "incoming-request" (type (sub resource)))
        (export "response-outparam" (type (sub resource)))))
    (alias export $types "incoming-request" (type $request))
    (alias export $types "response-outparam" (type $out))
    (core module $m (func (export "handle") (param i32 i32) {body}))
    (core instance $i (instantiate $m))
    (func $handle (param "request" (own $request)) (param "response-out" (own $out))
        (canon lift (core func $i "handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}

struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(file: &Path, options: &[&str]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_helve"))
        .args(["serve", "--addr", "127.0.0.1:0"])
        .args(options)
        .arg(file)
        .stderr(Stdio::piped())
        .spawn()
        .expect("helve starts");
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    let address = first.split("http://").nth(1).unwrap_or_default();
    let address = address.trim().trim_end_matches('/').to_owned();
    assert!(!address.is_empty(), "{first}");
    Running {
        child,
        lines,
        address,
    }
}

impl Running {
    fn get(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sends SIGTERM, and says with what it exited.
    fn end(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

#[test]
fn guests_end_as_they_like_and_the_server_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guest.wat");
    let rows = [
        ("nop", "500 ", "no answer"),
        ("unreachable", "500 ", "failed"),
        ("(loop $l (br $l))", "504 ", "took too long"),
    ];
    for (body, status, text) in rows {
        std::fs::write(&file, guest(body)).unwrap();
        let mut running = serve(&file, &["--timeout", "0.3"]);
        for _ in 0..3 {
            let began = Instant::now();
            let answer = running.get();
            assert!(
                answer.contains(status) && answer.contains(text),
                "{body}: {answer}"
            );
            assert!(began.elapsed() < Duration::from_secs(10), "{body}");
        }
        assert_eq!(running.end(), Some(0), "{body}");
    }
}

#[test]
fn a_changed_file_is_served_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guest.wat");
    std::fs::write(&file, guest("nop")).unwrap();
    let mut running = serve(&file, &[]);
    assert!(running.get().contains("no answer"));
    for (text, said, answer) in [
        ("(component".to_owned(), "is not served", "no answer"),
        (guest("unreachable"), "is served now", "failed"),
    ] {
        std::fs::write(&file, text).unwrap();
        loop {
            let mut line = String::new();
            assert!(running.lines.read_line(&mut line).unwrap() > 0, "it ended");
            if line.contains(said) {
                break;
            }
        }
        assert!(running.get().contains(answer));
    }
    assert_eq!(running.end(), Some(0));
}

#[test]
fn what_answers_no_requests_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    for (text, instead) in [
        ("(component)", "`wasi:http/incoming-handler@0.2`"),
        (
            r#"(component (instance $i) (export "wasi:cli/run@0.3.0" (instance $i)))"#,
            "`helve run` runs it",
        ),
    ] {
        let file = folder.path().join("other.wat");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_helve"))
            .args(["serve", "--addr", "127.0.0.1:0"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("it answers no requests"), "{said}");
        assert!(said.contains(instead), "{said}");
    }
}
