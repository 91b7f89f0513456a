//! Writes the machine code of a module's functions, one after the other, to a file, for a
//! disassembler: `dump [--quick] MODULE IMAGE`.

use helve_compile::{Compiler, CompilerOptions, Features, translate};

fn main() -> helve_base::Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.first().is_some_and(|arg| arg == "--quick");
    if quick {
        args.remove(0);
    }
    let [module, image] = &args[..] else {
        helve_base::bail!("usage: dump [--quick] MODULE IMAGE");
    };
    let options = if quick {
        CompilerOptions::quick()
    } else {
        CompilerOptions::default()
    };
    let translation = translate(wat::parse_file(module)?, Features::SUPPORTED)?;
    let compiled = Compiler::new(&options)?.compile_module(&translation)?;
    for (func, range) in compiled.functions.iter() {
        let index = translation.module().func_index(func);
        let name = translation.module().func_display_name(index);
        println!("{:#8x} {:6} {name}", range.start, range.len);
    }
    std::fs::write(image, &compiled.image)?;
    Ok(())
}
