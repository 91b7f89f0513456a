"""Random programs as the executable spec runs them, as vectors.

    HELVE_DEFINITIONS=/path/to/definitions.py python3 programs.py model|guest SEED RUNS STEPS > FILE

The spec's file is imported from wherever it was fetched to; what is written is data of ours:
crates/model/tests/vectors.rs says what stands in it and replays it on the model, `helve-fuzz
programs FILE` replays what `guest` wrote through compiled components (crates/helve/tests/programs).

    spec                                     here
    its threads             ->               greenlets
    random.choice, shuffle  ->               Oracle: chooses and writes down (`c` lines)
    core functions          ->               Guest.core: asks the Driver what to do next

With HELVE_PLOT=1 a run begins as one of `plots.py` says. A run ends with its first trap or after STEPS actions. HELVE_AIM (0 to 1) is how often what is
done is what was done least often in the state that things are in. `guest` keeps to what one component
file can express: one root with children, calls and types that can be imported, no resources
from the host. Which traps and which (operation x state) were met is counted; the table goes
to stderr at the end.
"""

import collections
import importlib.util
import operator
import os
import random
import struct
import sys
import greenlet
from plots import Plot

where = os.environ.get("HELVE_DEFINITIONS")
if not where:
    sys.exit("HELVE_DEFINITIONS must be the path of the spec's definitions.py")
spec = importlib.util.spec_from_file_location("definitions", where)
d = importlib.util.module_from_spec(spec)
sys.modules["definitions"] = d
spec.loader.exec_module(d)

rng = random.Random()
traps = collections.Counter()
states = collections.Counter()
main = greenlet.getcurrent()
GUEST = False
MEMORY = 8192
# What a puppet's realloc answers: messages are empty.
REALLOC = 3072


def shape_type(shape, ty):
    element = [d.U16Type(), d.BoolType(), None][ty - 1]
    return d.StreamType(element) if shape == "s" else d.FutureType(element)


def buffer_at(count):
    """Where the buffer of a program's nth action is; crates/helve/tests/programs does the same."""
    return 4096 + count % 60 * 64


# --- the spec's threads on greenlets ---

class Handler:
    pass


def cont_new(f):
    cont = d.Continuation()

    def base(arguments):
        greenlet.getcurrent().handler, result = arguments
        switch_to = f(result)
        handler = greenlet.getcurrent().handler
        handler.cont, handler.block_arg = None, switch_to

    cont.greenlet = greenlet.greenlet(base)
    Driver.current.greenlets.append(cont.greenlet)
    return cont


def resume(cont, result, thread):
    # Only a blocked thread can be told of a cancellation: the spec's file leaves the flag.
    thread.cancellable = False
    handler = Handler()
    handler.current_thread = thread
    cont.greenlet.parent = greenlet.getcurrent()
    if cont.greenlet:
        cont.greenlet.handler = handler
        cont.greenlet.switch(result)
    else:
        cont.greenlet.switch((handler, result))
    return handler.cont, handler.block_arg


def block(switch_to):
    me = greenlet.getcurrent()
    cont = d.Continuation()
    cont.greenlet = me
    me.handler.cont, me.handler.block_arg = cont, switch_to
    return me.parent.switch()


def current_thread():
    return greenlet.getcurrent().handler.current_thread


class Oracle:
    """What the spec's file takes for the module `random`."""

    def choice(self, threads):
        threads = sorted(threads, key=lambda thread: thread.serial)
        chosen = rng.choice(threads)
        Driver.current.log(f"c t {chosen.serial} {len(threads)}")
        return chosen

    def shuffle(self, waitables):
        ready = [w for w in waitables if w.has_pending_event()]
        chosen = rng.choice(ready)
        waitables.remove(chosen)
        waitables.insert(0, chosen)
        index = d.current_instance().handles.array.index(chosen)
        Driver.current.log(f"c e {index} {len(ready)}")

    def randint(self, low, high):
        if sys._getframe(1).f_code.co_name != "wait_until":
            return 1
        keep = rng.randint(low, high)
        Driver.current.log(f"c k {keep}")
        return keep


def trap_if(condition):
    if condition:
        frame = sys._getframe(1)
        traps[f"{frame.f_code.co_name}:{frame.f_lineno}"] += 1
        raise d.Trap()


def install():
    d.DETERMINISTIC_PROFILE = False
    d.cont_new, d.resume, d.block, d.current_thread = cont_new, resume, block, current_thread
    d.random, d.trap_if = Oracle(), trap_if
    thread_init = d.Thread.__init__

    def init(self, task, func):
        self.serial = Driver.current.next_serial()
        thread_init(self, task, func)

    def drop(self):
        # The reader's end goes, and the writer waits: it learns that.
        if not self.dropped:
            self.dropped = True
            if self.pending_buffer:
                self.reset_and_notify_pending(d.CopyResult.DROPPED)

    d.SharedFutureImpl.drop = drop
    # A call of its own in the spec's file, which would have a thread.
    d.LiftLowerContext.reallocate = lambda *_: REALLOC
    d.Thread.__init__ = init


# --- programs ---

KINDS = "sawc"


class Func:
    """A lifted function as a call names it."""

    def __init__(self, driver, instance, kind, param, result, post):
        self.driver, self.instance, self.kind = driver, instance, kind
        self.param, self.result, self.post = param, result, post
        inst = driver.instances[instance]
        self.ft = d.FuncType(self.types(param), self.types(result), kind != "s")
        self.opts = d.CanonicalOptions(memory=driver.memories[instance], async_=kind in "wc")
        if kind == "c":
            self.opts.callback = self.callback
        if post:
            self.opts.post_return = self.post_return
        self.lifted = driver.store.lift(self.core, self.ft, self.opts, inst)

    def types(self, code):
        ty = self.driver.type(code)
        return [] if ty is None else [ty]

    def core(self, args):
        log, thread = self.driver.log, d.current_thread()
        thread.kind = self.kind
        thread.func = thread.task.func = self
        thread.mine = [(self.param, args[0])] if args else []
        log(f"s {thread.serial} t {args[0] if args else 0}" + self.driver.seen(thread))
        return self.driver.guest(thread)

    def callback(self, event):
        thread = d.current_thread()
        code, first, second = event
        self.driver.log(f"b {thread.serial} {int(code)} {first} {int(second)}" + self.driver.seen(thread))
        return self.driver.guest(thread)

    def post_return(self, _):
        thread = d.current_thread()
        self.driver.log(f"q {thread.serial}")
        thread.posting = True
        self.driver.guest(thread)
        return []


