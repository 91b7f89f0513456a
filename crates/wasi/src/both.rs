//! What is the same in the faces of 0.2 and 0.3 but for names: the options of sockets.
//!
//! ```text
//!   p2: keep_alive_count()      --+
//!                                 +--> host/net/options
//!   p3: get_keep_alive_count()  --+
//! ```
//!
//! Not here: what the versions do in different ways (`p2`, `p3`), and what is done at all
//! (`host`).

/// The methods of a socket's resource that get and set its options: `$ask` and `$tell` are
/// those of [`Options`](crate::host::net::Options).
macro_rules! options {
    ($socket:ty: $($get:ident, $set:ident: $value:ty = $ask:ident, $tell:ident;)*) => {$(
        fn $get(&mut self, socket: Resource<$socket>) -> Result<$value, Fault> {
            Ok(self.table.get(&socket)?.options()?.$ask()?)
        }

        fn $set(&mut self, socket: Resource<$socket>, value: $value) -> Result<(), Fault> {
            Ok(self.table.get(&socket)?.options()?.$tell(value)?)
        }
    )*};
}

pub(crate) use options;
