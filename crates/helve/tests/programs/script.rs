//! A recorded run as compiled puppets replay it: what each line is, and how an action is
//! performed (`fuzz/programs.py` writes them, crates/model/tests/vectors.rs explains them).

use super::text::{self, Callee, EVENT, Func, Op, Parts, RETURN};
use helve_model::Told;
use std::collections::{HashMap, VecDeque};

/// A run.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub parents: usize,
    pub lines: Vec<String>,
    pub choices: VecDeque<Told>,
    /// Where each thread is.
    pub instances: HashMap<u32, usize>,
    pub parts: Parts,
    /// For each line, how many actions there were up to it.
    pub counts: Vec<u32>,
}

fn number(word: &str) -> u32 {
    word.parse().unwrap_or_else(|_| panic!("number: {word}"))
}

pub fn func(words: &[&str]) -> Func {
    Func {
        instance: number(words[0]) as usize,
        kind: words[1].chars().next().unwrap_or('s'),
        param: words[2].into(),
        result: words[3].into(),
        post: words[4] == "1",
    }
}

fn told(words: &[&str]) -> Told {
    match words[1] {
        "t" => Told::Thread {
            serial: number(words[2]).into(),
            of: number(words[3]) as usize,
        },
        "e" => Told::Event {
            index: number(words[2]),
            of: number(words[3]) as usize,
        },
        _ => Told::Keep(words[2] == "1"),
    }
}

impl Script {
    pub fn parse(run: &str) -> Script {
        let mut script = Script::default();
        let mut count = 0;
        for line in run.lines().skip(1) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "w" => {
                    script.parents = words.len() - 1;
                    continue;
                }
                "c" => {
                    script.choices.push_back(told(&words));
                    continue;
                }
                "s" | "b" => {
                    let at = words.iter().position(|word| *word == "@");
                    let at = at.expect("an instance: recorded for `guest`?");
                    let instance = number(words[at + 1]) as usize;
                    script.instances.insert(number(words[1]), instance);
                }
                "a" | "i" | "k" | "t" => count += 1,
                _ => {}
            }
            script.lines.push(line.to_owned());
            script.counts.push(count);
        }
        script.parts = Parts::new(script.parents);
        script.collect();
        script
    }

    fn collect(&mut self) {
        let mut parts = Parts::new(self.parents);
        for (at, line) in self.lines.iter().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "i" => drop(parts.exported.insert(func(&words[1..]))),
                "a" => {
                    let instance = self.instances[&number(words[1])];
                    parts.add(instance, &op(&words[2..], self.counts[at]));
                }
                _ => {}
            }
        }
        self.parts = parts;
    }
}

fn builtin(class: u32, text: String, args: [u32; 3]) -> Op {
    Op {
        class,
        callee: Callee::Builtin(text),
        args,
    }
}

fn returning(value: u32) -> Op {
    Op {
        class: RETURN,
        callee: Callee::Return,
        args: [value, 0, 0],
    }
}

/// Where a buffer is: as in `fuzz/programs.py`.
fn buffer_at(count: u32) -> u32 {
    4096 + count % 60 * 64
}

