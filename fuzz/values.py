"""Random types and values as the executable spec lifts and lowers them, as vectors.

    HELVE_DEFINITIONS=/path/to/definitions.py python3 values.py SEED TYPES CASES > FILE

With HELVE_STRINGS=1 there are only strings, whose second or third buffer is bad.

The spec's file is imported from wherever it was fetched to; what is written is data of ours,
which `helve-fuzz values FILE` and crates/helve/tests/values.rs replay on real components.

    T <types> ; <type> ; <flat types> ; <encoding of a> ; <encoding of b>
    G <policy> <pointer> <image> <get> <pull> <b> <set> <flat>
    P <policy> <words> <image> <push>

`G`: component a's memory holds <image> at 64; `get` lifts a value of (tuple <type> (list u8 17))
at <pointer>; `pull` does the same by way of component b, whose memory is then <b>; `set` and
`flat` give the value back to a fresh a, through memory and as flat values, which leaves its
memory as said. `P`: b hands <words> as flat values of <type> on to a: a's memory. <policy> is
how the receiving side's realloc behaves. Memories and values are CRC-32s of what stands in
bytes 64 to 8256 and of the text that `show` makes; `!` is a trap, `-` not tried,
`~` anything but a trap (there is a NaN in it, whose bits an adapter may keep or not).
"""

import collections
import importlib.util
import os
import random
import struct
import sys
import zlib

where = os.environ.get("HELVE_DEFINITIONS")
if not where:
    sys.exit("HELVE_DEFINITIONS must be the path of the spec's definitions.py")
spec = importlib.util.spec_from_file_location("definitions", where)
d = importlib.util.module_from_spec(spec)
sys.modules["definitions"] = d
spec.loader.exec_module(d)
d.DETERMINISTIC_PROFILE = True


def remembered(name):
    """What the spec's file says of a type, asked once for each type of the current seed."""
    f = getattr(d, name)

    def ask(t, *more):
        found = KNOWN.get((name, id(t), *more))
        if found is None:
            # The type is kept too: its id must not become another's.
            KNOWN[(name, id(t), *more)] = found = (f(t, *more), t)
        return found[0]

    setattr(d, name, ask)


def trap_if(condition):
    if condition:
        frame = sys._getframe(1)
        traps[f"{frame.f_code.co_name}:{frame.f_lineno}"] += 1
        raise d.Trap()


traps = collections.Counter()
d.trap_if = trap_if
KNOWN = {}
for name in ["despecialize", "alignment", "elem_size"]:
    remembered(name)