class Short(d.Table):
    """A table with a lower limit than the spec's."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def add(self, e):
        most, d.Table.MAX_LENGTH = d.Table.MAX_LENGTH, self.most
        try:
            return super().add(e)
        finally:
            d.Table.MAX_LENGTH = most


class Driver:
    current = None

    def __init__(self, steps):
        Driver.current = self
        self.lines, self.greenlets, self.steps, self.serials = [], [], steps, 0
        self.store = d.Store()
        self.parents = self.topology()
        self.instances, self.memories = [], []
        for parent in self.parents:
            inst = d.ComponentInstance(self.store, None if parent is None else self.instances[parent])
            self.instances.append(inst)
            n = len(self.memories)
            self.memories.append(d.MemInst(bytearray((i * 7 + n * 13) & 255 for i in range(MEMORY)), "i32"))
        self.resources = [d.ResourceType(inst) for inst in self.instances]
        for n, resource in enumerate(self.resources):
            resource.dtor = self.destructor(n)
        self.funcs, self.host_calls, self.host_ends, self.count = {}, [], [], 0
        self.functions = d.Table()
        self.functions.add(None)
        self.mood = rng.choice([0.0, 0.005, 0.02, 0.08])
        # How often something is done to what was least often met in the state it is in.
        aims = [0.0, 0.0, 0.01, 0.03] if GUEST else [0.0, 0.02, 0.05, 0.1, 0.2]
        self.aim = rng.choice(aims)
        # Aimed at from early or late on: states take a while to come about, and a run that
        # meets a goal ends with it.
        self.calm, self.goal_rate, self.most = 0, self.aim * 2, 300
        if os.environ.get("HELVE_AIM"):
            self.aim, self.calm = float(os.environ["HELVE_AIM"]), rng.choice([0, 30, 60])
            self.mood = 0.0
            self.goal_rate, self.most = self.aim / 10, 60
        self.plot = Plot(self, rng, GUEST) if os.environ.get("HELVE_PLOT") else None
        self.log("w " + " ".join("-" if p is None else str(p) for p in self.parents))
        if not GUEST and rng.random() < 0.05:
            most = rng.randint(2, 12)
            self.log(f"l {most}")
            for inst in self.instances:
                inst.handles = Short(most)

    def topology(self):
        n = rng.choice([1, 2, 2, 3, 3, 4])
        if GUEST:
            return [None] + [0] * (n - 1)
        return [None if i == 0 or rng.random() < 0.2 else rng.randrange(i) for i in range(n)]

    def next_serial(self):
        self.serials += 1
        return self.serials

    def log(self, line):
        self.lines.append(line)

    def destructor(self, n):
        def dtor(args):
            func = self.func(n, "s", "r", "n", False)
            return func.core(args)
        return dtor

    def type(self, code):
        kind, ty = code[0], int(code[1:] or 0)
        match kind:
            case "n": return None
            case "r": return d.U32Type()
            case "o": return d.OwnType(self.resources[ty - 1])
            case "b": return d.BorrowType(self.resources[ty - 1])
            case "e": return d.ErrorContextType()
            case _: return shape_type(kind, ty)

    def func(self, *key):
        if key not in self.funcs:
            self.funcs[key] = Func(self, *key)
        return self.funcs[key]

    # --- what a program may do ---

    def resource_types(self, n):
        """Types that instance n can name."""
        if not GUEST or n == 0:
            return range(1, len(self.instances) + 1)
        return range(1, n + 2)

    def callees(self, n):
        return range(len(self.instances)) if not GUEST or n == 0 else range(n + 1)

    def code(self, n, kinds, limit=None):
        kind = rng.choice(kinds)
        if kind in "ob":
            return f"{kind}{rng.choice([t for t in self.resource_types(n) if limit is None or t <= limit] or [1])}"
        return kind if kind in "ne" else f"{kind}{rng.choice([1, 1, 2, 3])}"

    def run(self):
        while self.count < self.steps:
            self.count += 1
            live = [i for i, call in enumerate(self.host_calls) if call.cancellable()]
            what = rng.choices("tik", [12, 4, 2 if live else 0])[0]
            if what == "t":
                self.log("t")
                ready = any(thread.ready() for thread in self.store.waiting)
                self.store.tick()
                self.log("h" if ready else "e")
                if not ready and not any(c.open() for c in self.host_calls):
                    self.count += 1
                    self.host_call()
            elif what == "i":
                self.host_call()
            else:
                n = rng.choice(live)
                self.log(f"k {n}")
                self.host_calls[n].cancel()
                self.log("h")

    def host_call(self):
        n = rng.randrange(len(self.instances))
        kind = rng.choice("sawwccc")
        param = self.code(n, "n" if GUEST else "nnnobsf")
        result = self.code(n, "nno" if GUEST else "nnnosf")
        if GUEST and result[0] == "o":
            result = f"o{n + 1}"
        post = kind in "sa" and rng.random() < 0.5
        self.log(f"i {n} {kind} {param} {result} {int(post)}")
        call = HostCall(self, self.func(n, kind, param, result, post))
        call.begin()
        self.host_calls.append(call)
        self.log("h")

    # --- what a guest's thread does ---

    def guest(self, thread):
        """Runs a thread's function until it returns."""
        while True:
            self.count += 1
            words = self.choose(thread)
            op, *args = words
            self.log("a " + " ".join([str(thread.serial), *map(str, words)]))
            if op in ("ret", "post"):
                return []
            if op == "sret":
                return args if thread.func.result != "n" else []
            if op == "cb":
                return args
            value = thread.last = getattr(self, "op_" + op)(thread, *args)
            if getattr(thread, "posting", False):
                # A post-return function can't call the host: its results go to memory.
                at = 596 + 4 * thread.posting_ops
                self.memory(thread)[at:at + 4] = int(0 if value == "-" else value).to_bytes(4, "little")
                self.log(f"r {thread.serial} {value}")
            else:
                self.log(f"r {thread.serial} {value}" + self.seen(thread))

    def memory(self, thread):
        return self.memories[self.instances.index(thread.task.inst)].bytes

    def seen(self, thread):
        """What a thread of a compiled program tells besides: its instance, and a sum of its memory."""
        if not GUEST:
            return ""
        words = struct.unpack(f"<{MEMORY // 8}Q", self.memory(thread))
        total = sum(map(operator.mul, words, range(1, len(words) + 1))) & (2**64 - 1)
        return f" @ {self.instances.index(thread.task.inst)} {total:016x}"

    def choose(self, thread):
        inst = thread.task.inst
        n = self.instances.index(inst)
        kind = thread.kind
        if getattr(thread, "posting", False):
            thread.posting_ops = getattr(thread, "posting_ops", 0) + 1
            if thread.posting_ops > rng.choice([1, 1, 1, 2, 3]):
                return ["post"]
            if rng.random() < 0.6:
                return self.choose_in(thread, inst, n, ["rrep", "binc", "bdec"])
            return rng.choice(self.forbidden(n))
        planned = self.plot and self.plot.next(thread, inst, n)
        if planned:
            return planned
        thread.done = getattr(thread, "done", 0) + 1
        if self.count > self.steps or thread.done > rng.choice([2, 4, 8, 16, 32]):
            return self.ending(thread, inst, n, kind)
        if self.count > self.calm and rng.random() < self.goal_rate:
            goal = self.goal(thread, inst, n)
            if goal:
                return goal
        if self.count > self.calm and rng.random() < self.aim:
            return self.aimed(thread, inst, n, kind)
        if kind == "c" and rng.random() < 0.15:
            return self.callback_code(thread, inst)
        return self.choose_in(thread, inst, n, None)

    def ending(self, thread, inst, n, kind):
        """Towards the end of a thread: the task's result, then the return."""
        if rng.random() < self.mood:
            return ["cb", rng.choice([3, 15, 0])] if kind == "c" else ["ret"] if kind in "wf" else ["sret", 99]
        if kind in "sa":
            return self.sync_end(thread, inst, n)
        if thread.task.state != d.Task.State.RESOLVED:
            borrowed = [i for i, h in self.handles(inst, d.ResourceHandle) if not h.own and h.borrow_scope is thread.task and not h.num_lends]
            if borrowed and thread.task.opts.async_:
                i = borrowed[0]
                return ["rdrop", self.resource_number(inst.handles.array[i]), i]
            if thread.task.state == d.Task.State.CANCEL_DELIVERED and rng.random() < 0.6:
                return ["tcancel"]
            if thread.task.num_borrows == 0 or rng.random() < 0.2:
                if thread.task.opts.async_:
                    return self.choose_in(thread, inst, n, ["treturn"])
        return ["cb", 0] if kind == "c" else ["ret"]

    def sync_end(self, thread, inst, n):
        result = thread.func.result
        borrowed = [i for i, h in self.handles(inst, d.ResourceHandle) if not h.own and h.borrow_scope is thread.task]
        free = [i for i in borrowed if not inst.handles.array[i].num_lends]
        if free and rng.random() < 0.95:
            return ["rdrop", self.resource_number(inst.handles.array[free[0]]), free[0]]
        index = self.index_of(inst, result)
        if index is None and result != "n" and rng.random() < 0.97:
            return self.make(result, n)
        return ["sret", index if index is not None else 0]

    def make(self, code, n):
        """A way to get an owned resource or a readable end."""
        if code == "e":
            return ["ecnew"]
        kind, ty = code[0], int(code[1:])
        if kind == "o":
            if GUEST and ty != n + 1:
                return ["sret", 0]
            return ["rnew", ty, rng.randrange(100)]
        return ["new", kind, ty]

    def callback_code(self, thread, inst):
        sets = [i for i, _ in self.handles(inst, d.WaitableSet)]
        if sets and rng.random() < 0.6:
            return ["cb", 2 | rng.choice(sets) << 4]
        if rng.random() < self.mood:
            return ["cb", rng.choice([2 | 5000 << 4, 2 | 1 << 4, 3, 7])]
        return ["cb", 1]

    def choose_in(self, thread, inst, n, ops):
        """One of these operations, or any, with arguments that mostly make sense."""
        for _ in range(20):
            op = rng.choice(ops) if ops else rng.choices(NAMES, WEIGHTS)[0]
            if not thread.task.ft.async_ and op in BLOCKING and rng.random() < 0.97:
                continue
            try:
                return [op, *getattr(self, "pick_" + op, lambda *_: [])(thread, inst, n)]
            except Driver.Other as other:
                return other.args[0]
            except Driver.Unfit:
                pass
        return ["tindex"]

    def forbidden(self, n):
        """What a post-return function must not do."""
        ops = [["setnew"], ["rnew", n + 1, 5], ["tindex"], ["tcancel"], ["scancel", 1, 1], ["ccancel", "s", "r", 1, 1, 1],
               ["tyield", 0], ["tsuspend", 0], ["tstr", 1, 0], ["tytr", 1, 0], ["tstp", 1, 0], ["tytp", 1, 0]]
        if not GUEST:
            ops += [["rdrop", n + 1, 1], ["wait", 1, 0], ["poll", 1, 0], ["setdrop", 1], ["join", 1, 0], ["sdrop", 1],
                    ["new", "s", 1], ["new", "f", 1], ["copy", "s", "r", 1, 1, 1, 1], ["copy", "f", "r", 1, 1, 1, 1],
                    ["cdrop", "s", "r", 1, 1], ["tnew"], ["tlater", 1], ["ecnew"], ["ecdrop", 1], ["ecmsg", 1],
                    ["call", n, "a", 1, "n", 0, "n", 0], ["treturn", 0, 1, "n"]]
        return ops

    def goal(self, thread, inst, n):
        """What traps for a reason that was seldom met."""
        found = []
        task = thread.task
        may_call = [m for m in self.callees(n) if self.instances[m].may_enter_from(inst)]
        callee = max(may_call, default=None)
        limit = self.newest(n, callee) if callee is not None else 0

        def call(name, code, i):
            if callee is not None and int(code[1:]) <= limit:
                found.append((name, ["call", callee, rng.choice("awc"), int(rng.random() < 0.7), code, i, "n", 0]))

        for i, h in enumerate(inst.handles.array):
            if isinstance(h, d.CopyEnd):
                way = self.right_end(i, h)
                name = type(h).__name__
                other = [*way[:2], way[2] % 3 + 1, i]
                if GUEST and h.state == d.CopyState.IDLE:
                    if way[0] == "s":
                        found.append((f"{name}, too many", ["copyat", *way, 1 << 28, 1, 4096]))
                    if way[2] == 1:
                        found.append((f"{name}, unaligned", ["copyat", *way, 1, 1, 4097]))
                    if way[2] != 3:
                        found.append((f"{name}, outside", ["copyat", *way, 1, 1, 65536]))
                if h.state == d.CopyState.IDLE and h.in_waitable_set():
                    found.append((f"{name} in a set, sync copy", ["copy", *way, 1, 0]))
                    if way[1] == "r":
                        call(f"{name} in a set, given", f"{way[0]}{way[2]}", i)
                if h.state == d.CopyState.COPYING and h.in_waitable_set() and not h.has_sync_waiter:
                    found.append((f"{name} in a set, sync cancel", ["ccancel", *way, 0]))
                if h.state == d.CopyState.COPYING:
                    found.append((f"{name} of another type, cancel", ["ccancel", *other, 1]))
                if way[1] == "r":
                    call(f"{name} of another type, given", f"{way[0]}{other[2]}", i)
                found.append((f"{name} of another type, drop", ["cdrop", *other]))
                found.append((f"{name} of another type, copy", ["copy", *other, 1, 1]))
            if isinstance(h, d.Subtask):
                known = h.resolved() or not h.has_pending_event()
                if h.in_waitable_set() and not h.resolve_delivered() and not h.cancellation_requested and known:
                    found.append(("subtask in a set, sync cancel", ["scancel", i, 0]))
                if h.cancellation_requested and not h.resolve_delivered():
                    found.append(("subtask, cancel twice", ["scancel", i, 1]))
                if h.resolve_delivered():
                    found.append(("subtask, cancel late", ["scancel", i, 1]))
            if isinstance(h, d.Waitable) and h.has_sync_waiter:
                found.append(("waited for, join", ["join", i, 0]))
            if isinstance(h, d.WaitableSet) and h.elems and not h.num_waiting:
                found.append(("set with members, drop", ["setdrop", i]))
            if isinstance(h, d.WaitableSet) and h.num_waiting and not h.elems:
                found.append(("set waited for, drop", ["setdrop", i]))
            if isinstance(h, d.ResourceHandle):
                mine = self.resource_number(h)
                others = [t for t in self.resource_types(n) if t != mine]
                if h.num_lends:
                    found.append(("lent, drop", ["rdrop", mine, i]))
                    if h.own:
                        call("lent, given", f"o{mine}", i)
                if not h.own:
                    call("borrowed, given", f"o{mine}", i)
                if others:
                    found.append(("another type, drop", ["rdrop", rng.choice(others), i]))
                    if not GUEST or mine != n + 1:
                        found.append(("another type, rep", ["rrep", n + 1 if GUEST else rng.choice(others), i]))
                    call("another type, given", f"o{rng.choice(others)}", i)
                    call("another type, lent", f"b{rng.choice(others)}", i)
        if GUEST:
            found.append(("thread, another type", ["tnewx", 2]))
            found.append(("thread, no function", ["tnewx", 70000]))
        if task.opts.async_:
            code = task.func.result
            index = self.index_of(inst, code)
            if task.state == d.Task.State.RESOLVED and index is not None:
                found.append(("resolved, return", ["treturn", index, 1, code]))
            if task.state == d.Task.State.STARTED and not task.num_borrows and index is not None:
                found.append(("another type, return", ["treturn", index, 0, code]))
            if task.num_borrows and index is not None:
                found.append(("borrows, return", ["treturn", index, 1, code]))
            if task.num_borrows and task.state == d.Task.State.CANCEL_DELIVERED:
                found.append(("borrows, cancel", ["tcancel"]))
        found = [(goals[what], what, words) for what, words in found if goals[what] < self.most]
        if not found:
            return None
        _, what, words = min(found, key=lambda goal: goal[:2])
        goals[what] += 1
        return words

    def newest(self, n, callee):
        """The last resource type that a function of this callee can name, for this caller."""
        if not GUEST:
            return len(self.instances)
        return n if n > callee == 0 else callee + 1 if callee else len(self.instances)

    def right_end(self, i, h):
        shape = "s" if isinstance(h, d.ReadableStreamEnd | d.WritableStreamEnd) else "f"
        way = "r" if isinstance(h, d.ReadableStreamEnd | d.ReadableFutureEnd) else "w"
        t = h.shared.t
        return shape, way, 3 if t is None else 1 if isinstance(t, d.U16Type) else 2, i

    def aimed(self, thread, inst, n, kind):
        """The operation, of some, that was done least often to something in this state."""
        classes = {}
        for i, h in enumerate(inst.handles.array):
            classes.setdefault(self.waitable(h), []).append(i)
        options = [(state, rng.choice(found)) for state, found in classes.items()]
        found = []
        for op in AIMS:
            for state, i in options:
                words = self.aim_at(op, i, inst, n, kind)
                if words:
                    how = [str(w)[:1] for w in words[1:] if w is not i]
                    found.append((f"{op} {state} {how if op[0] in 'cs' else ''}", words))
        for i in range(len(inst.threads.array)):
            op = rng.choice(["tlater", "tstr", "tytr", "tstp", "tytp"])
            words = [op, i] + ([rng.randint(0, 1)] if op != "tlater" else [])
            found.append((f"{op} {self.thread_state(thread, i)}", words))
        code = thread.task.func.result
        i = self.index_of(inst, code)
        found.append((f"treturn {thread.task.state} {thread.task.num_borrows > 0} {i is None} {thread.task.opts.async_}", ["treturn", i or 0, int(rng.random() < 0.8), code]))
        found.append((f"tcancel {thread.task.state} {thread.task.num_borrows > 0} {thread.task.opts.async_}", ["tcancel"]))
        found.append((f"bdec {min(inst.backpressure, 2)}", ["bdec"]))
        if not GUEST and inst.backpressure == 0:
            found.append(("bincs", ["bincs", 65535 if rng.random() < 0.5 else 65536]))
        found += [("tsuspend", ["tsuspend", 1]), ("tyield", ["tyield", 1])]
        what, words = min(found, key=lambda pair: (self.rarity(thread, pair[1]) // 40, aims[pair[0]], rng.random()))
        aims[what] += 1
        return words

    def aim_at(self, op, i, inst, n, kind):
        h = inst.handles.array[i]
        mine = self.resource_number(h) if isinstance(h, d.ResourceHandle) else n + 1
        match op:
            case "rdrop": return [op, rng.choice([mine, mine, rng.choice(self.resource_types(n))]), i]
            case "rrep": return [op, n + 1 if GUEST else rng.choice([mine, mine, rng.choice(self.resource_types(n))]), i]
            case "setdrop" | "sdrop" | "ecdrop" | "ecmsg": return [op, i]
            case "wait" | "poll": return [op, i, rng.randint(0, 1)]
            case "join":
                sets = [j for j, s in self.handles(inst, d.WaitableSet)]
                return [op, i, rng.choice(sets + [0])] if rng.random() < 0.7 else [op, self.pick_or(inst, d.Waitable), i]
            case "scancel":
                is_async = rng.randint(0, 1)
                if isinstance(h, d.Subtask) and not is_async and not h.resolved() and h.has_pending_event():
                    return None
                return [op, i, is_async]
            case "cb": return ["cb", 2 | i << 4] if kind == "c" else None
            case "copy" | "ccancel" | "cdrop":
                shape, way, ty, i = self.end_at(inst, i)
                more = {"copy": [1 if shape == "f" else rng.choice([0, 1, 2]), rng.randint(0, 1)], "ccancel": [rng.randint(0, 1)], "cdrop": []}
                return [op, shape, way, ty, i, *more[op]]
            case "call":
                callees = [m for m in self.callees(n) if self.instances[m].may_enter_from(inst)]
                if not callees:
                    return None
                callee = rng.choice(callees)
                limit = n if GUEST and n > callee == 0 else callee + 1 if GUEST and callee else None
                if isinstance(h, d.ResourceHandle) and (limit is None or mine <= limit) and mine in self.resource_types(n):
                    code = rng.choice("ob") + str(mine)
                elif isinstance(h, d.CopyEnd):
                    shape, _, ty, i = self.end_at(inst, i)
                    code = f"{shape}{ty}"
                else:
                    code = self.code(n, "obsf", limit)
                return [op, callee, rng.choice("awc"), 1, code, i, "n", 0]

    def pick_or(self, inst, kind):
        found = [i for i, _ in self.handles(inst, kind)]
        return rng.choice(found) if found else 0

    # --- picking handles: mostly good ones ---

    def handles(self, inst, kind):
        return [(i, h) for i, h in enumerate(inst.handles.array) if isinstance(h, kind)]

    def any_index(self, inst):
        return rng.choice([0, len(inst.handles.array), rng.randrange(len(inst.handles.array) + 1)])

    def pick_of(self, inst, kind, good=lambda h: True):
        all_of = [i for i, h in self.handles(inst, kind)]
        fine = [i for i in all_of if good(inst.handles.array[i])]
        if rng.random() >= self.mood:
            if not fine:
                raise Driver.Unfit
            return rng.choice(fine)
        if all_of and rng.random() < 0.7:
            return rng.choice(all_of)
        return self.any_index(inst)

    def resource_number(self, handle):
        return self.resources.index(handle.rt) + 1

    def index_of(self, inst, code):
        """The index of something that a value of this type can be lifted from."""
        kind, ty = code[0], int(code[1:] or 0)
        if kind in "ob":
            want = self.resources[ty - 1]
            found = [i for i, h in self.handles(inst, d.ResourceHandle)
                     if h.rt is want and (kind == "b" or h.own and not h.num_lends)]
        elif kind in "sf":
            end = d.ReadableStreamEnd if kind == "s" else d.ReadableFutureEnd
            t = shape_type(kind, ty).t
            found = [i for i, h in self.handles(inst, end)
                     if h.shared.t == t and h.state == d.CopyState.IDLE and not h.in_waitable_set()]
        elif kind == "e":
            found = [i for i, h in self.handles(inst, d.ErrorContext)]
        else:
            return 0
        if found and rng.random() >= self.mood / 2:
            return rng.choice(found)
        return self.any_index(inst) if rng.random() < self.mood else None

    def pick_call(self, thread, inst, n):
        callees = list(self.callees(n))
        if rng.random() >= self.mood:
            callees = [m for m in callees if self.instances[m].may_enter_from(inst)]
            if not callees:
                raise Driver.Unfit
        callee = rng.choice(callees)
        kind = rng.choice("saawwwccccc" if thread.task.ft.async_ else "ssssawc")
        # A parent's function that a child imports is there before the child's types.
        limit = n if GUEST and n > callee == 0 else callee + 1 if GUEST and callee else None
        for _ in range(4):
            param = self.code(n, "nnnobbsfe", limit)
            index = self.index_of(inst, param)
            if index is not None:
                break
        else:
            param, index = "n", 0
        result = self.code(min(n, callee) if GUEST and callee else n, "nnnnosfe", limit)
        if GUEST and result[0] == "o" and rng.random() < 0.9:
            result = f"o{callee + 1}"
        post = kind in "sa" and rng.random() < 0.4
        is_async = rng.random() < (0.7 if thread.task.ft.async_ or kind == "s" else 0.95)
        # A function that is not async can't be lowered asynchronously in a component file.
        is_async = is_async and not (GUEST and kind == "s")
        return [callee, kind, int(is_async), param, index, result, int(post)]

    def pick_tcancel(self, thread, inst, n):
        if thread.task.state != d.Task.State.CANCEL_DELIVERED and rng.random() >= self.mood:
            raise Driver.Unfit
        return []

    def pick_treturn(self, thread, inst, n):
        done = thread.task.state == d.Task.State.RESOLVED or thread.task.num_borrows or not thread.task.opts.async_
        if done and rng.random() >= self.mood:
            raise Driver.Unfit
        code = thread.task.func.result
        index = self.index_of(inst, code)
        if index is None and rng.random() < 0.97 and not (GUEST and code[0] == "o" and code != f"o{n + 1}"):
            raise Driver.Other(self.make(code, n))
        return [index or 0, int(rng.random() >= self.mood / 4), code]

    class Other(Exception):
        """Something else is to be done first."""

    class Unfit(Exception):
        """There is nothing that this could be done to."""

    def pick_wait(self, thread, inst, n):
        i = self.pick_of(inst, d.WaitableSet, lambda s: s.elems)
        return [i, rng.randint(0, 1)]

    pick_poll = pick_wait

    def pick_setdrop(self, thread, inst, n):
        return [self.pick_of(inst, d.WaitableSet, lambda s: not s.elems and not s.num_waiting)]

    def pick_join(self, thread, inst, n):
        w = self.pick_of(inst, d.Waitable, lambda w: not w.has_sync_waiter)
        return [w, 0 if rng.random() < 0.2 else self.pick_of(inst, d.WaitableSet)]

    def pick_scancel(self, thread, inst, n):
        good = lambda s: not s.resolve_delivered() and not s.cancellation_requested and not s.in_waitable_set()
        i, is_async = self.pick_of(inst, d.Subtask, good), int(rng.random() < 0.6)
        h = inst.handles.array[i] if i < len(inst.handles.array) else None
        if isinstance(h, d.Subtask) and not is_async and not h.resolved() and h.has_pending_event():
            # It has started, which nobody has been told: the spec's file then fails an assertion.
            raise Driver.Unfit
        return [i, is_async]

    def pick_sdrop(self, thread, inst, n):
        return [self.pick_of(inst, d.Subtask, lambda s: s.resolve_delivered())]

    def pick_new(self, thread, inst, n):
        return [rng.choice("sf"), rng.choice([1, 1, 2, 3])]

    def end(self, inst, good):
        return self.end_at(inst, self.pick_of(inst, d.CopyEnd, good))

    def end_at(self, inst, i):
        """An end as its built-ins name it: mostly rightly."""
        h = inst.handles.array[i] if i < len(inst.handles.array) else None
        if isinstance(h, d.CopyEnd) and rng.random() >= max(self.mood, self.aim) / 2:
            return list(self.right_end(i, h))
        return [rng.choice("sf"), rng.choice("rw"), rng.choice([1, 2, 3]), i]

    def pick_copy(self, thread, inst, n):
        shape, way, ty, i = self.end(inst, lambda e: e.state == d.CopyState.IDLE and not e.in_waitable_set())
        n = 1 if shape == "f" else rng.choice([0, 1, 1, 2, 3, 5])
        return [shape, way, ty, i, n, int(rng.random() < (0.75 if thread.task.ft.async_ else 0.98))]

    def pick_ccancel(self, thread, inst, n):
        return self.end(inst, lambda e: e.state == d.CopyState.COPYING and not e.in_waitable_set() and not e.has_sync_waiter) + [rng.randint(0, 1)]

    def pick_cdrop(self, thread, inst, n):
        good = lambda e: not e.copying() and (e.state == d.CopyState.DONE or not isinstance(e, d.WritableFutureEnd))
        return self.end(inst, good)

    def pick_bdec(self, thread, inst, n):
        if inst.backpressure == 0 and rng.random() >= self.mood:
            raise Driver.Other(["binc"])
        return []

    def pick_ecmsg(self, thread, inst, n):
        return [self.pick_of(inst, d.ErrorContext)]

    def pick_ecdrop(self, thread, inst, n):
        return [self.pick_of(inst, d.ErrorContext)]

    def pick_thread(self, inst, good):
        live = [t for t in inst.threads.array if t is not None and good(t)]
        if rng.random() >= self.mood:
            if not live:
                raise Driver.Unfit
            return rng.choice(live).index
        return rng.choice([0, 1, 2, len(inst.threads.array), 77])

    def pick_tlater(self, thread, inst, n):
        return [self.pick_thread(inst, lambda t: t.suspended())]

    def pick_tsuspend(self, thread, inst, n):
        others = any(t is not None and t is not thread for t in inst.threads.array)
        if not others and rng.random() < 0.9:
            raise Driver.Other(["tnew"])
        return [rng.randint(0, 1)]

    def pick_tyield(self, thread, inst, n):
        return [rng.randint(0, 1)]

    def pick_tstr(self, thread, inst, n):
        return [self.pick_thread(inst, lambda t: t.suspended()), rng.randint(0, 1)]

    pick_tytr = pick_tstr

    def pick_tstp(self, thread, inst, n):
        return [self.pick_thread(inst, lambda t: t is not thread), rng.randint(0, 1)]

    pick_tytp = pick_tstp

    def pick_rnew(self, thread, inst, n):
        ty = rng.choice(self.resource_types(n)) if not GUEST else n + 1
        return [ty, rng.randrange(100)]

    def pick_resource(self, inst, n, good):
        i = self.pick_of(inst, d.ResourceHandle, good)
        h = inst.handles.array[i] if i < len(inst.handles.array) else None
        if isinstance(h, d.ResourceHandle) and rng.random() >= self.mood / 2:
            return [self.resource_number(h), i]
        return [rng.choice(self.resource_types(n)), i]

    def pick_rrep(self, thread, inst, n):
        words = self.pick_resource(inst, n, lambda h: h.rt is self.resources[n])
        if GUEST and words[0] != n + 1:
            raise Driver.Other(["rnew", n + 1, rng.randrange(100)])
        return words

    def pick_rdrop(self, thread, inst, n):
        return self.pick_resource(inst, n, lambda h: not h.num_lends)

    # --- performing ---

    def lowered(self, func, inst, is_async):
        opts = d.CanonicalOptions(memory=self.memories[self.instances.index(inst)], async_=is_async)
        return self.store.lower(func.lifted, func.ft, opts, inst)

    def op_call(self, thread, callee, kind, is_async, param, index, result, post):
        func = self.func(callee, kind, param, result, bool(post))
        args = [] if param == "n" else [index]
        if is_async and result != "n":
            args.append(buffer_at(self.count))
        self.state("call", kind, "async" if is_async else "sync", param[0], result[0])
        got = self.lowered(func, thread.task.inst, bool(is_async))(args)
        return int(got[0]) if got else 0

    def op_treturn(self, thread, index, fits, _):
        task = thread.task
        ft = task.ft.result
        opts = d.LiftOptions(memory=task.opts.memory)
        if not fits and (GUEST or rng.random() < 0.5):
            ft = [d.U64Type()]
        elif not fits:
            opts.string_encoding = "utf16"
        self.state("task.return", task.state.name, "borrows" if task.num_borrows else "")
        d.canon_task_return(ft, opts, [] if not task.ft.result else [index])
        return "-"

    def op_tcancel(self, thread):
        self.state("task.cancel", thread.task.state.name, "borrows" if thread.task.num_borrows else "")
        d.canon_task_cancel()
        return "-"

    def op_setnew(self, thread):
        return d.canon_waitable_set_new()[0]

    def event(self, op, thread, i, cancellable):
        h = self.at(thread, i)
        self.state("waitable-set." + op, self.kind_of(h), "pending" if isinstance(h, d.WaitableSet) and h.has_pending_event() else "none",
                   "cancellable" if cancellable else "", thread.task.state.name)
        memory = self.memories[self.instances.index(thread.task.inst)]
        at = 64 + thread.serial % 64 * 8
        [code] = getattr(d, f"canon_waitable_set_{op}")(bool(cancellable), memory, i, at)
        word = lambda at: int.from_bytes(memory.bytes[at:at + 4], "little")
        return f"{int(code)},{word(at)},{word(at + 4)}"

    def op_wait(self, thread, i, cancellable):
        return self.event("wait", thread, i, cancellable)

    def op_poll(self, thread, i, cancellable):
        return self.event("poll", thread, i, cancellable)

    def op_setdrop(self, thread, i):
        h = self.at(thread, i)
        self.state("waitable-set.drop", self.kind_of(h), *(["members" if h.elems else "", "waited" if h.num_waiting else ""] if isinstance(h, d.WaitableSet) else []))
        d.canon_waitable_set_drop(i)
        return "-"

    def op_join(self, thread, w, s):
        self.state("waitable.join", self.waitable(self.at(thread, w)), self.kind_of(self.at(thread, s)))
        d.canon_waitable_join(w, s)
        return "-"

    def op_scancel(self, thread, i, is_async):
        self.state("subtask.cancel", self.waitable(self.at(thread, i)), "async" if is_async else "sync")
        return int(d.canon_subtask_cancel(bool(is_async), i)[0])

    def op_sdrop(self, thread, i):
        self.state("subtask.drop", self.waitable(self.at(thread, i)))
        d.canon_subtask_drop(i)
        return "-"

    def op_new(self, thread, shape, ty):
        t = shape_type(shape, ty)
        return (d.canon_stream_new if shape == "s" else d.canon_future_new)(t)[0]

    def op_copy(self, thread, shape, way, ty, i, n, is_async):
        t = shape_type(shape, ty)
        name = f"{'stream' if shape == 's' else 'future'}_{'read' if way == 'r' else 'write'}"
        self.state(name, self.waitable(self.at(thread, i)), "async" if is_async else "sync", "" if n else "zero")
        n_of = self.instances.index(thread.task.inst)
        opts = d.CanonicalOptions(memory=self.memories[n_of], async_=bool(is_async))
        args = [t, opts, i, buffer_at(self.count)] + ([n] if shape == "s" else [])
        return int(getattr(d, "canon_" + name)(*args)[0])

    def op_copyat(self, thread, shape, way, ty, i, n, is_async, at):
        """A copy with a buffer that can't be."""
        t = shape_type(shape, ty)
        memory = self.memories[self.instances.index(thread.task.inst)]
        opts = d.CanonicalOptions(memory=memory, async_=bool(is_async))
        args = [t, opts, i, at] + ([n] if shape == "s" else [])
        name = f"{'stream' if shape == 's' else 'future'}_{'read' if way == 'r' else 'write'}"
        return int(getattr(d, "canon_" + name)(*args)[0])

    def op_tnewx(self, thread, i):
        """A thread of a function of another type (2), or of none."""
        table = d.Table()
        table.add(d.CoreFuncRef(d.CoreFuncType([], ["i32"]), None))
        ft = d.CoreFuncType(["i32"], [])
        return d.canon_thread_new_indirect(ft, table, 1 if i == 2 else i, 0)[0]

    def op_ccancel(self, thread, shape, way, ty, i, is_async):
        name = f"{'stream' if shape == 's' else 'future'}_cancel_{'read' if way == 'r' else 'write'}"
        self.state(name, self.waitable(self.at(thread, i)), "async" if is_async else "sync")
        return int(getattr(d, "canon_" + name)(shape_type(shape, ty), bool(is_async), i)[0])

    def op_cdrop(self, thread, shape, way, ty, i):
        name = f"{'stream' if shape == 's' else 'future'}_drop_{'readable' if way == 'r' else 'writable'}"
        self.state(name, self.waitable(self.at(thread, i)))
        getattr(d, "canon_" + name)(shape_type(shape, ty), i)
        return "-"

    def op_binc(self, thread):
        self.state("backpressure.inc", str(min(thread.task.inst.backpressure, 2)))
        d.canon_backpressure_inc()
        return "-"

    def op_bincs(self, thread, n):
        self.state("backpressure.inc", "65536 times" if n == 65536 else "65535 times")
        for _ in range(n):
            d.canon_backpressure_inc()
        return "-"

    def op_bdec(self, thread):
        self.state("backpressure.dec", str(min(thread.task.inst.backpressure, 2)))
        d.canon_backpressure_dec()
        return "-"

    def op_ecnew(self, thread):
        return d.canon_error_context_new(None, 0, 0)[0]

    def op_ecmsg(self, thread, i):
        self.state("error-context.debug-message", self.kind_of(self.at(thread, i)))
        n = self.instances.index(thread.task.inst)
        opts = d.CanonicalOptions(memory=self.memories[n])
        d.canon_error_context_debug_message(opts, i, buffer_at(self.count))
        return "-"

    def op_ecdrop(self, thread, i):
        self.state("error-context.drop", self.kind_of(self.at(thread, i)))
        d.canon_error_context_drop(i)
        return "-"

    def op_tindex(self, thread):
        return d.canon_thread_index()[0]

    def op_tnew(self, thread):
        ft = d.CoreFuncType(["i32"], [])
        table = d.Table()

        def body(_):
            me = d.current_thread()
            me.kind = "f"
            self.log(f"s {me.serial} f" + self.seen(me))
            return self.guest(me)

        index = table.add(d.CoreFuncRef(ft, body))
        self.state("thread.new-indirect", thread.task.state.name)
        return d.canon_thread_new_indirect(ft, table, index, 0)[0]

    def thread_state(self, thread, i):
        threads = thread.task.inst.threads.array
        other = threads[i] if i < len(threads) else None
        if other is None:
            return "no thread"
        return "itself" if other is thread else "suspended" if other.suspended() else "ready" if other.ready() else "waiting" if other.waiting() else "running"

    def op_tlater(self, thread, i):
        self.state("thread.resume-later", self.thread_state(thread, i))
        d.canon_thread_resume_later(i)
        return "-"

    def op_tsuspend(self, thread, cancellable):
        self.state("thread.suspend", thread.task.state.name, "cancellable" if cancellable else "")
        return int(d.canon_thread_suspend(bool(cancellable))[0])

    def op_tyield(self, thread, cancellable):
        self.state("thread.yield", thread.task.state.name, "cancellable" if cancellable else "")
        return int(d.canon_thread_yield(bool(cancellable))[0])

    def switch(self, name, thread, i, cancellable):
        self.state("thread." + name, self.thread_state(thread, i), "cancellable" if cancellable else "", thread.task.state.name)
        return int(getattr(d, "canon_thread_" + name.replace("-", "_"))(bool(cancellable), i)[0])

    def op_tstr(self, thread, i, c): return self.switch("suspend-then-resume", thread, i, c)
    def op_tytr(self, thread, i, c): return self.switch("yield-then-resume", thread, i, c)
    def op_tstp(self, thread, i, c): return self.switch("suspend-then-promote", thread, i, c)
    def op_tytp(self, thread, i, c): return self.switch("yield-then-promote", thread, i, c)

    def op_rnew(self, thread, ty, rep):
        return d.canon_resource_new(self.resources[ty - 1], rep)[0]

    def op_rrep(self, thread, ty, i):
        self.state("resource.rep", self.waitable(self.at(thread, i)))
        return d.canon_resource_rep(self.resources[ty - 1], i)[0]

    def op_rdrop(self, thread, ty, i):
        self.state("resource.drop", self.waitable(self.at(thread, i)))
        own = isinstance(h := self.at(thread, i), d.ResourceHandle) and h.own
        d.canon_resource_drop(self.resources[ty - 1], i)
        return 0 if own else "-"

    # --- counting ---

    def state(self, op, *what):
        """Counts the operation in each of these states: one at a time, not all their
        combinations, and handles of another kind as one."""
        for row in self.rows(op, *what):
            states[row] += 1

    def rows(self, op, *what):
        kinds = OF_KIND.get(op)
        if kinds and not what[0].startswith(kinds):
            what = ("another kind" if what[0] != "nothing" else "nothing", *what[1:])
        for words in what:
            kind, *more = words.split(", ")
            yield f"{op}: {kind}" if kind else op
            for flag in more:
                yield f"{op}: {kind}: {flag}"

    def rarity(self, thread, words):
        """How often what these words do was done to something in its rarest state."""
        op, *args = words
        task = thread.task
        handle = lambda n: self.waitable(self.at(thread, args[n]))
        shape = {"s": "stream", "f": "future"}.get(args[0] if args else None)
        match op:
            case "copy": rows = self.rows(f"{shape}_{'read' if args[1] == 'r' else 'write'}", handle(3))
            case "ccancel": rows = self.rows(f"{shape}_cancel_{'read' if args[1] == 'r' else 'write'}", handle(3))
            case "cdrop": rows = self.rows(f"{shape}_drop_{'readable' if args[1] == 'r' else 'writable'}", handle(3))
            case "scancel" | "sdrop": rows = self.rows("subtask." + op[1:], handle(0))
            case "join": rows = self.rows("waitable.join", handle(0))
            case "setdrop": rows = self.rows("waitable-set.drop", handle(0))
            case "wait" | "poll": rows = self.rows("waitable-set." + op, handle(0), task.state.name)
            case "rdrop" | "rrep": rows = self.rows("resource." + op[1:], handle(1))
            case "ecdrop": rows = self.rows("error-context.drop", handle(0))
            case "ecmsg": rows = self.rows("error-context.debug-message", handle(0))
            case "treturn" | "tcancel": rows = self.rows("task.return" if op == "treturn" else "task.cancel", task.state.name, "borrows" if task.num_borrows else "")
            case "tsuspend" | "tyield": rows = self.rows("thread." + op[1:], task.state.name)
            case "tlater": rows = self.rows("thread.resume-later", self.thread_state(thread, args[0]))
            case "tstr" | "tytr" | "tstp" | "tytp":
                name = {"s": "suspend", "y": "yield"}[op[1]] + "-then-" + {"r": "resume", "p": "promote"}[op[3]]
                rows = self.rows("thread." + name, self.thread_state(thread, args[0]), task.state.name)
            case "bincs": rows = self.rows("backpressure.inc", "65536 times")
            case _: return 100
        return min(states[row] for row in rows)

    def at(self, thread, i):
        array = thread.task.inst.handles.array
        return array[i] if i < len(array) else None

    def kind_of(self, h):
        return "nothing" if h is None else type(h).__name__

    def waitable(self, h):
        """A handle's kind and state."""
        words = [self.kind_of(h)]
        if isinstance(h, d.ResourceHandle):
            words = ["own" if h.own else "borrow", "lent" if h.num_lends else ""]
        if isinstance(h, d.CopyEnd | d.Subtask):
            words.append(h.state.name)
        if isinstance(h, d.WaitableSet):
            words += ["members" if h.elems else "", "waited for" if h.num_waiting else ""]
        if isinstance(h, d.Subtask):
            words += ["delivered" if h.resolve_delivered() else "", "cancelling" if h.cancellation_requested else ""]
        if isinstance(h, d.Waitable):
            words += ["in a set" if h.in_waitable_set() else "", "awaited" if h.has_sync_waiter else "", "event" if h.has_pending_event() else ""]
        return ", ".join(w for w in words if w)


class HostCall:
    def __init__(self, driver, func):
        self.driver, self.func, self.resolved, self.asked = driver, func, False, False

    def begin(self):
        def on_resolve(result):
            self.resolved = True
            self.driver.host_ends.append(result)

        self.on_cancel = self.driver.store.invoke(self.func.lifted, self.argument, on_resolve)

    def argument(self):
        kind = self.func.param[0]
        match kind:
            case "n": return []
            case "o" | "b": return [7]
            case _:
                shared = d.SharedStreamImpl if kind == "s" else d.SharedFutureImpl
                self.driver.host_ends.append(shared(self.driver.type(self.func.param).t))
                return [self.driver.host_ends[-1]]

    def open(self):
        return not self.resolved

    def cancellable(self):
        return not self.resolved and not self.asked and self.func.ft.async_

    def cancel(self):
        self.asked = True
        self.on_cancel(None)


OF_KIND = {
    "resource.rep": ("own", "borrow"), "resource.drop": ("own", "borrow"), "waitable-set.wait": "WaitableSet",
    "waitable-set.poll": "WaitableSet", "waitable-set.drop": "WaitableSet", "subtask.cancel": "Subtask",
    "subtask.drop": "Subtask", "waitable.join": ("Readable", "Writable", "Subtask"),
    "error-context.drop": "ErrorContext", "error-context.debug-message": "ErrorContext",
} | {f"{s.lower()}_{op}": f"{way}able{s}End" for s in ("Stream", "Future") for op, way in
     [("read", "Read"), ("write", "Writ"), ("cancel_read", "Read"), ("cancel_write", "Writ"),
      ("drop_readable", "Read"), ("drop_writable", "Writ")]}
aims = collections.Counter()
goals = collections.Counter()
AIMS = ["rdrop", "rrep", "setdrop", "sdrop", "ecdrop", "ecmsg", "wait", "poll", "join", "scancel", "cb", "copy", "ccancel", "cdrop", "call", "call"]
OPS = {
    "call": 14, "treturn": 2, "tcancel": 0.4, "setnew": 3, "wait": 4, "poll": 3, "setdrop": 0.7, "join": 6,
    "scancel": 2, "sdrop": 2, "new": 5, "copy": 12, "ccancel": 3, "cdrop": 3, "binc": 1, "bdec": 1.5,
    "ecnew": 0.7, "ecdrop": 0.4, "ecmsg": 0.4, "tindex": 0.5, "tnew": 2.5, "tlater": 2, "tsuspend": 1, "tyield": 2,
    "tstr": 1, "tytr": 1, "tstp": 1, "tytp": 1, "rnew": 3, "rrep": 1.5, "rdrop": 2.5,
}


# In functions that are not async these mostly end in a deadlock.
BLOCKING = {"wait", "tsuspend", "tstr", "tstp"}
NAMES, WEIGHTS = list(OPS), list(OPS.values())


def one(seed, steps):
    """The lines of a run."""
    rng.seed(seed)
    driver = Driver(steps)
    try:
        driver.run()
    except d.Trap:
        driver.log("x")
    except (AssertionError, TypeError) as error:
        frames = error.__traceback__
        while frames.tb_next:
            frames = frames.tb_next
        states[f"left: assertion in {frames.tb_frame.f_code.co_name}:{frames.tb_lineno}"] += 1
        if os.environ.get("HELVE_SHOW"):
            print("\n".join(driver.lines[-40:]), error.__traceback__, file=sys.stderr)
            import traceback
            traceback.print_exception(error)
        # The run up to the action that the spec's file does not foresee.
        while driver.lines.pop()[0] not in "aikt":
            pass
    finally:
        for g in driver.greenlets:
            g.parent = main
        leave(driver)
    return driver.lines


def leave(driver):
    """Greenlets that wait for ever end quietly."""
    for g in driver.greenlets:
        if g:
            g.throw(greenlet.GreenletExit)


def run():
    global GUEST
    profile, seed, runs, steps = sys.argv[1], *map(int, sys.argv[2:5])
    GUEST = profile == "guest"
    install()
    total = 0
    for n in range(seed, seed + runs):
        lines = one(n, steps)
        total += sum(1 for line in lines if line[0] in "aikt")
        print(f"# {n}\n" + "\n".join(lines))
    print(f"{runs} runs, {total} actions", file=sys.stderr)
    for name, table in [("trap", traps), ("state", states)]:
        for what, count in sorted(table.items()):
            print(f"{name}\t{count}\t{what}", file=sys.stderr)


run()
