//! Values as JSON.
//!
//! ```text
//! numbers            numbers; floats that are none: "nan", "inf", "-inf"
//! char, string       strings                       list, tuple    arrays
//! record             objects                       map            arrays of [key, value]
//! option             null or the value; an option in an option is {"some": ..}
//! result             {"ok": ..} or {"err": ..}, null where there is no payload
//! variant            "case" or {"case": payload}   enum           "case"
//! flags              arrays of names
//! ```
//!
//! With the type at hand every value comes back as it was, but for the payloads of NaNs.
//! Handles, streams and futures have no JSON. Not here: WAVE (`wave`).

use crate::component::types::Type;
use crate::component::value::Val;
use helve_abi::types::{InterfaceType, Types};
use helve_base::{Error, Result, bail, ensure, error::Context};
use serde_json::{Map, Number, Value};

impl Val {
    /// The value of type `ty` that `text` is in JSON; see [`Val::to_json`]. A record's field
    /// that is an option may be left out.
    ///
    /// ```
    /// use helve::component::{Val, types::Type};
    /// let ty = Type::record([("name", Type::String), ("age", Type::option(&Type::U8)?)])?;
    /// let val = Val::from_json(&ty, r#"{"name": "Ada", "age": 36}"#)?;
    /// assert_eq!(val.to_wave()?, r#"{name: "Ada", age: some(36)}"#);
    /// let error = Val::from_json(&ty, r#"{"name": 1}"#).unwrap_err();
    /// assert!(format!("{error:#}").contains("in field `name`: expected a string, found `1`"));
    /// # Ok::<(), helve::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where it is no JSON, or none of the type's; the error names the place inside the value.
    pub fn from_json(ty: &Type, text: &str) -> Result<Val> {
        let json: Value = serde_json::from_str(text)
            .map_err(|error| Error::msg(format!("this is no JSON: {error}")))?;
        let (types, ty) = ty.interned()?;
        read(&types, ty, &json)
    }

    /// The value in JSON: numbers, strings and arrays as they are; a record is an object, a
    /// tuple an array, a map an array of pairs; an enum's case is a string, a variant's too
    /// or `{"case": payload}`; `{"ok": ..}` and `{"err": ..}`; an option is `null` or the
    /// value; flags are an array of names; floats that are no number are strings.
    ///
    /// # Errors
    ///
    /// Where it holds a resource, a stream or a future.
    pub fn to_json(&self) -> Result<String> {
        Ok(write(self)?.to_string())
    }
}

fn write(val: &Val) -> Result<Value> {
    let all = |vals: &[Val]| {
        vals.iter()
            .map(write)
            .collect::<Result<_>>()
            .map(Value::Array)
    };
    let optional = |val: &Option<Box<Val>>| val.as_deref().map_or(Ok(Value::Null), write);
    let tagged = |tag: &str, value: Value| Value::Object(Map::from_iter([(tag.to_owned(), value)]));
    Ok(match val {
        Val::Bool(x) => (*x).into(),
        Val::S8(x) => (*x).into(),
        Val::U8(x) => (*x).into(),
        Val::S16(x) => (*x).into(),
        Val::U16(x) => (*x).into(),
        Val::S32(x) => (*x).into(),
        Val::U32(x) => (*x).into(),
        Val::S64(x) => (*x).into(),
        Val::U64(x) => (*x).into(),
        Val::Float32(x) => float((*x).into()),
        Val::Float64(x) => float(*x),
        Val::Char(x) => x.to_string().into(),
        Val::String(x) | Val::Enum(x) => x.as_str().into(),
        Val::List(vals) | Val::Tuple(vals) => all(vals)?,
        Val::Record(fields) => {
            let fields = fields
                .iter()
                .map(|(name, val)| Ok((name.clone(), write(val)?)));
            Value::Object(fields.collect::<Result<_>>()?)
        }
        Val::Variant(case, None) => case.as_str().into(),
        Val::Variant(case, Some(val)) => tagged(case, write(val)?),
        Val::Option(Some(val)) if matches!(**val, Val::Option(_)) => tagged("some", write(val)?),
        Val::Option(val) => optional(val)?,
        Val::Result(Ok(val)) => tagged("ok", optional(val)?),
        Val::Result(Err(val)) => tagged("err", optional(val)?),
        Val::Flags(names) => names
            .iter()
            .map(|name| Value::from(name.as_str()))
            .collect(),
        Val::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(k, v)| Ok(Value::Array(vec![write(k)?, write(v)?])));
            Value::Array(pairs.collect::<Result<_>>()?)
        }
        Val::Resource(_) | Val::Stream(_) | Val::Future(_) | Val::ErrorContext(_) => {
            bail!("a {} has no JSON", val.kind())
        }
    })
}