PAGES = 65536
ENCODINGS = ["utf8", "utf16", "latin1+utf16"]
CODECS = {"utf8": "utf-8", "utf16": "utf-16-le"}
PRIMS = {
    "bool": d.BoolType, "s8": d.S8Type, "u8": d.U8Type, "s16": d.S16Type, "u16": d.U16Type,
    "s32": d.S32Type, "u32": d.U32Type, "s64": d.S64Type, "u64": d.U64Type, "f32": d.F32Type,
    "f64": d.F64Type, "char": d.CharType, "string": d.StringType,
}
KEYS = ["u8", "string", "s64", "char", "bool"]
STRINGS = bool(os.environ.get("HELVE_STRINGS"))
POLICIES = [8, 9, 10, 11] if STRINGS else [0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
rng = random.Random()


class Types:
    """Random types, as text and as the spec's."""

    def __init__(self):
        self.named = []

    def name(self, text, ty):
        self.named.append(text)
        return f"$t{len(self.named) - 1}", ty

    def labels(self, kind, make, count):
        names = [f"l{i}" for i in range(count)]
        return self.name(f"({kind} " + " ".join(f'"{n}"' for n in names) + ")", make(names))

    def random(self, depth):
        if depth == 0 or rng.random() < 0.25:
            text = rng.choice(list(PRIMS) + ["string", "string", "string"])
            return text, PRIMS[text]()
        inner = lambda: self.random(depth - 1)
        match rng.randrange(11):
            case 0 | 1:
                text, ty = inner()
                return f"(list {text})", d.ListType(ty)
            case 2:
                text, ty = inner()
                n = rng.randint(1, 4)
                return f"(list {text} {n})", d.ListType(ty, n)
            case 3:
                parts = [inner() for _ in range(rng.randint(1, 4))]
                return f"(tuple {' '.join(t for t, _ in parts)})", d.TupleType([t for _, t in parts])
            case 4:
                text, ty = inner()
                return f"(option {text})", d.OptionType(ty)
            case 5:
                ok = inner() if rng.random() < 0.7 else None
                err = inner() if rng.random() < 0.7 else None
                text = "(result" + (f" {ok[0]}" if ok else "") + (f" (error {err[0]})" if err else "") + ")"
                return text, d.ResultType(ok and ok[1], err and err[1])
            case 6:
                key = rng.choice(KEYS)
                text, ty = inner()
                return f"(map {key} {text})", d.MapType(PRIMS[key](), ty)
            case 7:
                fields = [inner() for _ in range(rng.randint(1, 5))]
                text = " ".join(f'(field "f{i}" {t})' for i, (t, _) in enumerate(fields))
                return self.name(f"(record {text})",
                                 d.RecordType([d.FieldType(f"f{i}", t) for i, (_, t) in enumerate(fields)]))
            case 8:
                cases = [inner() if rng.random() < 0.7 else None for _ in range(rng.randint(1, 5))]
                if rng.random() < 0.05:
                    cases += [None] * 256
                text = " ".join(f'(case "c{i}"{" " + c[0] if c else ""})' for i, c in enumerate(cases))
                return self.name(f"(variant {text})",
                                 d.VariantType([d.CaseType(f"c{i}", c and c[1]) for i, c in enumerate(cases)]))
            case 9:
                return self.labels("enum", d.EnumType, rng.choice([1, 2, 3, 255, 256, 257]))
            case 10:
                return self.labels("flags", d.FlagsType, rng.choice([1, 2, 8, 9, 16, 17, 32]))


def char():
    n = rng.choice([rng.randrange(0x80)] * 3 + [0x80 + rng.randrange(0x80), 0xd7f0 + rng.randrange(16),
                    0xe000 + rng.randrange(0x100), rng.randrange(0x10000, 0x110000), 0x100])
    return chr(n if not 0xd800 <= n <= 0xdfff else 0xfffd)


def string(encoding):
    pool = rng.choice([lambda: chr(rng.randrange(0x80)), lambda: chr(rng.randrange(0x100)), char])
    text = "".join(pool() for _ in range(rng.choice([0, 1, 2, 3, 5, 8, 13, 40])))
    if encoding == "latin1+utf16":
        units = len(text.encode("utf-16-le")) // 2
        if any(ord(c) > 0xff for c in text) or rng.random() < 0.3:
            return (text, encoding, units | 1 << 31)
        return (text, encoding, len(text))
    return (text, encoding, len(text.encode(CODECS[encoding])) // (1 if encoding == "utf8" else 2))


def value(ty, encoding):
    """A random value that came from a component with this encoding."""
    match ty:
        case d.MapType(k, v):
            return [{"0": value(k, encoding), "1": value(v, encoding)} for _ in range(rng.choice([0, 1, 2, 3]))]
    match d.despecialize(ty):
        case d.BoolType(): return rng.random() < 0.5
        case d.U8Type(): return rng.choice([0, 1, 255, rng.getrandbits(8)])
        case d.U16Type(): return rng.choice([0, 65535, rng.getrandbits(16)])
        case d.U32Type(): return rng.choice([0, 2**32 - 1, rng.getrandbits(32)])
        case d.U64Type(): return rng.choice([0, 2**64 - 1, rng.getrandbits(64)])
        case d.S8Type(): return rng.choice([-128, 127, rng.getrandbits(8) - 128])
        case d.S16Type(): return rng.choice([-2**15, 2**15 - 1, rng.getrandbits(16) - 2**15])
        case d.S32Type(): return rng.choice([-2**31, 2**31 - 1, rng.getrandbits(32) - 2**31])
        case d.S64Type(): return rng.choice([-2**63, 2**63 - 1, rng.getrandbits(64) - 2**63])
        case d.F32Type(): return d.canonicalize_nan32(struct.unpack("<f", struct.pack("<I", rng.getrandbits(32)))[0])
        case d.F64Type(): return d.canonicalize_nan64(struct.unpack("<d", struct.pack("<Q", rng.getrandbits(64)))[0])
        case d.CharType(): return char()
        case d.StringType(): return string(encoding)
        case d.ListType(t, l):
            n = l if l is not None else rng.choice([0, 1, 2, 3, 7])
            return [value(t, encoding) for _ in range(n)]
        case d.RecordType(fields): return {f.label: value(f.t, encoding) for f in fields}
        case d.VariantType(cases):
            c = rng.choice(cases)
            return {c.label: value(c.t, encoding) if c.t is not None else None}
        case d.FlagsType(labels): return {l: rng.random() < 0.5 for l in labels}
    raise AssertionError(ty)


def show(v, ty):
    """The text of a value; Helve's side makes the same of its own."""
    match ty:
        case d.EnumType(_):
            [label] = v.keys()
            return label
        case d.OptionType(t):
            [(label, payload)] = v.items()
            return "none" if label == "none" else f"some({show(payload, t)})"
        case d.ResultType(ok, error):
            [(label, payload)] = v.items()
            t = ok if label == "ok" else error
            return f"{'ok' if label == 'ok' else 'err'}({show(payload, t) if t is not None else ''})"
    match d.despecialize(ty):
        case d.BoolType(): return "t" if v else "f"
        case d.F32Type(): return "nan" if v != v else "%08x" % struct.unpack("<I", struct.pack("<f", v))[0]
        case d.F64Type(): return "nan" if v != v else "%016x" % struct.unpack("<Q", struct.pack("<d", v))[0]
        case d.CharType(): return "%x" % ord(v)
        case d.StringType(): return '"' + v[0].encode("utf-8").hex() + '"'
        case d.ListType(t, _): return "[" + ",".join(show(x, t) for x in v) + "]"
        case d.RecordType(fields): return "{" + ",".join(show(v[f.label], f.t) for f in fields) + "}"
        case d.VariantType(cases):
            [(label, payload)] = v.items()
            [t] = [c.t for c in cases if c.label == label]
            return f"{label}({show(payload, t) if t is not None else ''})"
        case d.FlagsType(labels): return "<" + " ".join(l for l in labels if v[l]) + ">"
        case _: return str(v)


class Side:
    """One component's memory, encoding and realloc; the same realloc is in the text's core code."""

    def __init__(self, encoding, policy):
        self.bytes = bytearray(PAGES)
        self.policy, self.next, self.calls = policy, 4096, 0
        memory = d.MemInst(self.bytes, "i32")
        self.cx = d.LiftLowerContext(d.LiftLowerOptions(encoding, memory, None), None)
        self.cx.reallocate = self.realloc
        self.cx.allocate = lambda align, size: self.realloc(0, 0, align, size)

    def realloc(self, old, old_size, align, size):
        self.calls += 1
        match self.policy:
            case 0 if old_size and size <= old_size: return old
            case 2: return self.bump(align, size) + 1
            case 3: return 4096
            case 4: return PAGES - 16
            case 5 if self.calls == 2: d.trap()
            case 6: return 0xfffffff0
            case 7: return 64
            # Only a string's second or third buffer is bad.
            case 8 | 10 if self.calls == self.policy // 2 - 2: return self.bump(align, size) + 1
            case 9 | 11 if self.calls == self.policy // 2 - 2: return 0xfffffff0
        at = self.bump(align, size)
        n = min(old_size, size)
        if at + n > PAGES or old + n > PAGES:
            d.trap()
        self.bytes[at:at + n] = self.bytes[old:old + n]
        return at

    def bump(self, align, size):
        at = (self.next + align - 1) & ~(align - 1)
        self.next = at + size
        return at

    def sum(self):
        return "%08x" % zlib.crc32(self.bytes[64:8256])


def tried(run):
    try:
        return run()
    except d.Trap:
        return "!"


def mutated(image):
    image = bytearray(image)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
        at = rng.randrange(len(image))
        match rng.randrange(4):
            case 0: image[at] ^= 1 << rng.randrange(8)
            case 1: image[at] = rng.getrandbits(8)
            case 2: image[at] = rng.choice([0, 1, 2, 0xff, 0x80])
            case 3:
                at &= ~3
                image[at:at + 4] = struct.pack("<I", rng.choice(
                    [PAGES - 1, PAGES, 2**28 - 1, 2**28, 2**31, 2**32 - 1, 0xd800, 0x110000, 3, 65]))[:len(image) - at]
    return bytes(image)


def laid_out(side, run):
    """What `run` writes to a fresh side from 64 on."""
    side.next = 64
    run()
    return bytes(side.bytes[64:max(side.next, 65)])


def show_value(v, ty):
    return "%08x" % zlib.crc32(show(v, ty).encode())


def case_g(ty, pair, flats, a, b):
    source = Side(a, 1)
    pointer = None

    def write():
        nonlocal pointer
        v = {"0": value(ty, a), "1": [rng.getrandbits(8) for _ in range(17)]}
        pointer = source.realloc(0, 0, d.alignment(pair, "i32"), d.elem_size(pair, "i32"))
        d.store(source.cx, v, pair, pointer)

    image = laid_out(source, write)
    if rng.random() < 0.6:
        image = mutated(image)
    if rng.random() < 0.05:
        pointer = rng.choice([pointer + 1, pointer + 2, pointer + 4, PAGES - 8, 0, 2**32 - 8])
    policy = rng.choice(POLICIES)

    def lift():
        source = Side(a, 1)
        source.bytes[64:64 + len(image)] = image
        return d.lift_flat_values(source.cx, 1, d.CoreValueIter([pointer]), [pair])[0]

    def pull():
        v = lift()
        side = Side(b, policy)
        d.lower_flat_values(side.cx, 0, [v], [pair], d.CoreValueIter([64]))
        again = tried(lambda: show_value(d.lift_flat_values(side.cx, 1, d.CoreValueIter([64]), [pair])[0], pair))
        return again, "~" if "nan" in show(v, pair) else side.sum()

    def lowered(ts, v, most):
        side = Side(a, policy)
        flat = d.lower_flat_values(side.cx, most, [v], ts)
        put_words(side, flat, d.flatten_types(ts, side.cx.opts) if len(flat) > 1 or most == 16 and ts[0] is ty else ["i32"])
        return "~" if "nan" in show(v, ts[0]) else side.sum()

    got = tried(lift)
    if got == "!":
        return f"G {policy} {pointer} {image.hex()} ! ! - - -"
    # Where buffers overlap, a NaN's bits, which may be any, can be read as something else.
    if policy in (3, 4, 7) and "nan" in show(got, pair):
        policy = 1
    pulled = tried(pull)
    again, memory = pulled if pulled != "!" else ("!", "-")
    if again == "!":
        memory = "-"
    v = host(got, pair, a)
    whole = tried(lambda: lowered([pair], v, 16))
    flat = tried(lambda: lowered([ty], v["0"], 16)) if len(flats) <= 16 else "-"
    return f"G {policy} {pointer} {image.hex()} {show_value(got, pair)} {again} {memory} {whole} {flat}"


def host(v, ty, encoding):
    """The same value as the host gives it to a guest: strings are in the guest's encoding."""
    match ty:
        case d.EnumType(_): return v
    match d.despecialize(ty):
        case d.StringType():
            text = v[0]
            if encoding == "latin1+utf16":
                if all(ord(c) < 0x100 for c in text):
                    return (text, encoding, len(text))
                return (text, encoding, len(text.encode("utf-16-le")) // 2 | 1 << 31)
            return (text, encoding, len(text.encode(CODECS[encoding])) // (1 if encoding == "utf8" else 2))
        case d.ListType(t, _): return [host(x, t, encoding) for x in v]
        case d.RecordType(fields): return {f.label: host(v[f.label], f.t, encoding) for f in fields}
        case d.VariantType(cases):
            [(label, payload)] = v.items()
            [t] = [c.t for c in cases if c.label == label]
            return {label: host(payload, t, encoding) if t is not None else None}
        case _: return v


def bits(v, flat):
    match flat:
        case "f32": return struct.unpack("<I", struct.pack("<f", v))[0]
        case "f64": return struct.unpack("<Q", struct.pack("<d", v))[0]
        case _: return v


def put_words(side, words, flats):
    for i, (v, flat) in enumerate(zip(words, flats)):
        side.bytes[128 + 8 * i:136 + 8 * i] = struct.pack("<Q", bits(v, flat))


def case_p(ty, flats, a, b):
    source = Side(b, 1)
    words = None

    def write():
        nonlocal words
        words = d.lower_flat(source.cx, value(ty, b), ty)

    image = laid_out(source, write)
    words = [bits(v, f) for v, f in zip(words, flats)]
    if rng.random() < 0.5:
        image = mutated(image)
    for i, flat in enumerate(flats):
        if rng.random() < 0.1:
            wide = 64 if flat[1:] == "64" else 32
            words[i] = rng.choice([words[i] ^ 1, rng.getrandbits(wide), rng.getrandbits(8), (1 << wide) - 1])
    policy = rng.choice(POLICIES)

    def push():
        source.bytes[64:64 + len(image)] = image
        # Where the replay has them: a string that is too long reaches there.
        for i, word in enumerate(words):
            source.bytes[32768 + 8 * i:32776 + 8 * i] = struct.pack("<Q", word)
        values = [struct.unpack("<f", struct.pack("<I", w))[0] if f == "f32" else
                  struct.unpack("<d", struct.pack("<Q", w))[0] if f == "f64" else w
                  for w, f in zip(words, flats)]
        [v] = d.lift_flat_values(source.cx, 16, d.CoreValueIter(values), [ty])
        side = Side(a, policy)
        put_words(side, d.lower_flat_values(side.cx, 16, [v], [ty]), flats)
        return "~" if "nan" in show(v, ty) else side.sum()

    return f"P {policy} {','.join('%x' % w for w in words)} {image.hex() or '00'} {tried(push)}"


def main():
    seed, count, cases = map(int, sys.argv[1:4])
    for n in range(seed, seed + count):
        rng.seed(n)
        KNOWN.clear()
        types = Types()
        text, ty = types.random(rng.randint(0, 4)) if not STRINGS else ("string", d.StringType())
        pair = d.TupleType([ty, d.ListType(d.U8Type(), 17)])
        a, b = ENCODINGS[n % 3], ENCODINGS[n // 3 % 3]
        if STRINGS and n % 2:
            a = b = "latin1+utf16"
        opts = d.LiftLowerOptions(a, d.MemInst(bytearray(8), "i32"), None)
        flats = d.flatten_type(ty, opts)
        if len(flats) > 400 or d.elem_size(pair, "i32") > 2000:
            continue
        shown = " ".join(flats) if len(flats) <= 16 else "-"
        print(f"T {'|'.join(types.named)} ; {text} ; {shown} ; {a} ; {b}")
        for _ in range(cases):
            print(case_p(ty, flats, a, b) if len(flats) <= 16 and rng.random() < 0.3 else case_g(ty, pair, flats, a, b))
    for what, count in sorted(traps.items()):
        print(f"trap\t{count}\t{what}", file=sys.stderr)


main()
