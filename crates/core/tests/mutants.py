#!/usr/bin/env python3
"""Mutation testing of the rules: does some test fail when the code says something else?

`cargo mutants` lists small changes ("replace < with <= in State::judge"). Building and testing each by itself takes most
of a day. This puts all of them into one build: a copy of the crate in which every function that can be changed begins with
a choice among its changed bodies, made by an environment variable. So a mutant costs a run of the tests, not a build.

What cannot be chosen at run time (constants, functions that constants are made with) is counted as not run;
`--constants` gives each of those a build of its own. The copies are made in target/mutants; the source is not touched.

Python's standard library, cargo and cargo-mutants (27) are all it needs.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

ROOT = pathlib.Path(__file__).resolve().parents[3]
WORK = ROOT / "target" / "mutants"
TREE = WORK / "tree"
# The copy for what needs a build of its own, and what is built of it.
ONE = WORK / "one"
ONE_BUILD = WORK / "one-build"
RESULTS = WORK / "results.json"

# The judges in the order in which they are asked.
JUDGES = ["rules", "lib", "golden", "pool_records", "replay_pools", "replay", "sim"]
# The rules in two halves: the scripts about pools are the likeliest to notice a mutant of pools, the others any other.
POOLS, OTHERS = ("pools",), ("--skip", "pools")
# A judge may use so many times what it uses without a mutant, and no less than so many seconds: of processor time, not of the
# clock's, since the machine may be busy; and so much memory.
CPU_TIMES, CPU_S_MIN = 10, 4
MEMORY_BYTES = 6 << 30
# A judge that waits for ever uses no processor time. Counted in seconds of the clock in which this script ran too: one who
# pauses all of it (SIGSTOP to the group, while something is measured) stops no mutant.
AWAKE_S = 600

# A choice at run time is nothing for a `const fn`: in the copy they are plain functions, but for those that constants need.
CONST_FN = re.compile(r"\bconst fn (\w+)")
# Nor for a type that only its one body names: in the copy it is any iterator.
ITERATOR = re.compile(r"-> impl (Iterator<.+>)(?: \+ '_)? $")

# cargo-mutants writes `::std` into its changes, which a crate without it would not compile.
CHOICE = """
extern crate std;

