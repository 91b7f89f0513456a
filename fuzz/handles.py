"""Random handle operations as the executable spec does them, as traces.

    HELVE_DEFINITIONS=/path/to/definitions.py python3 handles.py SEED TRACES STEPS > FILE

Two component instances, one operation at a time, no threads. crates/model/tests/traces.rs
says what the lines mean and replays them (`HELVE_TRACES` names a file). An operation that
traps is undone here: the spec leaves what was half done, a table must not.
"""

import importlib.util
import os
import random
import sys

where = os.environ.get("HELVE_DEFINITIONS")
if not where:
    sys.exit("HELVE_DEFINITIONS must be the path of the spec's definitions.py")
spec = importlib.util.spec_from_file_location("definitions", where)
d = importlib.util.module_from_spec(spec)
sys.modules["definitions"] = d
spec.loader.exec_module(d)
rng = random.Random()
BLOCKED = 0xffffffff
ELEMENTS = [d.U8Type(), d.BoolType(), None]


class Blocked(BaseException):
    pass


class Unfit(Exception):
    """There is nothing that this could be done to."""


class Current:
    """Stands in for the thread and the task that a built-in is called by."""

    def __init__(self):
        self.task, self.inst = self, None
        self.opts = None

    def deliver_pending_cancel(self, _):
        return False


class Destructors:
    """A store whose destructors do nothing but be seen."""

    def __init__(self):
        self.dropped = None

    def lift(self, *_):
        return None

    def lower(self, *_):
        def call(args):
            self.dropped = args[0]
            return []
        return call


def block(self):
    raise Blocked


current = Current()
d.current_thread = lambda: current
d.current_task = lambda: current
d.current_instance = lambda: current.inst
d.Waitable.wait_for_pending_event = block


