#!/usr/bin/env python3
"""What other programs rely on of `sidecarctl plan`: exit codes, the keys of its JSON and their
types, --held, --allowed. Usage: plan_contract.py SIDECARCTL"""
import json
import os
import subprocess
import sys
import tempfile

SIDECARCTL = sys.argv[1]
SIXTEEN = "synthetic:pack:2 numa:2 core:2 pu:2"
FAULTS = []

TEXT, COUNT, FLAG, SPAN = str, int, bool, (int, float)
PLAN = {"generation": COUNT, "optimal": FLAG, "bound": (int, float, type(None)),
        "duration_us": SPAN, "machine": dict, "housekeeping": dict, "workloads": list,
        "unplaced": list}
MACHINE = {"n_pu": COUNT, "n_core": COUNT, "n_numa": COUNT, "pus": TEXT}
WORKLOAD = {"name": TEXT, "role": TEXT, "pool": TEXT, "exclusive": FLAG, "placed": FLAG,
            "cpus": TEXT, "n_pu": COUNT, "n_core": COUNT, "nodes": TEXT, "mems": TEXT,
            "quota_mcpu": (int, type(None)), "parallelism": dict, "limited_by": TEXT}
PARALLELISM = {"floor": COUNT, "ceil": COUNT, "advised": COUNT}
UNPLACED = {"name": TEXT, "reason": TEXT}


def check(holds, what):
    if not holds:
        FAULTS.append(what)


def has_keys(value, keys, what):
    for key, kind in keys.items():
        found = value.get(key, "absent")
        # bool is an int in this language, and not in that one
        right = isinstance(found, kind) and (kind is FLAG or not isinstance(found, bool))
        check(right, f"{what}: {key} is {found!r}")


def pus_of(text):
    pus = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        pus.update(range(int(first), int(last or first) + 1))
    return pus


def conf(directory, files):
    os.makedirs(os.path.join(directory, "workloads.d"), exist_ok=True)
    for name, text in files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)
    return directory