fn float(x: f64) -> Value {
    match Number::from_f64(x) {
        Some(number) => Value::Number(number),
        None if x.is_nan() => "nan".into(),
        None if x > 0.0 => "inf".into(),
        None => "-inf".into(),
    }
}

/// Reads a value of `ty`; as deep as the type is, which is bounded.
fn read(types: &Types, ty: InterfaceType, json: &Value) -> Result<Val> {
    use InterfaceType as T;
    let wrong =
        |expected: &str| Error::msg(format!("expected {expected}, found `{}`", short(json)));
    Ok(match ty {
        T::Bool => Val::Bool(json.as_bool().ok_or_else(|| wrong("true or false"))?),
        T::S8 => Val::S8(integer(json, "an s8")?),
        T::U8 => Val::U8(integer(json, "a u8")?),
        T::S16 => Val::S16(integer(json, "an s16")?),
        T::U16 => Val::U16(integer(json, "a u16")?),
        T::S32 => Val::S32(integer(json, "an s32")?),
        T::U32 => Val::U32(integer(json, "a u32")?),
        T::S64 => Val::S64(integer(json, "an s64")?),
        T::U64 => Val::U64(integer(json, "a u64")?),
        T::F32 => Val::Float32(read_float(json).ok_or_else(|| wrong("a number"))? as f32),
        T::F64 => Val::Float64(read_float(json).ok_or_else(|| wrong("a number"))?),
        T::Char => {
            let mut chars = json.as_str().unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(only), None) => Val::Char(only),
                _ => return Err(wrong("a string of one character")),
            }
        }
        T::String => Val::String(json.as_str().ok_or_else(|| wrong("a string"))?.to_owned()),
        T::List(id) => Val::List(items(types, types[id].element, json)?),
        T::FixedList(id) => {
            let (list, length) = (items(types, types[id].element, json)?, types[id].length);
            ensure!(
                list.len() == length as usize,
                "expected {length} items, found {}",
                list.len()
            );
            Val::List(list)
        }
        T::Map(id) => Val::Map(pairs(types, types[id].key, types[id].value, json)?),
        T::Tuple(id) => {
            let parts = json.as_array().ok_or_else(|| wrong("an array"))?;
            let expected = &types[id].types;
            ensure!(
                parts.len() == expected.len(),
                "expected {} parts, found {}",
                expected.len(),
                parts.len()
            );
            let parts = parts.iter().zip(expected).enumerate();
            let parts = parts.map(|(i, (part, ty))| {
                read(types, *ty, part).with_context(|| format!("in part {i} of a tuple"))
            });
            Val::Tuple(parts.collect::<Result<_>>()?)
        }
        T::Option(id) => Val::Option(option(types, types[id].some, json)?.map(Box::new)),
        T::Enum(_) | T::Flags(_) | T::Record(_) | T::Variant(_) | T::Result(_) => {
            return read_named(types, ty, json);
        }
        T::ErrorContext | T::Own(_) | T::Borrow(_) | T::Future(_) | T::Stream(_) => {
            bail!("`{}` has no JSON", types.display(ty))
        }
    })
}

