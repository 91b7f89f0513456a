//! The rules: floors, unsafe code, heads, sizes, the map, the dependency list.
//!
//! Each rule is one function from the house to findings; a finding names the file, the
//! line, what is wrong and what to do. Known exceptions stand in the tables at the top,
//! as ratchets: a number there may only go down.

use crate::house::{House, SourceFile};
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit::Visit;

/// The floors: crate folder -> the crates of ours that it may see.
const FLOORS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("fiber", &["helve-base"]),
    ("model", &[]),
    ("abi", &["helve-base"]),
    ("decode", &["helve-base", "helve-abi"]),
    ("compile", &["helve-base", "helve-abi", "helve-model"]),
    ("vm", &["helve-base", "helve-fiber", "helve-model"]),
    ("bindgen", &[]),
    ("macros", &["helve-bindgen"]),
    (
        "helve",
        &[
            "helve-base",
            "helve-abi",
            "helve-model",
            "helve-decode",
            "helve-compile",
            "helve-vm",
            "helve-fiber",
            "helve-macros",
        ],
    ),
    ("wasi", &["helve"]),
    ("wasi-http", &["helve", "helve-wasi"]),
    ("wast", &["helve"]),
    (
        "cli",
        &[
            "helve",
            "helve-wasi",
            "helve-wasi-http",
            "helve-wast",
            "helve-decode",
            "helve-compile",
            "helve-abi",
            "helve-bindgen",
        ],
    ),
    ("xtask", &[]),
];

/// Crates that must have no dependency at all.
const STANDS_ALONE: &[&str] = &["model"];

/// Where `unsafe` may stand: whole crates, and single files of `helve` that enter and
/// leave compiled code or touch guest memory.
const UNSAFE_CRATES: &[&str] = &["fiber", "vm"];
const UNSAFE_PREFIXES: &[&str] = &["crates/helve/src/"];

/// Lines of a file, lines and parameters of a function.
const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;
/// Lines of a function in `tests/`: a table of cases may be longer than a screen.
const TEST_FUNCTION_LINES: usize = 170;
const PARAMETERS: usize = 7;

/// Functions that are one big `match` over opcodes, kinds or options: (file, function, lines).
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[
    (
        "crates/helve/src/component/drive/builtins.rs",
        "builtin",
        74,
    ),
    ("crates/helve/src/component/drive/builtins.rs", "run", 72),
    ("crates/vm/src/instance.rs", "new", 71),
    ("crates/wast/src/script.rs", "directive", 90),
];

pub fn check(house: &House) -> Vec<String> {
    let mut findings = Vec::new();
    findings.extend(floors(house));
    findings.extend(dependency_list(house));
    for file in &house.files {
        findings.extend(head(file));
        findings.extend(unsafe_code(file));
        findings.extend(sizes(file));
    }
    findings.extend(map(house));
    findings
}

fn floors(house: &House) -> Vec<String> {
    let mut findings = Vec::new();
    for (folder, dependencies) in &house.dependencies {
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| name == folder) else {
            findings.push(format!(
                "crates/{folder}: has no floor; give it one in xtask/src/tidy.rs"
            ));
            continue;
        };
        for dependency in dependencies {
            let ours = dependency == "helve" || dependency.starts_with("helve-");
            if ours && !allowed.contains(&dependency.as_str()) {
                findings.push(format!(
                    "crates/{folder}: may not depend on {dependency} (ARCHITECTURE.md, floors)"
                ));
            }
            if STANDS_ALONE.contains(&folder.as_str()) {
                findings.push(format!(
                    "crates/{folder}: stands alone, but depends on {dependency}"
                ));
            }
        }
    }
    findings
}

fn dependency_list(house: &House) -> Vec<String> {
    let all: BTreeSet<&String> = house.dependencies.values().flatten().collect();
    let outside = all
        .into_iter()
        .filter(|d| *d != "helve" && !d.starts_with("helve-"));
    outside
        .filter(|d| !house.rationale.contains(&format!("- `{d}`")))
        .map(|d| format!("RATIONALE.md: dependency `{d}` has no line (\"- `{d}`: why\")"))
        .collect()
}

fn head(file: &SourceFile) -> Option<String> {
    let first = file.text.lines().next().unwrap_or("");
    (!first.starts_with("//! ")).then(|| format!("{}:1: does not open with `//!`", file.path))
}

struct UnsafeFinder {
    line: Option<usize>,
}

impl UnsafeFinder {
    fn found(&mut self, span: proc_macro2::Span) {
        self.line.get_or_insert(span.start().line);
    }
}

