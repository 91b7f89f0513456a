//! Calls that the host makes one by one, and guests' loops that never wait.

use super::super::engine::component::{ResourceAny, Val};
use super::Running;
use crate::measure::Operation;
use futures::executor::block_on;

pub fn add(args: &[Val], out: &mut [Val]) {
    if let [Val::U32(a), Val::U32(b)] = args {
        out[0] = Val::U32(a.wrapping_add(*b));
    }
}

pub fn typed(mut run: Running) -> Operation {
    let add = run
        .instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut run.store, "add")
        .unwrap();
    Box::new(move |n| {
        for i in 0..n {
            assert_eq!(add.call(&mut run.store, (i, 1)).unwrap(), (i + 1,));
        }
    })
}

pub fn dynamic(mut run: Running) -> Operation {
    let add = run.instance.get_func(&mut run.store, "add").unwrap();
    Box::new(move |n| {
        for i in 0..n {
            let mut out = [Val::U32(0)];
            add.call(&mut run.store, &[Val::U32(i), Val::U32(1)], &mut out)
                .unwrap();
            assert!(matches!(out[0], Val::U32(v) if v == i + 1));
        }
    })
}

pub fn call_async(mut run: Running) -> Operation {
    let add = run
        .instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut run.store, "add")
        .unwrap();
    Box::new(move |n| {
        for i in 0..n {
            assert_eq!(
                block_on(add.call_async(&mut run.store, (i, 1))).unwrap(),
                (i + 1,)
            );
        }
    })
}

pub fn concurrent(mut run: Running) -> Operation {
    let now = run
        .instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut run.store, "now")
        .unwrap();
    Box::new(move |n| {
        block_on(run.store.run_concurrent(async |accessor| {
            for i in 0..n {
                assert_eq!(
                    now.call_concurrent(accessor, (i, 1)).await.unwrap(),
                    (i + 1,)
                );
            }
        }))
        .unwrap();
    })
}

pub fn chain(mut run: Running) -> Operation {
    let make = run
        .instance
        .get_typed_func::<(u32,), (ResourceAny,)>(&mut run.store, "make")
        .unwrap();
    let call = run
        .instance
        .get_typed_func::<(&str, ResourceAny), (u32,)>(&mut run.store, "run")
        .unwrap();
    let (r,) = make.call(&mut run.store, (1000,)).unwrap();
    // A guest function of borrowed types is called with one lifetime.
    let text: &'static str = ("a".repeat(63) + "z").leak();
    Box::new(move |n| {
        for _ in 0..n {
            let sum = call.call(&mut run.store, (text, r)).unwrap();
            assert_eq!(sum, (1000 + 64 + u32::from(b'z'),));
        }
    })
}

pub fn host_data(mut run: Running, string: usize, list: usize) -> Operation {
    let call = run
        .instance
        .get_typed_func::<(&str, &[u32]), (u32,)>(&mut run.store, "run")
        .unwrap();
    let string: &'static str = "a".repeat(string).leak();
    let list: &'static [u32] = vec![1u32; list].leak();
    let sum = (string.len() + list.len()) as u32;
    Box::new(move |n| {
        for _ in 0..n {
            assert_eq!(call.call(&mut run.store, (string, list)).unwrap(), (sum,));
        }
    })
}

/// What `export(n, args..)` is called with.
pub fn guest_args(n: u32, args: &[u32]) -> Vec<Val> {
    std::iter::once(n)
        .chain(args.iter().copied())
        .map(Val::U32)
        .collect()
}

pub fn as_u64(val: &Val) -> u64 {
    match val {
        Val::U32(v) => u64::from(*v),
        Val::U64(v) => *v,
        other => panic!("the workloads return u32 or u64, not {other:?}"),
    }
}

pub fn guest(
    mut run: Running,
    export: &'static str,
    args: &'static [u32],
    result: fn(u64, &[u32]) -> u64,
) -> Operation {
    let func = run.instance.get_func(&mut run.store, export).unwrap();
    Box::new(move |n| {
        let mut out = [Val::U32(0)];
        func.call(&mut run.store, &guest_args(n, args), &mut out)
            .unwrap();
        assert_eq!(as_u64(&out[0]), result(u64::from(n), args));
    })
}