/// The same for types whose parts have names.
fn read_named(types: &Types, ty: InterfaceType, json: &Value) -> Result<Val> {
    use InterfaceType as T;
    let wrong =
        |expected: &str| Error::msg(format!("expected {expected}, found `{}`", short(json)));
    let known = |names: &[Box<str>], name: &str| {
        ensure!(
            names.iter().any(|known| **known == *name),
            "`{name}` is none of {}",
            types.display(ty)
        );
        Ok(name.to_owned())
    };
    Ok(match ty {
        T::Enum(id) => {
            let name = json.as_str().ok_or_else(|| wrong("a case's name"))?;
            Val::Enum(known(&types[id].names, name)?)
        }
        T::Flags(id) => {
            let names = json.as_array().ok_or_else(|| wrong("an array of names"))?;
            let names = names.iter().map(|name| match name.as_str() {
                Some(name) => known(&types[id].names, name),
                None => Err(wrong("an array of names")),
            });
            Val::Flags(names.collect::<Result<_>>()?)
        }
        T::Record(id) => {
            let object = json.as_object().ok_or_else(|| wrong("an object"))?;
            let fields = &types[id].fields;
            for name in object.keys() {
                let known = fields.iter().any(|field| *field.name == **name);
                ensure!(known, "there is no field `{name}` in {}", types.display(ty));
            }
            let fields = fields.iter().map(|field| {
                let val = match (object.get(&*field.name), field.ty) {
                    (Some(json), ty) => read(types, ty, json),
                    (None, T::Option(_)) => Ok(Val::Option(None)),
                    (None, _) => Err(Error::msg("it is missing")),
                };
                let val = val.with_context(|| format!("in field `{}`", field.name))?;
                Ok((field.name.to_string(), val))
            });
            Val::Record(fields.collect::<Result<_>>()?)
        }
        T::Variant(id) => {
            let (name, payload) = case(json).ok_or_else(|| wrong("a case"))?;
            let case = types[id].cases.iter().find(|case| *case.name == *name);
            let Some(case) = case else {
                bail!("`{name}` is no case of {}", types.display(ty));
            };
            let payload = read_payload(types, case.ty, payload)
                .with_context(|| format!("in case `{name}`"))?;
            Val::Variant(name.to_owned(), payload)
        }
        T::Result(id) => match case(json) {
            Some(("ok", payload)) => Val::Result(Ok(
                read_payload(types, types[id].ok, payload).context("in a result's ok")?
            )),
            Some(("err", payload)) => Val::Result(Err(
                read_payload(types, types[id].err, payload).context("in a result's error")?
            )),
            _ => return Err(wrong("`{\"ok\": ..}` or `{\"err\": ..}`")),
        },
        _ => return Err(wrong("something else")),
    })
}

/// `"case"`, or `{"case": payload}`.
fn case(json: &Value) -> Option<(&str, &Value)> {
    match json {
        Value::String(name) => Some((name, &Value::Null)),
        Value::Object(object) if object.len() == 1 => object
            .iter()
            .next()
            .map(|(name, payload)| (name.as_str(), payload)),
        _ => None,
    }
}

fn read_payload(
    types: &Types,
    ty: Option<InterfaceType>,
    json: &Value,
) -> Result<Option<Box<Val>>> {
    match ty {
        Some(ty) => Ok(Some(Box::new(read(types, ty, json)?))),
        None if json.is_null() => Ok(None),
        None => bail!("expected no payload, found `{}`", short(json)),
    }
}

fn option(types: &Types, some: InterfaceType, json: &Value) -> Result<Option<Val>> {
    let inner = match (some, json) {
        (_, Value::Null) => return Ok(None),
        (InterfaceType::Option(_), Value::Object(object)) if object.len() == 1 => {
            object.get("some").unwrap_or(json)
        }
        _ => json,
    };
    read(types, some, inner).context("in an option").map(Some)
}

fn items(types: &Types, element: InterfaceType, json: &Value) -> Result<Vec<Val>> {
    let Some(items) = json.as_array() else {
        bail!("expected an array, found `{}`", short(json));
    };
    let items = items.iter().enumerate().map(|(i, item)| {
        read(types, element, item).with_context(|| format!("in item {i} of a list"))
    });
    items.collect()
}

fn pairs(
    types: &Types,
    key: InterfaceType,
    value: InterfaceType,
    json: &Value,
) -> Result<Vec<(Val, Val)>> {
    let Some(pairs) = json.as_array() else {
        bail!("expected an array of pairs, found `{}`", short(json));
    };
    let pairs = pairs.iter().enumerate().map(|(i, pair)| {
        let read_pair = || -> Result<(Val, Val)> {
            match pair.as_array().map(Vec::as_slice) {
                Some([k, v]) => Ok((read(types, key, k)?, read(types, value, v)?)),
                _ => bail!("expected a key and a value, found `{}`", short(pair)),
            }
        };
        read_pair().with_context(|| format!("in entry {i} of a map"))
    });
    pairs.collect()
}

fn integer<T: TryFrom<i128>>(json: &Value, expected: &str) -> Result<T> {
    let number = json
        .as_i64()
        .map(i128::from)
        .or_else(|| json.as_u64().map(i128::from));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Error::msg(format!("expected {expected}, found `{}`", short(json))))
}

fn read_float(json: &Value) -> Option<f64> {
    match json {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "nan" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a value, not too much of it.
fn short(json: &Value) -> String {
    const MOST: usize = 60;
    let text = json.to_string();
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text,
    }
}
