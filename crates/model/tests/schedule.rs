//! Who runs when: in order, by seeds, fairly; host functions; and that nothing is left.

use helve_model::*;

fn callee(instance: InstanceId, abi: Abi) -> Callee {
    Callee {
        instance,
        is_async: true,
        abi,
    }
}

fn thread(effect: Effect) -> ThreadId {
    match effect {
        Effect::Start { thread, .. }
        | Effect::Continue { thread, .. }
        | Effect::Callback { thread, .. } => thread,
        other => panic!("{other:?}"),
    }
}

/// Three tasks that yield for ever: who runs, turn by turn.
fn spin(schedule: Schedule, turns: usize) -> Vec<u64> {
    let mut store = Store::default();
    store.set_schedule(schedule);
    let mut trace = Vec::new();
    for _ in 0..3 {
        let instance = store.add_instance(None).unwrap();
        let (_, effect) = store
            .call_from_host(callee(instance, Abi::Stackful))
            .unwrap();
        thread(effect);
        while store.thread_yield(false).unwrap() != Effect::ToHost {}
    }
    while trace.len() < turns {
        let runs = thread(store.tick().unwrap().unwrap());
        trace.push(store.serial(runs).unwrap());
        while store.thread_yield(false).unwrap() != Effect::ToHost {
            trace.push(store.serial(runs).unwrap());
        }
        store.audit().unwrap();
    }
    trace
}

#[test]
fn in_order_takes_turns() {
    assert_eq!(spin(Schedule::InOrder, 7), [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn a_seed_decides_and_is_fair() {
    let traces: Vec<_> = (0..4)
        .map(|seed| spin(Schedule::Seeded(seed), 3000))
        .collect();
    assert_eq!(traces[1], spin(Schedule::Seeded(1), 3000));
    assert_ne!(traces[0], traces[1]);
    for trace in &traces {
        for serial in 1..=3 {
            let turns: Vec<_> = (0..trace.len()).filter(|at| trace[*at] == serial).collect();
            let longest = turns
                .windows(2)
                .map(|pair| pair[1] - pair[0])
                .max()
                .unwrap();
            assert!(longest < 300, "thread {serial} waited {longest} turns");
        }
    }
}

#[test]
fn a_spinning_callback_leaves_room() {
    // Two tasks of one instance: one yields for ever, the other waits to enter.
    let mut store = Store::default();
    let instance = store.add_instance(None).unwrap();
    let (_, effect) = store
        .call_from_host(callee(instance, Abi::Callback))
        .unwrap();
    let spinning = thread(effect);
    assert_eq!(store.callback_returned(1).unwrap(), Effect::ToHost);
    let (second, effect) = store
        .call_from_host(callee(instance, Abi::Callback))
        .unwrap();
    // Nobody excludes it: it enters at once, and yields too.
    let other = thread(effect);
    assert_eq!(store.callback_returned(1).unwrap(), Effect::ToHost);
    let turns: Vec<_> = (0..4)
        .map(|_| {
            let turn = thread(store.tick().unwrap().unwrap());
            assert_eq!(store.callback_returned(1).unwrap(), Effect::ToHost);
            turn
        })
        .collect();
    assert_eq!(turns, [spinning, other, spinning, other]);
    assert!(!store.is_resolved(second));
    store.audit().unwrap();
}

#[test]
fn host_functions() {
    let mut store = Store::default();
    let instance = store.add_instance(None).unwrap();
    let (task, effect) = store
        .call_from_host(callee(instance, Abi::Stackful))
        .unwrap();
    let guest = thread(effect);
    let value = |effect| match effect {
        Effect::Continue { thread, value } if thread == guest => value,
        other => panic!("{other:?}"),
    };

    // Done at once, called asynchronously: nothing is left of it.
    let call = store.begin_host_call().unwrap();
    store.resolve_host_call(call, false).unwrap();
    assert_eq!(
        value(store.finish_host_call(call, true).unwrap()),
        Value::Number(2)
    );
    assert_eq!(store.arena.counts()[0], 0);

    // Later: STARTED, index 1; then cancelled.
    let call = store.begin_host_call().unwrap();
    assert_eq!(
        value(store.finish_host_call(call, true).unwrap()),
        Value::Number(1 | 1 << 4)
    );
    let Effect::CancelHost { subtask, is_async } = store.subtask_cancel(1, true).unwrap() else {
        panic!()
    };
    assert_eq!(subtask, call);
    let blocked = store.finish_host_cancel(subtask, is_async).unwrap();
    assert_eq!(value(blocked), Value::Number(u32::MAX));
    store.resolve_host_call(call, true).unwrap();
    value(store.waitable_set_new().unwrap());
    value(store.waitable_join(1, 2).unwrap());
    let event = Event {
        code: EventCode::Subtask,
        index: 1,
        payload: 4,
    };
    assert_eq!(
        value(store.waitable_set_poll(2, false).unwrap()),
        Value::Event(event)
    );
    value(store.subtask_drop(1).unwrap());

    // Called synchronously, done later: the guest waits meanwhile.
    let call = store.begin_host_call().unwrap();
    assert_eq!(store.finish_host_call(call, false).unwrap(), Effect::ToHost);
    assert_eq!(store.tick().unwrap(), None);
    store.resolve_host_call(call, false).unwrap();
    assert_eq!(value(store.tick().unwrap().unwrap()), Value::Results(call));

    let returning = store.begin_task_return(true).unwrap();
    value(store.finish_return(returning).unwrap());
    assert!(store.is_resolved(task));
    assert_eq!(store.returned().unwrap(), Effect::ToHost);
    store.audit().unwrap();
}

#[test]
fn calls_leave_nothing() {
    let mut store = Store::default();
    let [caller, other] = [(); 2].map(|()| store.add_instance(None).unwrap());
    let (_, effect) = store.call_from_host(callee(caller, Abi::Stackful)).unwrap();
    let guest = thread(effect);
    let before = (store.counts(), store.arena.counts());
    for round in 0..100_000 {
        for is_async in [false, true] {
            let effect = store.call(callee(other, Abi::Callback), is_async).unwrap();
            assert_ne!(thread(effect), guest);
            let returning = store.begin_task_return(true).unwrap();
            let _ = store.finish_return(returning).unwrap();
            assert_eq!(thread(store.callback_returned(0).unwrap()), guest);
        }
        if round % 10_000 == 0 {
            store.audit().unwrap();
        }
    }
    assert_eq!((store.counts(), store.arena.counts()), before);
}
