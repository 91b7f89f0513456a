//! Random values of Rust types, and how they are lent to generated bindings.

/// Random numbers, the same for the same seed.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A random value, extremes more often than their share.
pub trait Any: Sized {
    fn any(rng: &mut Rng) -> Self;
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl Any for $ty {
            fn any(rng: &mut Rng) -> Self {
                match rng.below(4) {
                    0 => <$ty>::MIN,
                    1 => <$ty>::MAX,
                    _ => rng.next() as $ty,
                }
            }
        }
    )*};
}

numbers!(u8, i8, u16, i16, u32, i32, u64, i64);

impl Any for bool {
    fn any(rng: &mut Rng) -> Self {
        rng.below(2) == 1
    }
}

impl Any for f32 {
    fn any(rng: &mut Rng) -> Self {
        f32::from_bits(rng.next() as u32)
    }
}

impl Any for f64 {
    fn any(rng: &mut Rng) -> Self {
        f64::from_bits(rng.next())
    }
}

impl Any for char {
    fn any(rng: &mut Rng) -> Self {
        let extremes = ['\0', 'a', '\u{7f}', '\u{d7ff}', '\u{e000}', '\u{10ffff}'];
        match rng.below(2) {
            0 => extremes[rng.below(extremes.len())],
            _ => char::from_u32(rng.next() as u32 % 0x11_0000).unwrap_or('ß'),
        }
    }
}

impl Any for String {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.below(9)).map(|_| char::any(rng)).collect()
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.below(5)).map(|_| T::any(rng)).collect()
    }
}

impl<T: Any> Any for Option<T> {
    fn any(rng: &mut Rng) -> Self {
        bool::any(rng).then(|| T::any(rng))
    }
}

impl<T: Any, E: Any> Any for Result<T, E> {
    fn any(rng: &mut Rng) -> Self {
        match bool::any(rng) {
            true => Ok(T::any(rng)),
            false => Err(E::any(rng)),
        }
    }
}

impl<T: Any, const N: usize> Any for [T; N] {
    fn any(rng: &mut Rng) -> Self {
        std::array::from_fn(|_| T::any(rng))
    }
}

/// What bindings take where they borrow.
pub trait Lend {
    type Lent<'a>
    where
        Self: 'a;

    fn lend(&self) -> Self::Lent<'_>;
}

/// What bindings take of an `x`.
pub fn lend<T: Lend>(x: &T) -> T::Lent<'_> {
    x.lend()
}

/// Types that bindings take by value, and those that they borrow.
#[macro_export]
macro_rules! lend {
    (copy $($copied:ty),*; borrow $($borrowed:ty),*) => {
        $(impl $crate::support::rng::Lend for $copied {
            type Lent<'a> = $copied;
            fn lend(&self) -> $copied {
                *self
            }
        })*
        $(impl $crate::support::rng::Lend for $borrowed {
            type Lent<'a> = &'a $borrowed;
            fn lend(&self) -> &$borrowed {
                self
            }
        })*
    };
}

lend!(copy bool, u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, char, (); borrow);

impl Lend for String {
    type Lent<'a> = &'a str;
    fn lend(&self) -> &str {
        self
    }
}

impl<T> Lend for Vec<T> {
    type Lent<'a>
        = &'a [T]
    where
        T: 'a;
    fn lend(&self) -> &[T] {
        self
    }
}

impl<T: Lend> Lend for Option<T> {
    type Lent<'a>
        = Option<T::Lent<'a>>
    where
        T: 'a;
    fn lend(&self) -> Option<T::Lent<'_>> {
        self.as_ref().map(T::lend)
    }
}

impl<T: Lend, E: Lend> Lend for Result<T, E> {
    type Lent<'a>
        = Result<T::Lent<'a>, E::Lent<'a>>
    where
        T: 'a,
        E: 'a;
    fn lend(&self) -> Result<T::Lent<'_>, E::Lent<'_>> {
        self.as_ref().map(T::lend).map_err(E::lend)
    }
}

impl<T: Lend, const N: usize> Lend for [T; N] {
    type Lent<'a>
        = [T::Lent<'a>; N]
    where
        T: 'a;
    fn lend(&self) -> [T::Lent<'_>; N] {
        self.each_ref().map(T::lend)
    }
}

macro_rules! tuples {
    ($(($($part:ident),*);)*) => {$(
        impl<$($part: Any),*> Any for ($($part,)*) {
            #[allow(unused_variables, clippy::unused_unit)]
            fn any(rng: &mut Rng) -> Self {
                ($($part::any(rng),)*)
            }
        }

        tuples!(@lend $($part),*);
    )*};
    (@lend) => {};
    (@lend $($part:ident),*) => {
        impl<$($part: Lend),*> Lend for ($($part,)*) {
            type Lent<'a> = ($($part::Lent<'a>,)*) where $($part: 'a),*;
            #[allow(non_snake_case)]
            fn lend(&self) -> Self::Lent<'_> {
                let ($($part,)*) = self;
                ($($part.lend(),)*)
            }
        }
    };
}

tuples! {
    ();
    (A, B);
    (A, B, C);
    (A, B, C, D);
}