/// What performs an action.
pub fn op(words: &[&str], count: u32) -> Op {
    let n = |at: usize| number(words[at]);
    let at = buffer_at(count);
    let simple = |class, text: &str| builtin(class, text.into(), [0; 3]);
    let one = |class, text: &str| builtin(class, text.into(), [n(1), 0, 0]);
    let flag = |at: usize, name: &'static str| match words[at] {
        "0" => "",
        _ => name,
    };
    match words[0] {
        "call" => call(words, at),
        "ret" | "post" => returning(0),
        "sret" | "cb" => returning(n(1)),
        "treturn" => task_return(words),
        "tcancel" => simple(0, "task.cancel"),
        "setnew" => simple(1, "waitable-set.new"),
        "wait" | "poll" => {
            let text = format!(
                "waitable-set.{}{} (memory (core memory $mem))",
                words[0],
                flag(2, " cancellable")
            );
            builtin(EVENT, text, [n(1), 0, 0])
        }
        "setdrop" => one(3, "waitable-set.drop"),
        "join" => builtin(5, "waitable.join".into(), [n(1), n(2), 0]),
        "scancel" => builtin(
            4,
            format!("subtask.cancel{}", flag(2, " async")),
            [n(1), 0, 0],
        ),
        "sdrop" => one(3, "subtask.drop"),
        "new" | "copy" | "ccancel" | "cdrop" => stream(words, at),
        "copyat" => stream(words, n(7)),
        "binc" => simple(0, "backpressure.inc"),
        "bdec" => simple(0, "backpressure.dec"),
        "ecnew" => simple(
            6,
            "error-context.new string-encoding=utf8 (memory (core memory $mem))",
        ),
        "ecmsg" => builtin(
            5,
            "error-context.debug-message string-encoding=utf8 (memory (core memory $mem)) (realloc (core func $realloc))".into(),
            [n(1), at, 0],
        ),
        "ecdrop" => one(3, "error-context.drop"),
        "tindex" => simple(1, "thread.index"),
        "tnew" => simple(6, "thread.new-indirect $ft (core table $tab)"),
        "tnewx" => builtin(
            6,
            "thread.new-indirect $ft (core table $tab)".into(),
            [n(1), 0, 0],
        ),
        "tlater" => one(3, "thread.resume-later"),
        "tsuspend" => simple(1, &format!("thread.suspend{}", flag(1, " cancellable"))),
        "tyield" => simple(1, &format!("thread.yield{}", flag(1, " cancellable"))),
        "tstr" => one(
            4,
            &format!("thread.suspend-then-resume{}", flag(2, " cancellable")),
        ),
        "tytr" => one(
            4,
            &format!("thread.yield-then-resume{}", flag(2, " cancellable")),
        ),
        "tstp" => one(
            4,
            &format!("thread.suspend-then-promote{}", flag(2, " cancellable")),
        ),
        "tytp" => one(
            4,
            &format!("thread.yield-then-promote{}", flag(2, " cancellable")),
        ),
        "rnew" => builtin(4, format!("resource.new $t{}", words[1]), [n(2), 0, 0]),
        "rrep" => builtin(4, format!("resource.rep $t{}", words[1]), [n(2), 0, 0]),
        "rdrop" => builtin(3, format!("resource.drop $t{}", words[1]), [n(2), 0, 0]),
        other => panic!("action {other}"),
    }
}

fn call(words: &[&str], at: u32) -> Op {
    let func = func(&[words[1], words[2], words[4], words[6], words[7]]);
    let is_async = words[3] == "1";
    let mut args = Vec::new();
    if func.param != "n" {
        args.push(number(words[5]));
    }
    if is_async && func.result != "n" {
        args.push(at);
    }
    let result = is_async || func.result != "n";
    let class = match (args.len(), result) {
        (0, false) => 0,
        (0, true) => 1,
        (1, false) => 3,
        (1, true) => 4,
        _ => 6,
    };
    args.resize(3, 0);
    Op {
        class,
        callee: Callee::Call(func, is_async),
        args: [args[0], args[1], args[2]],
    }
}

fn task_return(words: &[&str]) -> Op {
    if words[2] == "0" {
        return builtin(
            9,
            "task.return (result u64) (memory (core memory $mem))".into(),
            [0; 3],
        );
    }
    match words[3] {
        "n" => builtin(0, "task.return (memory (core memory $mem))".into(), [0; 3]),
        code => {
            let text = format!(
                "task.return (result {}) (memory (core memory $mem))",
                text::type_text(code)
            );
            builtin(3, text, [number(words[1]), 0, 0])
        }
    }
}

fn stream(words: &[&str], at: u32) -> Op {
    let shape = |shape: &str| if shape == "s" { "stream" } else { "future" };
    if words[0] == "new" {
        let text = format!("{}.new ${}{}", shape(words[1]), words[1], words[2]);
        return builtin(2, text, [0; 3]);
    }
    let (name, ty) = (shape(words[1]), format!("${}{}", words[1], words[3]));
    let index = number(words[4]);
    let verb = if words[2] == "r" { "read" } else { "write" };
    match words[0] {
        "copy" | "copyat" => {
            let is_async = if words[6] == "1" { " async" } else { "" };
            let text = format!("{name}.{verb} {ty}{is_async} (memory (core memory $mem))");
            let class = if words[1] == "s" { 7 } else { 6 };
            builtin(class, text, [index, at, number(words[5])])
        }
        "ccancel" => {
            let is_async = if words[5] == "1" { " async" } else { "" };
            builtin(
                4,
                format!("{name}.cancel-{verb} {ty}{is_async}"),
                [index, 0, 0],
            )
        }
        _ => {
            let end = if words[2] == "r" {
                "readable"
            } else {
                "writable"
            };
            builtin(3, format!("{name}.drop-{end} {ty}"), [index, 0, 0])
        }
    }
}
