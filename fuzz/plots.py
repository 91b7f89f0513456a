"""What threads of a random program do first, so that it comes to states that are seldom met.

A plot is a list of steps: who is to act, and what it does; `programs.py` follows it as long as
it fits (HELVE_PLOT=1), and at random from there. Who: `T`, the first thread of an async task;
`O`, another thread of its instance; `C`, the task that it has called; `D`, the task that that
one has called.
"""


class Plot:
    def __init__(self, driver, rng, guest):
        self.driver, self.rng, self.guest = driver, rng, guest
        self.who, self.vars, self.kept = {}, {}, {}
        self.shape, self.ty, self.way = rng.choice("sf"), rng.choice([1, 2, 3]), rng.choice("rw")
        self.steps = getattr(self, rng.choice(PLOTS))()

    def next(self, thread, inst, n):
        """What this thread does, if it is its turn."""
        if not self.steps:
            return None
        for name in [name for name, of in self.kept.items() if of is thread]:
            self.vars[name] = int(thread.last)
            del self.kept[name]
        who, make = self.steps[0]
        if not self.fits(who, thread, inst):
            return None
        self.who.setdefault(who, thread)
        try:
            words = make(thread, inst, n)
        except (KeyError, IndexError, TypeError, ValueError):
            words = None
        self.steps = self.steps[1:] if words else []
        return words

    def fits(self, who, thread, inst):
        if who in self.who:
            return thread is self.who[who]
        if thread in self.who.values():
            return False
        if who == "T":
            return thread.task.ft.async_ and thread.kind in "wc"
        if who == "O":
            return inst is self.who["T"].task.inst
        return thread.task is not self.who["T"].task and thread.kind in "wc"

    # --- what is done ---

    def keep(self, name, words):
        """The step, whose result is put aside once it is there."""
        def make(thread, inst, n):
            self.kept[name] = thread
            return words(thread, inst, n) if callable(words) else words
        return make

    def last(self, name):
        return self.vars[name]

    def end(self, way):
        pair = self.last("ends")
        return pair & 0xffffffff if way == "r" else pair >> 32

    def other(self):
        return "w" if self.way == "r" else "r"

    def new(self):
        return ("N", self.keep("ends", lambda *_: ["new", self.shape, self.ty]))

    def on_end(self, op, way, *more):
        return lambda *_: [op, self.shape, way, self.ty, self.end(way), *more]

    def any_on_end(self, way):
        def make(thread, inst, n):
            i, rng = self.end(way), self.rng
            start = [self.shape, way, self.ty, i]
            sets = [j for j, h in enumerate(inst.handles.array) if type(h).__name__ == "WaitableSet"]
            return rng.choice([
                ["ccancel", *start, rng.randint(0, 1)], ["ccancel", *start, 1], ["cdrop", *start],
                ["copy", *start, 1, rng.randint(0, 1)], ["join", i, rng.choice(sets + [0])]])
        return make

    def called(self, code="n", index=None):
        """A call of a stackful function, as far away as can be."""
        def make(thread, inst, n):
            driver = self.driver
            may = [m for m in driver.callees(n) if driver.instances[m].may_enter_from(inst) and m != n]
            if code != "n":
                may = [m for m in may if int(code(n)[1:] or 0) <= driver.newest(n, m)]
            callee = max(may) if may else n
            ty = code if code == "n" else code(n)
            return ["call", callee, "w", 1, ty, index(inst) if index else 0, "n", 0]
        return make

    def subtask(self):
        return self.last("sub") >> 4

    def any_on_subtask(self, *_):
        i, rng = self.subtask(), self.rng
        return rng.choice([["scancel", i, 0], ["scancel", i, 1], ["sdrop", i], ["join", i, 0]])

    def any_of_thread(self, thread, inst, n):
        rng = self.rng
        c = int(rng.random() < 0.8)
        made = [t.index for t in inst.threads.array if t is not None and t is not thread and t.suspended()]
        sets = [j for j, h in enumerate(inst.handles.array) if type(h).__name__ == "WaitableSet"]
        found = [["tsuspend", c], ["tyield", c], ["tcancel"]]
        found += [[op, j, c] for op in ("tstr", "tytr", "tstp", "tytp") for j in made]
        found += [[op, j, c] for op in ("wait", "poll") for j in sets]
        return rng.choice(found)

    # --- plots ---

    def as_t(self, steps):
        return [("T" if who == "N" else who, make) for who, make in steps]

    def second_thread(self):
        return [("T", self.keep("thread", ["tnew"])), ("T", lambda *_: ["tlater", self.last("thread")])]

    def awaited_end(self):
        return self.as_t([self.new(), *self.second_thread(), ("T", self.on_end("copy", self.way, 1, 0)),
                          ("O", self.any_on_end(self.way))])

    def done_end(self):
        if self.shape == "f" and self.way == "r":
            steps = [("T", self.on_end("copy", "w", 1, 1)), ("T", self.on_end("copy", "r", 1, 1))]
        else:
            steps = [("T", self.on_end("cdrop", self.other())), ("T", self.on_end("copy", self.way, 1, 1))]
        return self.as_t([self.new(), *steps, ("T", self.any_on_end(self.way))])

    def end_with_event(self):
        return self.as_t([self.new(), ("T", self.on_end("copy", self.way, 1, 1)), ("T", self.on_end("copy", self.other(), 1, 1)),
                          ("T", self.any_on_end(self.way))])

    def end_in_set(self):
        copying = [("T", self.on_end("copy", self.way, 1, 1))] if self.rng.random() < 0.7 else []
        return self.as_t([self.new(), *copying, ("T", self.keep("set", ["setnew"])),
                          ("T", lambda *_: ["join", self.end(self.way), self.last("set")]), ("T", self.any_on_end(self.way))])

    def cancelled(self):
        delivered = self.rng.random() < 0.5
        own = [("C", ["tnew"]), ("C", ["setnew"])]
        own = [(who, make if callable(make) else lambda *_, words=make: words) for who, make in own]
        return [("T", self.keep("sub", self.called())), *own, ("C", lambda *_: ["tyield", int(delivered)]),
                ("T", lambda *_: ["scancel", self.subtask(), 1]), ("C", self.any_of_thread)]

    def awaited_subtask(self):
        return [("T", self.keep("sub", self.called())), ("C", lambda *_: ["tsuspend", 0]), *self.second_thread(),
                ("T", lambda *_: ["scancel", self.subtask(), 0]), ("O", self.any_on_subtask)]

    def cancelled_subtask(self):
        return [("T", self.keep("sub", self.called())), ("C", lambda *_: ["tsuspend", 1]),
                ("T", lambda *_: ["scancel", self.subtask(), 1]), ("C", lambda *_: ["tyield", 0]),
                ("T", lambda *_: ["tyield", 0]), ("C", lambda *_: ["tcancel"]), ("T", self.any_on_subtask)]

    def resource(self, inst, own):
        found = [i for i, h in enumerate(inst.handles.array) if type(h).__name__ == "ResourceHandle" and h.own is own]
        return found[-1]

    def lent(self):
        def borrow(n):
            self.vars.setdefault("type", n + 1)
            return f"b{self.vars['type']}"
        return [("T", lambda thread, inst, n: ["rnew", n + 1, 7]),
                ("T", self.called(borrow, lambda inst: self.resource(inst, True))),
                ("C", self.called(borrow, lambda inst: self.resource(inst, False))),
                ("D", lambda *_: ["tsuspend", 0]),
                ("C", lambda thread, inst, n: ["rdrop", self.vars["type"], self.resource(inst, False)])]

    def cancelled_with_borrow(self):
        return [("T", lambda thread, inst, n: ["rnew", n + 1, 7]),
                ("T", self.keep("sub", self.called(lambda n: f"b{n + 1}", lambda inst: self.resource(inst, True)))),
                ("C", lambda *_: ["tyield", 1]), ("T", lambda *_: ["scancel", self.subtask(), 1]),
                ("C", lambda *_: ["tcancel"])]

    def no_waitable(self):
        words = self.rng.choice([lambda thread, inst, n: ["rnew", n + 1, 7], lambda *_: ["ecnew"]])
        return [("T", self.keep("it", words)), ("T", lambda *_: ["join", self.last("it"), 0])]

    def no_set(self):
        words = self.rng.choice([lambda thread, inst, n: ["rnew", n + 1, 7], lambda *_: ["ecnew"]])
        return self.as_t([self.new(), ("T", self.keep("it", words)), ("T", lambda *_: ["join", self.end(self.way), self.last("it")])])

    def too_many(self):
        self.shape = "s"
        return self.as_t([self.new(), ("T", lambda *_: ["copyat", "s", self.way, self.ty, self.end(self.way), 1 << 28, 1, 4096])])

    def no_error_context(self):
        return [("T", self.keep("it", lambda *_: ["setnew"])), ("T", self.called(lambda n: "e", lambda inst: self.last("it")))]

    def busy_end_given(self):
        busy = self.rng.choice([
            [("T", self.on_end("copy", "r", 1, 1))],
            [("T", self.keep("set", lambda *_: ["setnew"])), ("T", lambda *_: ["join", self.end("r"), self.last("set")])]])
        return self.as_t([self.new(), *busy, ("T", self.called(lambda n: f"{self.shape}{self.ty}", lambda inst: self.end("r")))])


PLOTS = ["awaited_end"] * 4 + ["done_end"] * 2 + ["end_with_event"] * 2 + ["end_in_set"] * 2 + ["cancelled"] * 5 + [
    "awaited_subtask", "awaited_subtask", "cancelled_subtask", "cancelled_subtask", "lent", "lent", "cancelled_with_borrow",
    "no_waitable", "no_set", "too_many", "no_error_context", "busy_end_given"]