/// The mutant that is on, from the environment; for mutation testing only.
pub(crate) mod mutant {
    use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::{io, panic, process, thread};
    static ON: AtomicU32 = AtomicU32::new(u32::MAX);
    pub(crate) fn on() -> u32 {
        match ON.load(Relaxed) {
            u32::MAX => {
                let on = std::env::var("MUTANT").ok().and_then(|id| id.parse().ok()).unwrap_or(0);
                ON.store(on, Relaxed);
                if on > 0 {
                    // The first test that fails is enough. Its name is written past what the tests keep of their output.
                    panic::set_hook(std::boxed::Box::new(|_| {
                        let name = std::string::String::from(thread::current().name().unwrap_or("a thread"));
                        let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("\\n@{name}\\n"));
                        process::exit(101)
                    }));
                }
                on
            }
            on => on,
        }
    }
}
"""


def environment(target=WORK / "build"):
    env = dict(os.environ)
    env.update(
        CARGO_TARGET_DIR=str(target),
        CARGO_PROFILE_DEV_DEBUG="0",
        CARGO_INCREMENTAL="0",
        CARGO_TERM_COLOR="never",
        RUSTFLAGS="--cap-lints allow",
        RUST_BACKTRACE="0",
        # The same histories every time; a failure is enough, its smallest form is not asked for.
        PROPTEST_RNG_SEED="1",
        PROPTEST_MAX_SHRINK_ITERS="0",
        PROPTEST_DISABLE_FAILURE_PERSISTENCE="1",
    )
    return env


def list_mutants(files):
    args = ["cargo", "mutants", "--package", "tidegate-core", "--list", "--json"]
    for file in files:
        args += ["--file", file]
    listed = json.loads(subprocess.run(args, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    texts = {}
    for index, mutant in enumerate(listed):
        mutant["id"] = index + 1
        if mutant["file"] not in texts:
            texts[mutant["file"]] = (ROOT / mutant["file"]).read_text().splitlines(keepends=True)
        span = (mutant.get("function") or mutant)["span"]
        of = "".join(texts[mutant["file"]][span["start"]["line"] - 1 : span["end"]["line"]])
        # A name is a line, a column and a change, which another function's mutant may have after an edit.
        mutant["of"] = hashlib.sha256((of + mutant["diff"]).encode()).hexdigest()[:16]
    return listed


def offset(lines, place):
    """Where a line and column, from one, are in the text that was split into these lines."""
    return sum(len(line) for line in lines[: place["line"] - 1]) + place["column"] - 1


def changed(lines, diff):
    """The text after a diff of one hunk."""
    head, *hunk = re.split(r"(?m)^(?=@@)", diff)[-1].splitlines(keepends=True)
    start, count = re.match(r"@@ -(\d+)(?:,(\d+))?", head).groups()
    start, count = int(start) - 1, int(count or 1)
    after = [line[1:] for line in hunk if line[0] in " +"]
    assert [line[1:] for line in hunk if line[0] in " -"] == lines[start : start + count], diff
    return "".join(lines[:start] + after + lines[start + count :])


def body_start(text, start, end):
    """Where a function's body begins: the first brace outside of parentheses and brackets."""
    depth, at = 0, start
    while at < end:
        if text.startswith("//", at):
            at = text.index("\n", at)
        elif text[at] in "([":
            depth += 1
        elif text[at] in ")]":
            depth -= 1
        elif text[at] == "{" and depth == 0:
            return at
        at += 1
    raise ValueError(text[start:end])


class File:
    """A source file, the functions in it that mutants change, and which mutants those are."""

    def __init__(self, path, mutants):
        self.path = path
        self.text = (ROOT / path).read_text()
        self.lines = self.text.splitlines(keepends=True)
        self.functions = {}
        # What no choice at run time can be made of.
        self.fixed = []
        spans = sorted({self.span(m) for m in mutants if m.get("function")})
        # A function within a function is changed as part of the outer one.
        outer = [s for s in spans if not any(o[0] <= s[0] and s[1] <= o[1] and o != s for o in spans)]
        for mutant in mutants:
            span = mutant.get("function") and self.span(mutant)
            span = span and next(o for o in outer if o[0] <= span[0] and span[1] <= o[1])
            if not span:
                self.fixed.append(mutant)
                continue
            body = body_start(self.text, self.text.index("fn ", span[0]), span[1])
            signature = self.text[span[0] : body]
            at = offset(self.lines, mutant["span"]["start"])
            if "-> impl" in signature and not ITERATOR.search(signature) or at < body:
                self.fixed.append(mutant)
            else:
                const = CONST_FN.search(signature)
                self.functions.setdefault((body, span[1], const and const[1]), []).append(mutant)

    def span(self, mutant):
        span = mutant["function"]["span"]
        return offset(self.lines, span["start"]), offset(self.lines, span["end"])

    def not_run(self, const):
        """What cannot be chosen at run time, if the functions of these names have to stay constants."""
        return self.fixed + [m for (_, _, name), mutants in self.functions.items() if name in const for m in mutants]

    def mutated(self, unviable, const):
        """The text with all its mutants in but those, and which lines are whose."""
        out, owners, done, line = [], [], 0, 1

        def push(text):
            nonlocal line
            out.append(text)
            line += text.count("\n")

        for (body, end, name), mutants in sorted(self.functions.items(), key=lambda function: function[0][:2]):
            if name in const:
                continue
            before = ITERATOR.sub(r"-> alloc::boxed::Box<dyn \1 + '_> ", self.text[done:body])
            arm = "alloc::boxed::Box::new({})" if before != self.text[done:body] else "{}"
            push(before + "{ match crate::mutant::on() {\n")
            for mutant in mutants:
                if mutant["id"] in unviable:
                    continue
                whole = changed(self.lines, mutant["diff"])
                first = line
                changed_body = whole[body : len(whole) - (len(self.text) - end)]
                push(f"{mutant['id']} => {arm.format(changed_body)},\n")
                owners.append((first, line - 1, mutant["id"]))
            push(f"_ => {arm.format(self.text[body:end])}\n}} }}")
            done = end
        push(self.text[done:])
        return "".join(out), owners


