//! `wasi:cli` 0.3: the standard streams as streams of the Component Model; the rest is
//! 0.2's too.

use super::pipe;
use crate::WasiView;
use crate::both::cli;
use crate::host::stdio::Stdout;
use helve::component::{ComponentType, Lift, Linker, Lower, StreamReader};
use helve::{Result, StoreContextMut};

const VERSION: &str = "0.3.0";

/// `wasi:cli/types.error-code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
pub enum ErrorCode {
    Io,
    IllegalByteSequence,
    Pipe,
}

fn code(error: std::io::Error) -> ErrorCode {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => ErrorCode::Pipe,
        std::io::ErrorKind::InvalidData => ErrorCode::IllegalByteSequence,
        _ => ErrorCode::Io,
    }
}

pub fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    linker.instance("wasi:cli/types@0.3.0")?;
    cli::environment(linker, VERSION, "get-initial-cwd")?;
    cli::exit(linker, VERSION)?;
    cli::terminals(linker, VERSION)?;
    let mut stdin = linker.instance("wasi:cli/stdin@0.3.0")?;
    stdin.func_wrap(
        "read-via-stream",
        |mut cx: StoreContextMut<'_, T>, (): ()| {
            let input = cx.data_mut().wasi().ctx.stdin.clone();
            Ok((pipe::from_input(&mut cx, input, code)?,))
        },
    )?;
    output(linker, "wasi:cli/stdout@0.3.0", |host| host.stdout.clone())?;
    output(linker, "wasi:cli/stderr@0.3.0", |host| host.stderr.clone())
}

fn output<T: WasiView>(
    linker: &mut Linker<T>,
    name: &str,
    which: fn(&crate::WasiCtx) -> Stdout,
) -> Result<()> {
    let mut interface = linker.instance(name)?;
    interface.func_wrap(
        "write-via-stream",
        move |mut cx: StoreContextMut<'_, T>, (data,): (StreamReader<u8>,)| {
            let output = which(cx.data_mut().wasi().ctx);
            Ok((pipe::into_output(&mut cx, data, output, code)?,))
        },
    )
}
