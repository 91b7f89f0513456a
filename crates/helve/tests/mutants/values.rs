//! Random values of a component type. Not here: random types (`types`).

use super::rng::Rng;
use helve::component::Val;
use helve::component::typed::{InterfaceType, Types};

/// Where values for handles come from.
pub trait Handles {
    fn own(&mut self) -> Option<Val>;
    fn borrow(&mut self) -> Option<Val>;
}

/// A value of `ty`; `None` where there is none to be had (handles, futures).
pub fn random(
    rng: &mut Rng,
    types: &Types,
    ty: InterfaceType,
    handles: &mut dyn Handles,
) -> Option<Val> {
    use InterfaceType as T;
    Some(match ty {
        T::Bool => Val::Bool(rng.chance(1, 2)),
        T::S8 => Val::S8(rng.number() as i8),
        T::U8 => Val::U8(rng.number() as u8),
        T::S16 => Val::S16(rng.number() as i16),
        T::U16 => Val::U16(rng.number() as u16),
        T::S32 => Val::S32(rng.number() as i32),
        T::U32 => Val::U32(rng.number() as u32),
        T::S64 => Val::S64(rng.number() as i64),
        T::U64 => Val::U64(rng.number()),
        T::F32 => Val::Float32(float32(rng)),
        T::F64 => Val::Float64(float64(rng)),
        T::Char => Val::Char(character(rng)),
        T::String => {
            let len = length(rng, 40);
            Val::String((0..len).map(|_| character(rng)).collect())
        }
        T::List(id) => {
            let len = length(rng, 6);
            let items = (0..len).map(|_| random(rng, types, types[id].element, handles));
            Val::List(items.collect::<Option<_>>()?)
        }
        T::FixedList(id) => {
            let len = types[id].length.min(10_000);
            let items = (0..len).map(|_| random(rng, types, types[id].element, handles));
            Val::List(items.collect::<Option<_>>()?)
        }
        T::Map(id) => {
            let len = length(rng, 4);
            let mut pairs = Vec::new();
            for _ in 0..len {
                let key = random(rng, types, types[id].key, handles)?;
                pairs.push((key, random(rng, types, types[id].value, handles)?));
            }
            Val::Map(pairs)
        }
        T::Tuple(id) => {
            let items = types[id]
                .types
                .iter()
                .map(|ty| random(rng, types, *ty, handles));
            Val::Tuple(items.collect::<Option<_>>()?)
        }
        T::Record(id) => {
            let fields = types[id].fields.iter();
            let fields =
                fields.map(|f| Some((f.name.to_string(), random(rng, types, f.ty, handles)?)));
            Val::Record(fields.collect::<Option<_>>()?)
        }
        T::Variant(id) => {
            let case = rng.pick(&types[id].cases);
            Val::Variant(
                case.name.to_string(),
                payload(rng, types, case.ty, handles)?,
            )
        }
        T::Enum(id) => Val::Enum(rng.pick(&types[id].names).to_string()),
        T::Flags(id) => {
            let names = types[id].names.iter().filter(|_| rng.chance(1, 2));
            Val::Flags(names.map(ToString::to_string).collect())
        }
        T::Option(id) => {
            let some = rng.chance(2, 3).then_some(types[id].some);
            Val::Option(payload(rng, types, some, handles)?)
        }
        T::Result(id) => match rng.chance(1, 2) {
            true => Val::Result(Ok(payload(rng, types, types[id].ok, handles)?)),
            false => Val::Result(Err(payload(rng, types, types[id].err, handles)?)),
        },
        T::Own(_) => handles.own()?,
        T::Borrow(_) => handles.borrow()?,
        T::ErrorContext | T::Future(_) | T::Stream(_) => return None,
    })
}

fn payload(
    rng: &mut Rng,
    types: &Types,
    ty: Option<InterfaceType>,
    handles: &mut dyn Handles,
) -> Option<Option<Box<Val>>> {
    match ty {
        None => Some(None),
        Some(ty) => Some(Some(Box::new(random(rng, types, ty, handles)?))),
    }
}

fn length(rng: &mut Rng, most: usize) -> usize {
    match rng.below(20) {
        0 => 0,
        1 => most * 10,
        _ => rng.below(most),
    }
}

fn float32(rng: &mut Rng) -> f32 {
    match rng.below(6) {
        0 => f32::NAN,
        1 => f32::from_bits(0x7f80_0000 | rng.next() as u32),
        2 => -0.0,
        _ => f32::from_bits(rng.next() as u32),
    }
}

fn float64(rng: &mut Rng) -> f64 {
    match rng.below(6) {
        0 => f64::NAN,
        1 => f64::from_bits(0x7ff0_0000_0000_0000 | rng.next()),
        2 => -0.0,
        _ => f64::from_bits(rng.next()),
    }
}

fn character(rng: &mut Rng) -> char {
    let number = match rng.below(6) {
        0 => 0x80 + rng.next() as u32 % 0x80,
        1 => 0xd7f0 + rng.next() as u32 % 0x820,
        2 => rng.next() as u32 % 0x11_0000,
        _ => rng.next() as u32 % 0x80,
    };
    char::from_u32(number).unwrap_or('\u{fffd}')
}