def write(path, text):
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def plain(text, const):
    """The text without its `const fn`s, but for these."""
    return CONST_FN.sub(lambda found: found[0] if found[1] in const else f"fn {found[1]}", text)


def copy_tree(tree, with_core=False):
    """A copy of what is in version control, or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    for name in listed:
        source, target = ROOT / name, tree / name
        if (name.startswith("crates/core/src/") and not with_core) or not source.is_file():
            continue
        data = source.read_bytes()
        if not target.exists() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def put_in(files, unviable):
    """Puts into the copy all mutants that compile; of the others some are known.

    Returns all mutants that do not compile, and all that cannot be chosen.
    """
    copy_tree(TREE)
    # Written only where something is new, so that cargo builds only that.
    source = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "crates/core/src").rglob("*.rs")}
    source[pathlib.Path("crates/core/src/lib.rs")] += CHOICE
    const = set()
    while True:
        owners = {}
        for path in set(source) - {file.path for file in files}:
            write(TREE / path, plain(source[path], const))
        for file in files:
            text, owners[str(file.path)] = file.mutated(unviable, const)
            write(TREE / file.path, plain(text, const))
        found, needed = set(), set()
        command = ["cargo", "check", "--locked", "-p", "tidegate-core", "--message-format=json"]
        done = subprocess.run(command, cwd=TREE, env=environment(), capture_output=True, text=True)
        for line in done.stdout.splitlines():
            message = json.loads(line).get("message") if line.startswith("{") else None
            if not isinstance(message, dict) or message.get("level") != "error":
                continue
            if (message.get("code") or {}).get("code") == "E0015":
                needed.update(re.findall(r"(\w+)(?:::<[^`]*>)?` in constant", message["message"]))
            for span in message["spans"]:
                mine = [o for o in owners.get(span["file_name"], []) if o[0] <= span["line_start"] <= o[1]]
                if span["is_primary"]:
                    found.update(owner[2] for owner in mine)
        if done.returncode == 0:
            break
        if not found | (needed - const):
            sys.exit(f"the copy does not build, and no mutant is to blame:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
        const |= needed
        unviable |= found
        print(f"{len(unviable)} do not compile; constants need {len(const)} functions", flush=True)
    return unviable, {m["id"] for file in files for m in file.not_run(const)}


def build(chosen, tree, env):
    """Builds these judges in this copy; where each is."""
    if chosen == ["sim"]:
        command = ["cargo", "build", "--locked", "-p", "tidegate-sim", "--message-format=json"]
        return {"sim": executables(command, tree, env)["tidegate-sim"]}
    targets = [word for name in chosen for word in (["--lib"] if name == "lib" else ["--test", name])]
    command = ["cargo", "test", "--locked", "-p", "tidegate-core", *targets, "--no-run", "--message-format=json"]
    return executables(command, tree, env)


def executables(command, tree, env):
    done = subprocess.run(command, cwd=tree, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found = {}
    for line in done.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable"):
            target = message["target"]
            found["lib" if target["kind"] == ["lib"] else target["name"]] = message["executable"]
    return found


def run(judge, executable, mutant, seeds, only=(), cpu_s=600):
    """Whether this judge is content with this mutant: `passes`, `fails`, `timeout`, or `signal` (which, is in the second word).

    A signal is told apart: an abort may come from the bound of memory, which is no test that noticed something.
    """

    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 2))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    args = ["--seeds", str(seeds), "--steps", "1500"] if judge == "sim" else ["--test-threads=2", "-q", *only]
    with subprocess.Popen(
        [executable, *args], cwd=TREE / "crates/core", env=environment() | {"MUTANT": str(mutant)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        preexec_fn=limit,
    ) as process:
        out, err = wait(process, AWAKE_S)
    if out is None:
        return "timeout", f"{AWAKE_S} s by the clock"
    if process.returncode == -signal.SIGXCPU:
        return "timeout", f"{cpu_s} s of processor time"
    if process.returncode < 0:
        return "signal", signal.Signals(-process.returncode).name
    if process.returncode == 0:
        return "passes", ""
    failed = re.findall(r"(?m)^@(.+)$", err) or re.findall(r"(?m)^    ([\w:]+)$", out)
    return "fails", failed[0] if failed else (out + err)[-200:]


def wait(process, seconds):
    """What the process says until its end; nothing if it takes longer than so many seconds in which we are awake too."""
    for _ in range(seconds):
        try:
            return process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            pass
    process.kill()
    process.communicate()
    return None, None


def measured(judges, chosen, unused, seeds):
    """Who is asked, in order, with how much processor time each may use: by what it uses if no mutant is on.

    It must be content then, also under the number of no mutant, with which the first panic is the end: else all would be noticed.
    """
    asked = [(name, ()) for name in JUDGES if name in judges and name in chosen and name != "rules"]
    if "rules" in judges and "rules" in chosen:
        asked[:0] = [("rules", POOLS), ("rules", OTHERS)]
    bounds = {}
    for name, only in asked:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for mutant in (0, unused):
            said, why = run(name, judges[name], mutant, seeds, only)
            if said != "passes":
                sys.exit(f"without a mutant, {name} {said}: {why}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used_s = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 2
        bounds[name, only] = max(CPU_S_MIN, math.ceil(CPU_TIMES * used_s))
        print(f"{' '.join((name, *only))} takes {used_s:.1f} s of processor time, and may take {bounds[name, only]}", flush=True)
    return bounds


def judge(judges, bounds, mutant, seeds):
    """What the first judge says that is not content."""
    last = OTHERS if "pool" in mutant["file"] else POOLS
    # A quick answer first: the half of the rules that is less likely to notice something is asked when the short ones have been.
    order = sorted(bounds, key=lambda asked: (JUDGES.index("golden"), 1) if asked[1] == last else (JUDGES.index(asked[0]), 0))
    for name, only in order:
        said, why = run(name, judges[name], mutant["id"], seeds, only, bounds[name, only])
        if said != "passes":
            return mutant, {"fails": "caught"}.get(said, said), name, why
    return mutant, "survived", "", ""


def build_and_judge(mutant, text, bounds):
    """The same for one that has a build of its own, from this text of its file."""
    path = ONE / mutant["file"]
    source = path.read_text()
    write(path, text)
    try:
        env = environment(ONE_BUILD)
        command = ["cargo", "check", "--locked", "-p", "tidegate-core"]
        if subprocess.run(command, cwd=ONE, env=env, capture_output=True).returncode != 0:
            return mutant, "unviable", "", ""
        # No choice is in it, so any number but 0 is "a mutant is on".
        return judge(build(list(dict.fromkeys(name for name, _ in bounds)), ONE, env), bounds, mutant, None)
    finally:
        write(path, source)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="source files (all of the crate if none is named); globs as cargo-mutants has them")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--judges", default=",".join(name for name in JUDGES if name != "sim"), help="which of the tests; all by default")
    parser.add_argument("--survivors", action="store_true", help="only those that survived last time")
    parser.add_argument("--resume", action="store_true", help="only those that have no verdict yet")
    parser.add_argument("--constants", action="store_true", help="only those that need a build of their own")
    parser.add_argument("--sim", type=int, metavar="SEEDS", help="let the simulator judge what survived last time")
    options = parser.parse_args()
    chosen = ["sim"] if options.sim else options.judges.split(",")

    listed = list_mutants(options.files)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    by_file = {}
    for mutant in listed:
        by_file.setdefault(mutant["file"], []).append(mutant)
    files = [File(pathlib.Path(path), mutants) for path, mutants in by_file.items()]
    # What an earlier run has found out, of code that is the same still.
    known_now = {m["name"]: known[m["name"]] for m in listed if known.get(m["name"], {}).get("of") == m["of"]}
    verdict_of = lambda mutant: known_now.get(mutant["name"], {}).get("verdict")
    unviable = {m["id"] for m in listed if verdict_of(m) == "unviable"}
    unviable, not_run = put_in(files, unviable)
    if options.constants:
        copy_tree(ONE, with_core=True)
        judges = build(chosen, ONE, environment(ONE_BUILD))
    else:
        judges = build(chosen, TREE, environment())
    bounds = measured(judges, chosen, len(listed) + 1, options.sim)

    results, wanted = {}, []
    for mutant in listed:
        before = known_now.get(mutant["name"], {"verdict": "not run", "of": mutant["of"]})
        is_known = before["verdict"] != "not run"
        if not options.constants and mutant["id"] in unviable:
            results[mutant["name"]] = {"verdict": "unviable", "of": mutant["of"]}
        elif (mutant["id"] in not_run) != options.constants or options.resume and is_known:
            results[mutant["name"]] = before
        elif (options.survivors or options.sim) and before["verdict"] != "survived":
            results[mutant["name"]] = before
        else:
            wanted.append(mutant)
    print(f"{len(listed)} mutants: {len(not_run)} cannot be chosen, {len(unviable)} do not compile, {len(wanted)} are tried")
    began = time.monotonic()
    if options.constants:
        lines = {str(file.path): file.lines for file in files}
        attempt = lambda mutant: build_and_judge(mutant, changed(lines[mutant["file"]], mutant["diff"]), bounds)
    else:
        attempt = lambda mutant: judge(judges, bounds, mutant, options.sim)
    with ThreadPoolExecutor(1 if options.constants else options.jobs) as pool:
        running = [pool.submit(attempt, mutant) for mutant in wanted]
        for count, done in enumerate(as_completed(running), 1):
            mutant, verdict, name, why = done.result()
            results[mutant["name"]] = {"verdict": verdict, "judge": name, "by": why.strip(), "of": mutant["of"]}
            if verdict == "survived":
                print(mutant["name"], flush=True)
            if count % 50 == 0:
                print(f"-- {count} of {len(wanted)} in {time.monotonic() - began:.0f} s", flush=True)
                RESULTS.write_text(json.dumps(known | results, indent=1))
    # Of the files that were asked for, only what is listed now; of the others, what was known.
    kept = {name: said for name, said in known.items() if name.split(":")[0] not in by_file}
    RESULTS.write_text(json.dumps(kept | results, indent=1))
    summary(results)


def summary(results):
    verdicts = ["caught", "timeout", "signal", "survived", "unviable", "not run"]
    table = {}
    for name, said in results.items():
        row = table.setdefault(name.split(":")[0].removeprefix("crates/core/src/"), dict.fromkeys(verdicts, 0))
        row[said["verdict"]] += 1
    table["all"] = {verdict: sum(row[verdict] for row in table.values()) for verdict in verdicts}
    print("| file | mutants | " + " | ".join(verdicts) + " |\n|---|" + "---:|" * (len(verdicts) + 1))
    for file, row in table.items():
        print(f"| `{file}` | {sum(row.values())} | " + " | ".join(str(row[verdict]) for verdict in verdicts) + " |")


main()