def run(*arguments):
    """Exit code, standard output, standard error."""
    done = subprocess.run([SIDECARCTL, "plan", *arguments], capture_output=True, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def plan(code, *arguments):
    """The plan as JSON; @code is what it has to exit with."""
    got, out, err = run("--json", *arguments)
    check(got == code, f"{arguments}: exit {got}, expected {code}: {err}")
    try:
        return json.loads(out)
    except ValueError:
        check(False, f"{arguments}: no JSON: {out[:200]}")
        return {}


def workload(minimum, most=None, more=""):
    return f"[CPU]\nMin={minimum}\nMax={most or minimum}\nExclusive=yes\n{more}"


def keys_and_sums(directory):
    files = {"workloads.d/a.conf": workload(4), "workloads.d/b.conf": workload(3),
             "workloads.d/c.conf": "[CPU]\nMin=1\nQuota=1.5\n"}
    got = plan(0, "--machine", SIXTEEN, "--conf", conf(directory, files))
    has_keys(got, PLAN, "plan")
    has_keys(got.get("machine", {}), MACHINE, "machine")
    check(got.get("machine", {}).get("pus") == "0-15", "machine: pus")
    check(got.get("generation") == 1, "the first plan is not generation 1")
    check(isinstance(got.get("housekeeping", {}).get("cpus"), str), "housekeeping: cpus")
    check([w.get("name") for w in got.get("workloads", [])] == ["a", "b", "c"], "order of names")
    owned = []
    for one in got.get("workloads", []):
        name = one.get("name")
        has_keys(one, WORKLOAD, name)
        has_keys(one.get("parallelism", {}), PARALLELISM, name)
        check(len(pus_of(one.get("cpus", ""))) == one.get("n_pu"), f"{name}: n_pu")
        if one.get("exclusive"):
            owned.extend(pus_of(one["cpus"]))
    check(len(owned) == 7 and len(set(owned)) == 7, f"exclusive PUs: {owned}")
    check(not set(owned) & pus_of(got.get("housekeeping", {}).get("cpus", "")), "housekeeping")
    last = (got.get("workloads") or [{}])[-1]
    check(last.get("quota_mcpu") == 1500, "quota_mcpu of Quota=1.5")
    check(got.get("unplaced") == [], "unplaced is not empty")
    return got


def unplaced(directory):
    files = {"workloads.d/a.conf": workload(4),
             "workloads.d/z.conf": workload(9, more="[NUMA]\nPolicy=single\n")}
    got = plan(1, "--machine", SIXTEEN, "--conf", conf(directory, files))
    check([one.get("name") for one in got.get("unplaced", [])] == ["z"], "unplaced: names")
    for one in got.get("unplaced", []):
        has_keys(one, UNPLACED, "unplaced")
        check("9 PUs" in one.get("reason", ""), f"unplaced: reason {one.get('reason')!r}")
    first = (got.get("workloads") or [{}])[0]
    check(first.get("placed") is True and first.get("n_pu") == 4, "the other one is placed")
    code, out, _ = run("--machine", SIXTEEN, "--conf", directory)
    check(code == 1 and "not placed" in out, "the table of what is not placed")


def allowed(directory):
    files = {"workloads.d/a.conf": workload(3)}
    conf(directory, files)
    got = plan(0, "--machine", SIXTEEN, "--conf", directory, "--allowed", "9-14")
    one = (got.get("workloads") or [{}])[0]
    check(one.get("n_pu") == 3 and pus_of(one.get("cpus", "")) <= set(range(9, 15)),
          f"--allowed: {one.get('cpus')}")
    check(pus_of(got.get("housekeeping", {}).get("cpus", "")) <= set(range(9, 15)),
          "--allowed: housekeeping")


def held(directory):
    files = {"workloads.d/m.conf": workload(4)}
    conf(directory, files)
    anew = plan(0, "--machine", SIXTEEN, "--conf", directory)
    home = pus_of((anew.get("workloads") or [{}])[0].get("cpus", ""))
    # Another node than it would choose, and as good.
    other = "12-15" if not home & set(range(12, 16)) else "8-11"
    path = os.path.join(directory, "held.json")
    before = {"generation": 41, "workloads": [{"name": "m", "placed": True, "cpus": other}]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(before, file)
    arguments = ["--machine", SIXTEEN, "--conf", directory, "--held", path]
    got = plan(0, *arguments)
    check((got.get("workloads") or [{}])[0].get("cpus") == other, "--held: it was moved")
    check(got.get("generation") == 42, f"--held: generation {got.get('generation')}")
    # One's own output is what the next one takes.
    with open(path, "w", encoding="utf-8") as file:
        json.dump(got, file)
    again = plan(0, *arguments)
    check(again.get("workloads") == got.get("workloads"), "--held: its own plan is not kept")
    for text in ("{", "[]", '{"workloads": 3}', ""):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        refused(f"--held with {text!r}", *arguments)


def refused(what, *arguments):
    """Exit 2, a reason, and nothing that could be taken for a plan."""
    for more in ((), ("--json",)):
        code, out, err = run(*arguments, *more)
        check(code == 2, f"{what}: exit {code}, expected 2")
        check(out == "", f"{what}: prints {out[:80]!r}")
        check(err.strip() != "", f"{what}: no reason")


def faults(directory):
    good = conf(os.path.join(directory, "good"), {"workloads.d/a.conf": workload(1)})
    bad = conf(os.path.join(directory, "bad"), {"workloads.d/a.conf": "[CPU]\nMin=none\n"})
    high = conf(os.path.join(directory, "high"), {"workloads.d/a.conf": workload(4, 2)})
    nodes = conf(os.path.join(directory, "nodes"),
                 {"workloads.d/a.conf": workload(1, more="[NUMA]\nNodes=7\n")})
    refused("no such option", "--no-such-option")
    refused("a word too many", "--machine", SIXTEEN, "--conf", good, "word")
    refused("no such machine", "--machine", os.path.join(directory, "nowhere"), "--conf", good)
    refused("a machine in no format", "--machine", "synthetic:pack:", "--conf", good)
    refused("no such configuration", "--machine", SIXTEEN, "--conf",
            os.path.join(directory, "nowhere"))
    refused("a value that is none", "--machine", SIXTEEN, "--conf", bad)
    refused("Min above Max", "--machine", SIXTEEN, "--conf", high)
    refused("nodes that are not there", "--machine", SIXTEEN, "--conf", nodes)
    for text in ("", "x", "3-1", "99-120"):
        refused(f"--allowed {text!r}", "--machine", SIXTEEN, "--conf", good, "--allowed", text)
    refused("no file for --held", "--machine", SIXTEEN, "--conf", good, "--held",
            os.path.join(directory, "nowhere"))
    _, _, err = run("--machine", SIXTEEN, "--conf", bad)
    check("a.conf:2:" in err and "'none'" in err, f"no file, line and value: {err!r}")


def same_twice(directory):
    files = {f"workloads.d/w{i}.conf": workload(1 + i % 3) for i in range(5)}
    conf(directory, files)
    first = plan(0, "--machine", SIXTEEN, "--conf", directory)
    second = plan(0, "--machine", SIXTEEN, "--conf", directory)
    for one in (first, second):
        one.pop("duration_us", None)
    check(first == second, "equal input, two plans")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        for number, test in enumerate((keys_and_sums, unplaced, allowed, held, faults, same_twice)):
            test(os.path.join(scratch, str(number)))
    for fault in FAULTS:
        print(fault, file=sys.stderr)
    return 1 if FAULTS else 0


sys.exit(main())
