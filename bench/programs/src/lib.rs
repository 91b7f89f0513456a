//! Programs made of published crates, one export each: `NAME(n)` does work that grows with `n`
//! and returns a number that depends on all of it, so that engines can be compared in what
//! they compute and in how long it takes. No imports.
//!
//! ```text
//! RUSTFLAGS="-C target-feature=+simd128" cargo build --release --target wasm32-unknown-unknown
//! cd .. && cargo run --release --bin compute programs/target/wasm32-unknown-unknown/release/programs.wasm
//! ```
//!
//! Not here: who runs them (`compute`).

use std::collections::HashMap;
use std::hint::black_box;

/// Numbers, the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Text that looks like text: words of a small vocabulary, some numbers.
fn text(bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "the",
        "handle",
        "of",
        "a",
        "component",
        "memory",
        "is",
        "called",
        "with",
        "stream",
        "and",
        "task",
        "returns",
        "to",
        "caller",
        "instance",
    ];
    let (mut numbers, mut text) = (Numbers(7), String::new());
    while text.len() < bytes {
        let n = numbers.next();
        match n % 23 {
            0 => text += ".\n\n",
            1 => text += &format!("{} ", n % 100_000),
            _ => {
                text += WORDS[(n >> 32) as usize % WORDS.len()];
                text.push(' ');
            }
        }
    }
    text
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |sum, &byte| {
        sum.wrapping_mul(31) ^ u64::from(byte)
    })
}