class Trace:
    def __init__(self):
        self.store = Destructors()
        self.instances = [d.ComponentInstance(self.store) for _ in range(2)]
        impl = d.ComponentInstance(self.store)
        self.types = [None, d.ResourceType(impl), d.ResourceType(impl), d.ResourceType(impl)]
        self.memory = d.MemInst(bytearray(64), "i32")
        self.scopes, self.calls = {}, {}
        self.bad = rng.choice([0.02, 0.1, 0.3])

    # --- what an operation that traps leaves ---

    def snapshot(self):
        saved = []
        for inst in self.instances:
            table = inst.handles
            saved.append((table, dict(array=list(table.array), free=list(table.free))))
            for h in table:
                saved.append((h, dict(vars(h))))
                if isinstance(h, d.CopyEnd):
                    saved.append((h.shared, dict(vars(h.shared))))
                if isinstance(h, d.WaitableSet):
                    saved[-1][1]["elems"] = list(h.elems)
        return saved

    def restore(self, saved):
        for thing, values in saved:
            vars(thing).update(values)

    def step(self):
        words, run = self.choose()
        saved = self.snapshot()
        try:
            result = run()
        except d.Trap:
            self.restore(saved)
            result = "trap"
        except AssertionError:
            self.restore(saved)
            return
        print(" ".join(map(str, words)), "=>", result)

    # --- what there is ---

    def pick(self, t, kind, good=lambda h: True):
        table = self.instances[t].handles.array
        found = [i for i, h in enumerate(table) if isinstance(h, kind) and good(h)]
        if rng.random() >= self.bad:
            if not found:
                raise Unfit
            return rng.choice(found)
        return rng.choice([0, len(table), rng.randrange(len(table) + 1)])

    def at(self, t, i):
        table = self.instances[t].handles.array
        return table[i] if i < len(table) else None

    def end(self, t, good=lambda e: True):
        i = self.pick(t, d.CopyEnd, good)
        h = self.at(t, i)
        shape, way, ty = rng.choice(["stream", "future"]), rng.choice("rw"), rng.randint(1, 3)
        if isinstance(h, d.CopyEnd) and rng.random() >= self.bad:
            shape = "stream" if isinstance(h, d.ReadableStreamEnd | d.WritableStreamEnd) else "future"
            way = "r" if isinstance(h, d.ReadableStreamEnd | d.ReadableFutureEnd) else "w"
            ty = ELEMENTS.index(h.shared.t) + 1
        return shape, way, ty, i

    def resource(self, t, good=lambda h: True):
        i = self.pick(t, d.ResourceHandle, good)
        h = self.at(t, i)
        if isinstance(h, d.ResourceHandle) and rng.random() >= self.bad:
            return self.types.index(h.rt), i
        return rng.randint(1, 2), i

    def shape_type(self, shape, ty):
        return (d.StreamType if shape == "stream" else d.FutureType)(ELEMENTS[ty - 1])

    def cx(self, t, scope=None):
        return d.LiftLowerContext(d.LiftLowerOptions(memory=self.memory), self.instances[t], scope)

    # --- one operation: its words, and what it does ---

    def choose(self):
        while True:
            name = rng.choices(NAMES, WEIGHTS)[0]
            t = rng.randrange(2)
            current.inst = self.instances[t]
            try:
                chosen = getattr(self, "op_" + name)(t)
            except Unfit:
                continue
            if chosen:
                args, run = chosen
                return [name, *args], run

    def op_new(self, t):
        ty, rep = rng.randint(1, 2), rng.randrange(100)
        return [t, ty, rep], lambda: d.canon_resource_new(self.types[ty], rep)[0]

    def op_rep(self, t):
        ty, i = self.resource(t)
        return [t, ty, i], lambda: d.canon_resource_rep(self.types[ty], i)[0]

    def op_drop(self, t):
        ty, i = self.resource(t, lambda h: not h.num_lends)

        def run():
            self.store.dropped = None
            d.canon_resource_drop(self.types[ty], i)
            return "borrow" if self.store.dropped is None else f"own:{self.store.dropped}"
        return [t, ty, i], run

    def op_take(self, t):
        ty, i = self.resource(t, lambda h: h.own and not h.num_lends)
        return [t, ty, i], lambda: d.lift_own(self.cx(t), i, d.OwnType(self.types[ty]))

    def op_scope(self, t):
        n = len(self.scopes) + 1

        def run():
            self.scopes[n] = d.Task(None, None, self.instances[t], None, lambda _: None)
            return "ok"
        return [n], run

    def live_scopes(self):
        return [n for n, scope in self.scopes.items() if scope.state != d.Task.State.RESOLVED]

    def op_borrow(self, t):
        live = self.live_scopes()
        if not live:
            return None
        n, ty, rep = rng.choice(live), rng.randint(1, 2), rng.randrange(100)
        return [t, ty, rep, n], lambda: d.lower_borrow(self.cx(t, self.scopes[n]), rep, d.BorrowType(self.types[ty]))

    def op_endscope(self, t):
        live = self.live_scopes()
        if not live:
            return None
        n = rng.choice(live)

        def run():
            self.scopes[n].return_([])
            return "ok"
        return [n], run

    def op_call(self, t):
        n = len(self.calls) + 1

        def run():
            subtask = d.Subtask()
            subtask.table, subtask.on_progress = t, lambda: None
            self.calls[n] = subtask
            return "ok"
        return [n, t], run

    def open_calls(self, good):
        return [n for n, call in self.calls.items() if not call.resolved() and good(call)]

    def op_lend(self, _):
        live = self.open_calls(lambda call: True)
        if not live:
            return None
        n = rng.choice(live)
        call = self.calls[n]
        ty, i = self.resource(call.table)
        return [n, ty, i], lambda: d.lift_borrow(self.cx(call.table, call), i, d.BorrowType(self.types[ty]))

    def op_sinsert(self, _):
        live = self.open_calls(lambda call: not getattr(call, "index", 0))
        if not live:
            return None
        n = rng.choice(live)
        call = self.calls[n]

        def run():
            call.index = self.instances[call.table].handles.add(call)

            def event():
                if call.resolved():
                    call.deliver_resolve()
                return (d.EventCode.SUBTASK, call.index, call.state)
            call.on_progress = lambda: call.set_pending_event(event)
            return call.index
        return [n], run

    def op_advance(self, _):
        live = self.open_calls(lambda call: True)
        if not live:
            return None
        n = rng.choice(live)
        call = self.calls[n]
        state = 1 if call.state == d.Subtask.State.STARTING else 2

        def run():
            call.on_progress()
            if state == 1:
                call.state = d.Subtask.State.STARTED
            else:
                call.resolve(d.Subtask.State.RETURNED, [])
            return "ok"
        return [n, state], run

    def op_scancel(self, t):
        i = self.pick(t, d.Subtask, lambda s: not s.resolve_delivered() and not s.cancellation_requested)
        resolves = rng.randint(0, 1)
        call = self.at(t, i)

        def on_cancel(_):
            if resolves:
                call.on_progress()
                before = call.state == d.Subtask.State.STARTING
                call.resolve(d.Subtask.State.CANCELLED_BEFORE_STARTED if before else d.Subtask.State.CANCELLED_BEFORE_RETURNED, [])

        def run():
            if isinstance(call, d.Subtask):
                call.on_cancel = on_cancel
            return int(d.canon_subtask_cancel(True, i)[0])
        return [t, i, resolves], run

    def op_sdrop(self, t):
        i = self.pick(t, d.Subtask, lambda s: s.resolve_delivered())

        def run():
            d.canon_subtask_drop(i)
            return "ok"
        return [t, i], run

    def op_stream(self, t, shape="stream"):
        ty = rng.randint(1, 3)

        def run():
            both = (d.canon_stream_new if shape == "stream" else d.canon_future_new)(self.shape_type(shape, ty))[0]
            return f"{both & BLOCKED}:{both >> 32}"
        return [t, ty], run

    def op_future(self, t):
        return self.op_stream(t, "future")

    def op_copy(self, t):
        shape, way, ty, i = self.end(t, lambda e: e.state == d.CopyState.IDLE)
        n = 1 if shape == "future" else rng.choice([0, 1, 1, 2, 3, 5])
        words = [t, shape, way, ty, i, n, int(rng.random() < 0.8)]
        verb = "read" if way == "r" else "write"

        def run():
            opts = d.CanonicalOptions(memory=self.memory, async_=bool(words[-1]))
            args = [self.shape_type(shape, ty), opts, i, 0] + ([n] if shape == "stream" else [])
            try:
                return int(getattr(d, f"canon_{shape}_{verb}")(*args)[0])
            except Blocked:
                # Nobody waits here: as if it had been asynchronous.
                words[-1] = 1
                return BLOCKED
        return words, run

    def op_cancel(self, t):
        shape, way, ty, i = self.end(t, lambda e: e.state == d.CopyState.COPYING)
        verb = "read" if way == "r" else "write"
        cancel = getattr(d, f"canon_{shape}_cancel_{verb}")
        return [t, shape, way, ty, i], lambda: int(cancel(self.shape_type(shape, ty), True, i)[0])

    def op_cdrop(self, t):
        shape, way, ty, i = self.end(t, lambda e: not e.copying())
        drop = getattr(d, f"canon_{shape}_drop_{'readable' if way == 'r' else 'writable'}")

        def run():
            drop(self.shape_type(shape, ty), i)
            return "ok"
        return [t, shape, way, ty, i], run

    def op_transfer(self, t):
        readable = lambda e: isinstance(e, d.ReadableStreamEnd | d.ReadableFutureEnd) and e.state == d.CopyState.IDLE
        shape, _, ty, i = self.end(t, readable)
        to = rng.randrange(2)

        def run():
            lift, lower = (d.lift_stream, d.lower_stream) if shape == "stream" else (d.lift_future, d.lower_future)
            shared = lift(self.cx(t), i, ELEMENTS[ty - 1])
            return lower(self.cx(to), shared, ELEMENTS[ty - 1])
        return [t, to, shape, ty, i], run

    def op_setnew(self, t):
        return [t], lambda: d.canon_waitable_set_new()[0]

    def op_setdrop(self, t):
        i = self.pick(t, d.WaitableSet, lambda s: not s.elems and not s.num_waiting)

        def run():
            d.canon_waitable_set_drop(i)
            return "ok"
        return [t, i], run

    def op_join(self, t):
        w = self.pick(t, d.Waitable)
        s = 0 if rng.random() < 0.2 else self.pick(t, d.WaitableSet)

        def run():
            d.canon_waitable_join(w, s)
            return "ok"
        return [t, w, s], run

    def waiting(self, t, i):
        s = self.instances[t].handles.get(i)
        d.trap_if(not isinstance(s, d.WaitableSet))
        return s

    def op_waiting(self, t):
        i = self.pick(t, d.WaitableSet)

        def run():
            self.waiting(t, i).num_waiting += 1
            return "ok"
        return [t, i], run

    def op_unwaiting(self, t):
        i = self.pick(t, d.WaitableSet, lambda s: s.num_waiting)
        h = self.at(t, i)
        if isinstance(h, d.WaitableSet) and not h.num_waiting:
            return None

        def run():
            self.waiting(t, i).num_waiting -= 1
            return "ok"
        return [t, i], run

    def op_poll(self, t):
        i = self.pick(t, d.WaitableSet, lambda s: s.elems)

        def run():
            [code] = d.canon_waitable_set_poll(False, self.memory, i, 0)
            if code == d.EventCode.NONE:
                return "none"
            word = lambda at: int.from_bytes(self.memory.bytes[at:at + 4], "little")
            return f"{int(code)}:{word(0)}:{word(4)}"
        return [t, i], run


OPS = {
    "new": 8, "rep": 3, "drop": 5, "take": 3, "scope": 1.5, "borrow": 2, "endscope": 1, "call": 3, "lend": 4,
    "sinsert": 2, "advance": 4, "scancel": 3, "sdrop": 3, "stream": 4, "future": 4, "copy": 24, "cancel": 6,
    "cdrop": 6, "transfer": 5, "setnew": 2, "setdrop": 1, "join": 8, "waiting": 0.7, "unwaiting": 0.7, "poll": 10,
}
NAMES, WEIGHTS = list(OPS), list(OPS.values())


def run():
    seed, traces, steps = map(int, sys.argv[1:4])
    for n in range(seed, seed + traces):
        rng.seed(n)
        random.seed(n)
        print(f"# {n}")
        trace = Trace()
        for _ in range(steps):
            trace.step()


run()
