"""What the recordings met of the spec: a table of counts.

    HELVE_DEFINITIONS=/path/to/definitions.py python3 coverage.py FILE.. > COVERAGE.md

The files are what programs.py and values.py wrote to stderr. A trap is named by the function
of the spec's file that it stands in and its place among those of that function; a row of the
second table is a built-in and one state of what it is done to.
"""

import collections
import os
import re
import sys

ENOUGH = 100
WHY = {
    "store_probably_utf16_to_latin1_or_utf16 3": "needs a tagged string of Latin-1 alone whose second buffer is outside",
    "resource.rep: borrow: lent": "in the model alone: what a guest defines it borrows as a representation, without a handle",
}


def sites(path):
    """Every trap of the spec's file: its line, its function, its place in there."""
    function, seen = "", collections.Counter()
    for number, line in enumerate(open(path), 1):
        if found := re.match(r"\s*def (\w+)", line):
            function, owner = found[1], line
        if re.search(r"\btrap_if\(", line) and function != "trap_if":
            seen[function, owner] += 1
            yield number, function, seen[function, owner]


def main():
    traps, states = collections.Counter(), collections.Counter()
    for path in sys.argv[1:]:
        for line in open(path):
            words = line.rstrip("\n").split("\t")
            if len(words) != 3:
                continue
            kind, count, what = words
            if kind == "trap":
                traps[int(what.rsplit(":", 1)[1])] += int(count)
            elif not what.startswith("left"):
                states[what] += int(count)
    rows = [(f"{function} {place}", traps[line]) for line, function, place in sites(os.environ["HELVE_DEFINITIONS"])]
    few = [name for name, count in rows if count < ENOUGH]
    rare = [name for name, count in states.items() if count < ENOUGH]
    print("# What the recordings met\n")
    print("Written by `coverage.py` from the counts of one set of long recordings.\n")
    print(f"{len(rows) - len(few)} of {len(rows)} traps and {len(states) - len(rare)} of {len(states)} states at least {ENOUGH} times.\n")
    below = [f"`{name}`" for name in few + rare]
    print("Less often: " + (", ".join(below) or "none") + ".\n")
    print("| trap | times |\n| --- | --- |")
    for name, count in rows:
        print(f"| {name} | {count}{': ' + WHY[name] if count < ENOUGH and name in WHY else ''} |")
    print("\n| built-in: state | times |\n| --- | --- |")
    for name, count in sorted(states.items()):
        print(f"| {name} | {count}{': ' + WHY[name] if count < ENOUGH and name in WHY else ''} |")


main()