macro_rules! programs {
    ($($(#[$doc:meta])* fn $name:ident($n:ident) $body:block)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($n: u32) -> u64 $body
    )*};
}

fn fibonacci(n: u32) -> u64 {
    if n < 2 {
        n.into()
    } else {
        fibonacci(n - 1) + fibonacci(n - 2)
    }
}

fn ackermann(m: u32, n: u32) -> u32 {
    match (m, n) {
        (0, n) => n + 1,
        (m, 0) => ackermann(m - 1, 1),
        (m, n) => ackermann(m - 1, ackermann(m, n - 1)),
    }
}

programs! {
    /// Recursion: little but calls.
    fn fib(n) { black_box(fibonacci(black_box(20 + n.ilog2()))) }
    fn ack(n) { (0..n).map(|i| u64::from(ackermann(2, black_box(60 + i % 3)))).sum() }
    fn blake3(n) { sum(::blake3::hash(text(10_000 * n as usize).as_bytes()).as_bytes()) }
    fn sha256(n) {
        use sha2::Digest;
        sum(&sha2::Sha256::digest(text(10_000 * n as usize)))
    }
    fn deflate(n) {
        let packed = miniz_oxide::deflate::compress_to_vec(text(6_000 * n as usize).as_bytes(), 6);
        sum(&packed)
    }
    fn inflate(n) {
        let packed = miniz_oxide::deflate::compress_to_vec(text(5_000).as_bytes(), 1);
        (0..n * 4).map(|_| sum(&miniz_oxide::inflate::decompress_to_vec(&packed).unwrap())).sum()
    }
    fn lz4(n) {
        let packed = lz4_flex::compress_prepend_size(text(30_000 * n as usize).as_bytes());
        sum(&lz4_flex::decompress_size_prepended(&packed).unwrap()) ^ sum(&packed)
    }
    fn regex(n) {
        let regex = ::regex::Regex::new(r"(\w+) (?:is|was) (called|\d{2,})[^.]*\.").unwrap();
        let text = text(10_000 * n as usize);
        regex.captures_iter(&text).map(|found| found[1].len() as u64 + 1).sum()
    }
    fn json(n) {
        let rows: Vec<String> = (0..60 * n)
            .map(|i| format!("{{\"id\":{i},\"name\":\"row {i}\",\"tags\":[\"a\",\"b\\n\",null],\"x\":{}.5e-1}}", i * 7))
            .collect();
        let value: serde_json::Value = serde_json::from_str(&format!("[{}]", rows.join(","))).unwrap();
        sum(serde_json::to_string(&value).unwrap().as_bytes())
    }
    fn markdown(n) {
        let source = text(8_000 * n as usize).replace("the ", "*the* ").replace("task", "[task](url)");
        let mut html = String::new();
        pulldown_cmark::html::push_html(&mut html, pulldown_cmark::Parser::new(&source));
        sum(html.as_bytes())
    }
    /// An interpreter of WebAssembly, in WebAssembly.
    fn interpreter(n) {
        let wasm = wat::parse_str(
            "(module (func $fib (export \"fib\") (param i32) (result i32)
                (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
                (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                    (call $fib (i32.sub (local.get 0) (i32.const 2))))))))",
        ).unwrap();
        let engine = wasmi::Engine::default();
        let module = wasmi::Module::new(&engine, &wasm).unwrap();
        let mut store = wasmi::Store::new(&engine, ());
        let instance = wasmi::Linker::new(&engine).instantiate(&mut store, &module).unwrap().start(&mut store).unwrap();
        let fib = instance.get_typed_func::<u32, u32>(&store, "fib").unwrap();
        fib.call(&mut store, 12 + n.ilog2()).unwrap().into()
    }
    /// The text format's parser.
    fn assemble(n) {
        let funcs: String = (0..20 * n)
            .map(|i| format!("(func $f{i} (param $x i32) (result i32) (i32.add (local.get $x) (i32.const {i})))"))
            .collect();
        sum(&wat::parse_str(format!("(module {funcs})")).unwrap())
    }
    fn bigint(n) {
        let mut product = num_bigint::BigUint::from(1u32);
        for i in 1..=60 * n {
            product *= i;
        }
        sum(product.to_string().as_bytes())
    }
    fn curve(n) {
        use curve25519_dalek::{constants::ED25519_BASEPOINT_POINT, scalar::Scalar};
        let mut point = ED25519_BASEPOINT_POINT;
        for i in 0..n.div_ceil(4) {
            point = point * Scalar::from(u64::MAX / u64::from(i + 3));
        }
        sum(point.compress().as_bytes())
    }
    fn png(n) {
        let size = 24 * n.isqrt().max(1);
        let pixels: Vec<u8> = (0..size * size * 3).map(|i| (i / 7 ^ i * i >> 9) as u8).collect();
        let mut file = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut file, size, size);
        encoder.set_color(::png::ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&pixels).unwrap();
        writer.finish().unwrap();
        let mut reader = ::png::Decoder::new(&file[..]).read_info().unwrap();
        let mut found = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut found).unwrap();
        assert!(found == pixels);
        sum(&file)
    }
    /// Vectors of floats.
    fn drawing(n) {
        use tiny_skia::*;
        let mut picture = Pixmap::new(200, 200).unwrap();
        let mut paint = Paint::default();
        paint.anti_alias = true;
        for i in 0..n {
            paint.set_color_rgba8(50, (i * 40) as u8, 200, 130);
            let mut path = PathBuilder::new();
            path.move_to(10.0 + i as f32, 20.0);
            path.cubic_to(190.0, 20.0 + i as f32, 30.0, 190.0, 180.0, 180.0);
            path.quad_to(100.0, 5.0, 10.0, 100.0);
            path.close();
            picture.fill_path(&path.finish().unwrap(), &paint, FillRule::EvenOdd, Transform::identity(), None);
        }
        sum(picture.data())
    }
    fn fft(n) {
        use rustfft::num_complex::Complex;
        let mut planner = rustfft::FftPlanner::<f32>::new();
        let fft = planner.plan_fft_forward(1 << (7 + n.ilog2()));
        let mut values: Vec<_> = (0..fft.len()).map(|i| Complex::new((i % 17) as f32, (i % 5) as f32)).collect();
        for _ in 0..3 {
            fft.process(&mut values);
            values.iter_mut().for_each(|x| *x = *x / 50.0);
        }
        values.iter().map(|x| (x.re.abs() * 100.0) as u64).sum()
    }
    fn matrix(n) {
        let size = 12 * n.isqrt().max(1) as usize;
        let a: Vec<f64> = (0..size * size).map(|i| (i % 13) as f64).collect();
        let b: Vec<f64> = (0..size * size).map(|i| (i % 7) as f64).collect();
        let mut c = vec![0.0; size * size];
        let s = size as isize;
        // SAFETY: all three are `size` times `size` numbers.
        unsafe {
            matrixmultiply::dgemm(
                size, size, size, 1.0, a.as_ptr(), s, 1, b.as_ptr(), s, 1, 0.0, c.as_mut_ptr(), s, 1,
            );
        }
        c.iter().map(|&x| x as u64).sum()
    }
    /// A recursive descent parser with many small allocations.
    fn rust_parser(n) {
        let source: String = (0..6 * n)
            .map(|i| format!("fn f{i}<T: Copy>(x: &mut [T; {i}], y: u32) -> Option<T> {{ if y > {i} {{ return x.get(y as usize).copied(); }} let z = y * 3 + match y {{ 0 => 1, _ => 2 }}; x.first().copied() }}"))
            .collect();
        syn::parse_file(&source).unwrap().items.len() as u64
    }
    fn shortest_paths(n) {
        let mut graph = petgraph::graph::UnGraph::<(), u32>::new_undirected();
        let nodes: Vec<_> = (0..200 * n).map(|_| graph.add_node(())).collect();
        let mut numbers = Numbers(3);
        for _ in 0..800 * n {
            let mut any = || nodes[numbers.next() as usize % nodes.len()];
            let (a, b) = (any(), any());
            graph.add_edge(a, b, numbers.next() as u32 % 100);
        }
        let found = petgraph::algo::dijkstra(&graph, nodes[0], None, |edge| *edge.weight());
        found.values().map(|&x| u64::from(x)).sum()
    }
    fn hash_map(n) {
        let (mut map, mut numbers) = (HashMap::with_hasher(std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default()), Numbers(5));
        for _ in 0..800 * n {
            *map.entry(numbers.next() % 1000).or_insert(0u64) += 1;
        }
        map.iter().map(|(key, count)| key * count).sum()
    }
    fn sort(n) {
        let mut numbers = Numbers(9);
        let mut words: Vec<String> = (0..150 * n).map(|_| format!("{:x}", numbers.next() % 1_000_000)).collect();
        words.sort();
        words.iter().enumerate().map(|(i, word)| i as u64 * word.len() as u64).sum()
    }
    fn search(n) {
        let text = text(40_000 * n as usize);
        let finder = memchr::memmem::Finder::new("stream and task");
        finder.find_iter(text.as_bytes()).map(|at| at as u64).sum::<u64>()
            + memchr::memchr_iter(b'z', text.as_bytes()).count() as u64
    }
    fn utf8(n) {
        let text = text(2_000).replace('e', "é").repeat(20 * n as usize);
        simdutf8::basic::from_utf8(text.as_bytes()).unwrap().chars().filter(|&c| c == 'é').count() as u64
    }
    fn nbody(n) {
        let mut bodies: Vec<[f64; 7]> = (0..5u32)
            .map(|i| { let x = f64::from(i); [x, x * 0.7 - 1.0, 1.3 - x, 0.1 * x, 0.2, -0.1 * x, 1.0 + x] })
            .collect();
        for _ in 0..300 * n {
            for i in 0..bodies.len() {
                for j in i + 1..bodies.len() {
                    let d: [f64; 3] = std::array::from_fn(|k| bodies[i][k] - bodies[j][k]);
                    let square: f64 = d.iter().map(|x| x * x).sum::<f64>() + 0.01;
                    let pull = 0.001 / (square * square.sqrt());
                    for k in 0..3 {
                        let (a, b) = (bodies[i][6], bodies[j][6]);
                        bodies[i][3 + k] -= d[k] * b * pull;
                        bodies[j][3 + k] += d[k] * a * pull;
                    }
                }
            }
            for body in &mut bodies {
                for k in 0..3 { body[k] += 0.001 * body[3 + k]; }
            }
        }
        (bodies[0][0] * 1e6) as i64 as u64
    }
}
