//! `wasi:cli` 0.3: the environment, and the standard streams as streams of the Component
//! Model; the rest is 0.2's.

use super::bindings::wasi::cli::types::{self, ErrorCode};
use super::bindings::wasi::cli::{environment, stderr, stdin, stdout};
use super::pipe::{self, Ended};
use crate::{HasWasi, WasiCtxView};
use helve::Result;
use helve::component::{Access, FutureReader, StreamReader};

type Written = FutureReader<Ended<ErrorCode>>;

fn code(error: std::io::Error) -> ErrorCode {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => ErrorCode::Pipe,
        std::io::ErrorKind::InvalidData => ErrorCode::IllegalByteSequence,
        _ => ErrorCode::Io,
    }
}

impl types::Host for WasiCtxView<'_> {}

impl environment::Host for WasiCtxView<'_> {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(self.ctx.env.clone())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(self.ctx.args.clone())
    }

    fn get_initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}

impl stdin::Host for WasiCtxView<'_> {}
impl stdin::HostWithStore for HasWasi {
    fn read_via_stream<T: 'static>(
        mut host: Access<'_, T, Self>,
    ) -> Result<(StreamReader<u8>, FutureReader<Ended<ErrorCode>>)> {
        let input = host.get().ctx.stdin.clone();
        pipe::from_input(&mut host, input, code)
    }
}

impl stdout::Host for WasiCtxView<'_> {}
impl stdout::HostWithStore for HasWasi {
    fn write_via_stream<T: 'static>(
        mut host: Access<'_, T, Self>,
        data: StreamReader<u8>,
    ) -> Result<Written> {
        let output = host.get().ctx.stdout.clone();
        pipe::into_output(&mut host, data, output, code)
    }
}

impl stderr::Host for WasiCtxView<'_> {}
impl stderr::HostWithStore for HasWasi {
    fn write_via_stream<T: 'static>(
        mut host: Access<'_, T, Self>,
        data: StreamReader<u8>,
    ) -> Result<Written> {
        let output = host.get().ctx.stderr.clone();
        pipe::into_output(&mut host, data, output, code)
    }
}
