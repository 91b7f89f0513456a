//! Short ways against long ones: random programs, in order, whose callees are known as
//! waiting at once, and whose events are had at once where they are there; beside each such
//! step, a copy of the store takes the long way. The store is audited at each step.

use helve_model::instance::{FlagStorage, Flags, VecFlags};
use helve_model::*;

/// Flags, and which instances calls can't enter at once.
#[derive(Clone, Debug, Default)]
struct Gates(VecFlags, Vec<InstanceId>);

impl FlagStorage for Gates {
    fn get(&self, instance: InstanceId) -> Flags {
        self.0.get(instance)
    }

    fn set(&mut self, instance: InstanceId, flags: Flags) {
        self.0.set(instance, flags);
    }

    fn add(&mut self, instance: InstanceId) {
        self.0.add(instance);
    }

    fn set_gate(&mut self, instance: InstanceId, shut: bool) {
        self.1.retain(|other| *other != instance);
        self.1.extend(shut.then_some(instance));
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

struct Program {
    store: Store<VecTables, Gates>,
    random: Random,
    instances: Vec<InstanceId>,
    /// Waitable sets and subtasks of each instance.
    sets: Vec<Vec<u32>>,
    calls: Vec<Vec<u32>>,
    shortened: usize,
    events: usize,
}

const CALLBACK: Abi = Abi::Callback;

impl Program {
    fn new(seed: u64) -> Program {
        let flags = Instances::with_flags(Gates::default());
        let mut store = Store::with(VecTables::default(), flags);
        let mut instances = vec![store.add_instance(None).unwrap()];
        for parent in [None, Some(instances[0]), None] {
            instances.push(store.add_instance(parent).unwrap());
        }
        Program {
            store,
            random: Random(seed),
            sets: vec![Vec::new(); instances.len()],
            calls: vec![Vec::new(); instances.len()],
            instances,
            shortened: 0,
            events: 0,
        }
    }

    fn number(&self, thread: ThreadId) -> usize {
        let instance = self.store.instance_of(thread).unwrap();
        let mut all = self.instances.iter();
        all.position(|other| *other == instance).unwrap()
    }

    fn one_of(&mut self, items: &[u32]) -> Option<u32> {
        match items.len() as u64 {
            0 => None,
            n => Some(items[self.random.below(n) as usize]),
        }
    }

    /// What a callback lift of `instance` returns.
    fn packed(&mut self, instance: usize) -> u32 {
        let sets = self.sets[instance].clone();
        match (self.random.below(2), self.one_of(&sets)) {
            (1, Some(set)) => 2 | set << 4,
            _ => 1,
        }
    }

    /// The thread that runs calls a function that waits at once.
    fn call(&mut self, from: usize) -> Option<Effect> {
        let to = self.random.below(self.instances.len() as u64) as usize;
        let is_async = self.random.below(3) > 0;
        let callee = Callee {
            instance: self.instances[to],
            is_async: true,
            abi: CALLBACK,
        };
        let caller = self.instances[from];
        let open = self
            .store
            .instances
            .check_enter(callee.instance, Some(caller));
        let gates = self.store.instances.flags();
        if open.is_err() || gates.1.contains(&callee.instance) {
            return None;
        }
        // What generated code does before it calls.
        let entered = self
            .store
            .instances
            .enter_from(callee.instance, Some(caller));
        entered.unwrap();
        let callee = Callee {
            abi: [CALLBACK, CALLBACK, Abi::Stackful][self.random.below(3) as usize],
            ..callee
        };
        let (packed, sets) = (self.packed(to), self.sets[to].clone());
        let first = match (callee.abi, self.one_of(&sets)) {
            (Abi::Stackful, Some(index)) => FirstWait::Set {
                index,
                cancellable: false,
            },
            (Abi::Stackful, None) => FirstWait::Yield { cancellable: true },
            _ => FirstWait::Callback(packed),
        };
        let mut twin = self.store.clone();
        let (_, thread) = twin.adopt(callee, is_async, false).unwrap();
        *twin.context_mut(thread).unwrap() = [7, 9];
        let long = match first {
            FirstWait::Callback(packed) => twin.callback_returned(packed),
            FirstWait::Yield { cancellable } => twin.thread_yield(cancellable),
            FirstWait::Set { index, cancellable } => twin.waitable_set_wait(index, cancellable),
        };
        let long = long.unwrap();
        let short = self.store.adopt_waiting(callee, is_async, (first, [7, 9]));
        let effect = match short.unwrap() {
            Some((task, _, effect)) => {
                self.shortened += 1;
                assert_eq!(effect, long);
                assert_eq!(Some(task), twin.last_task());
                same(&mut self.store, &mut twin);
                effect
            }
            None => {
                self.store = twin;
                long
            }
        };
        if let Effect::Continue {
            value: Value::Number(packed),
            ..
        } = effect
            && is_async
        {
            self.calls[from].push(packed >> 4);
        }
        Some(effect)
    }

    /// The thread that runs waits for a set: an event that is there is had the short way.
    fn wait(&mut self, thread: ThreadId, set: u32) -> Effect {
        let mut twin = self.store.clone();
        let instance = self.store.instance_of(thread).unwrap();
        let mut tables = std::mem::take(&mut self.store.tables);
        let event = tables.with(instance, |table| self.store.event_at_once(table, set));
        self.store.tables = tables;
        match event.unwrap().unwrap() {
            Some(event) => {
                self.events += 1;
                let long = twin.waitable_set_wait(set, false).unwrap();
                let value = Value::Event(event);
                assert_eq!(long, Effect::Continue { thread, value });
                same(&mut self.store, &mut twin);
                long
            }
            None => {
                same(&mut self.store, &mut twin);
                self.store.waitable_set_wait(set, false).unwrap()
            }
        }
    }

    /// Lets the thread that runs do something: what comes next.
    fn act(&mut self, thread: ThreadId, by_callback: bool) -> Effect {
        let at = self.number(thread);
        loop {
            let task = self.store.task_of(thread).unwrap();
            match self.random.below(8) {
                0 if self.sets[at].len() < 3 => {
                    let Ok(Effect::Continue {
                        value: Value::Number(set),
                        ..
                    }) = self.store.waitable_set_new()
                    else {
                        panic!("no set");
                    };
                    self.sets[at].push(set);
                }
                1 => {
                    let (calls, sets) = (self.calls[at].clone(), self.sets[at].clone());
                    if let (Some(call), Some(set)) = (self.one_of(&calls), self.one_of(&sets)) {
                        let _ = self.store.waitable_join(call, set).unwrap();
                    }
                }
                2..4 => {
                    if let Some(effect) = self.call(at)
                        && !matches!(effect, Effect::Continue { thread: next, .. } if next == thread)
                    {
                        return effect;
                    }
                }
                4 if !self.store.is_resolved(task) => {
                    let returning = self.store.begin_task_return(true).unwrap();
                    let _ = self.store.finish_return(returning).unwrap();
                }
                5 if self.store.is_resolved(task) => {
                    return match by_callback {
                        true => self.store.callback_returned(0).unwrap(),
                        false => self.store.returned().unwrap(),
                    };
                }
                6 if by_callback => {
                    let packed = self.packed(at);
                    return self.store.callback_returned(packed).unwrap();
                }
                7 if !by_callback => {
                    let sets = self.sets[at].clone();
                    return match self.one_of(&sets) {
                        Some(set) => self.wait(thread, set),
                        None => self.store.thread_yield(false).unwrap(),
                    };
                }
                _ => {}
            }
            self.store.audit().unwrap();
        }
    }

    /// Performs effects until the host goes on.
    fn perform(&mut self, effect: Effect) {
        let mut effect = effect;
        loop {
            self.store.audit().unwrap();
            let (Effect::Start { thread, .. }
            | Effect::Continue { thread, .. }
            | Effect::Callback { thread, .. }) = effect
            else {
                assert_eq!(effect, Effect::ToHost);
                return;
            };
            if let Effect::Continue {
                value: Value::Event(event),
                ..
            } = effect
                && event.payload > 1
            {
                let at = self.number(thread);
                self.calls[at].retain(|call| *call != event.index);
                let _ = self.store.subtask_drop(event.index).unwrap();
            }
            let task = self.store.task_of(thread).unwrap();
            let by_callback = self.store.abi_of(task) == Some(CALLBACK);
            effect = self.act(thread, by_callback);
        }
    }

    /// How many calls, and events, went the short way.
    fn run(mut self) -> (usize, usize) {
        for _ in 0..120 {
            let next = match self.random.below(4) {
                0 => {
                    let to = self.random.below(self.instances.len() as u64) as usize;
                    let callee = Callee {
                        instance: self.instances[to],
                        is_async: true,
                        abi: [CALLBACK, Abi::Stackful][self.random.below(2) as usize],
                    };
                    Some(self.store.call_from_host(callee).unwrap().1)
                }
                _ => self.store.tick().unwrap(),
            };
            if let Some(effect) = next {
                self.perform(effect);
            }
        }
        (self.shortened, self.events)
    }
}

/// Two stores are alike, but for whose turn is next.
fn same(one: &mut Store<VecTables, Gates>, other: &mut Store<VecTables, Gates>) {
    assert_eq!(one.task_infos(), other.task_infos());
    assert_eq!(one.waiters(), other.waiters());
    assert_eq!(one.counts(), other.counts());
    assert_eq!(format!("{:?}", one.arena), format!("{:?}", other.arena));
    assert_eq!(format!("{:?}", one.tables), format!("{:?}", other.tables));
    let flags = [&*one, &*other].map(|store| {
        let mut gates = store.instances.flags().clone();
        gates.1.sort();
        format!("{gates:?}")
    });
    assert_eq!(flags[0], flags[1]);
    for task in one.task_infos() {
        for thread in task.threads {
            assert_eq!(one.context_mut(thread.id), other.context_mut(thread.id));
        }
    }
}

#[test]
fn short_ways_are_like_long_ones() {
    let (mut calls, mut events) = (0, 0);
    for seed in 0..40 {
        let short = Program::new(seed).run();
        (calls, events) = (calls + short.0, events + short.1);
    }
    assert!(calls > 200 && events > 20, "{calls} {events}");
}