impl<'ast> Visit<'ast> for UnsafeFinder {
    fn visit_expr_unsafe(&mut self, node: &'ast syn::ExprUnsafe) {
        self.found(node.unsafe_token.span);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        if let Some(token) = &node.unsafety {
            self.found(token.span);
        }
        syn::visit::visit_signature(self, node);
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        if let Some(token) = &node.unsafety {
            self.found(token.span);
        }
        syn::visit::visit_item_impl(self, node);
    }
}

fn unsafe_code(file: &SourceFile) -> Vec<String> {
    let folder = file.crate_folder();
    let mut findings = Vec::new();
    let may =
        UNSAFE_CRATES.contains(&folder) || UNSAFE_PREFIXES.iter().any(|p| file.path.starts_with(p));
    let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
    if is_root
        && !UNSAFE_CRATES.contains(&folder)
        && folder != "helve"
        && !file.text.contains("#![forbid(unsafe_code)]")
    {
        findings.push(format!("{}: lacks #![forbid(unsafe_code)]", file.path));
    }
    let mut finder = UnsafeFinder { line: None };
    finder.visit_file(&file.syntax);
    let Some(line) = finder.line else {
        return findings;
    };
    if !may && file.path.contains("/src/") {
        findings.push(format!(
            "{}:{line}: `unsafe` may not stand here (DESIGN: fiber, vm, few files of helve)",
            file.path
        ));
    }
    if may && !file.head().contains("# Safety") {
        findings.push(format!(
            "{}:{line}: has `unsafe`, but its `//!` has no `# Safety` section",
            file.path
        ));
    }
    findings
}

struct Functions<'a> {
    path: &'a str,
    findings: Vec<String>,
}

impl Functions<'_> {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let name = signature.ident.to_string();
        let (start, end) = (signature.span().start().line, block.span().end().line);
        let lines = end - start + 1;
        let ratchet = LONG_FUNCTIONS
            .iter()
            .find(|(p, f, _)| *p == self.path && *f == name);
        let usual = if self.path.contains("/tests/") {
            TEST_FUNCTION_LINES
        } else {
            FUNCTION_LINES
        };
        let most = ratchet.map_or(usual, |r| r.2);
        if lines > most {
            self.findings.push(format!(
                "{}:{start}: `{name}` has {lines} lines, at most {most}",
                self.path
            ));
        }
        let parameters = signature.inputs.len();
        if parameters > PARAMETERS && signature.abi.is_none() {
            self.findings.push(format!(
                "{}:{start}: `{name}` has {parameters} parameters, at most {PARAMETERS}",
                self.path
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.function(&node.sig, &node.block);
        syn::visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.function(&node.sig, &node.block);
        syn::visit::visit_impl_item_fn(self, node);
    }
}

fn sizes(file: &SourceFile) -> Vec<String> {
    let mut functions = Functions {
        path: &file.path,
        findings: Vec::new(),
    };
    functions.visit_file(&file.syntax);
    let lines = file.text.lines().count();
    if lines > FILE_LINES {
        functions.findings.push(format!(
            "{}: {lines} lines, at most {FILE_LINES}: which nouns live in it?",
            file.path
        ));
    }
    functions.findings
}

/// The paths in backticks that ARCHITECTURE.md names.
fn named_paths(house: &House) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for word in house.architecture.split('`').skip(1).step_by(2) {
        if word.ends_with(".rs") {
            named.insert(word.to_string());
        }
    }
    named
}

fn map(house: &House) -> Vec<String> {
    let named = named_paths(house);
    let exist: BTreeSet<&str> = house.files.iter().map(|f| f.path.as_str()).collect();
    let mut findings = Vec::new();
    for file in &house.files {
        if !named.contains(&file.path) {
            findings.push(format!(
                "ARCHITECTURE.md: does not name `{}` (`cargo xtask map` drafts the line)",
                file.path
            ));
        }
    }
    for path in &named {
        if !exist.contains(path.as_str()) {
            findings.push(format!(
                "ARCHITECTURE.md: names `{path}`, which does not exist"
            ));
        }
    }
    findings
}

/// A draft of the map's line for each file that it lacks.
pub fn missing_from_map(house: &House) -> Vec<String> {
    let named = named_paths(house);
    let missing = house.files.iter().filter(|f| !named.contains(&f.path));
    missing
        .map(|f| format!("- `{}` — {}", f.path, first_sentence(&f.head())))
        .collect()
}

fn first_sentence(head: &str) -> String {
    let paragraph: Vec<&str> = head.lines().take_while(|l| !l.is_empty()).collect();
    let text = paragraph.join(" ");
    let end = text.find(". ").unwrap_or(text.trim_end_matches('.').len());
    text[..end].to_string()
}
