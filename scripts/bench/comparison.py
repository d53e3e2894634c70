"""What the comparisons of servers share: each is started afresh on two cores, load comes from the others, all in turn in each round, medians."""
import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

OUT = Path(".build-bench")

# Figures are a key of what `martlet bench --json` prints, what the table says, and how numbers are written.
DELIVERY = [
    ("serverCpuUs", "server CPU, µs per delivery", "{:.2f}"),
    ("serverUserUs", "of it own code", "{:.2f}"),
    ("latencyP50Ms", "latency p50, ms", "{:.2f}"),
    ("latencyP99Ms", "latency p99, ms", "{:.1f}"),
    ("deliveriesPerSecond", "deliveries a second", "{:,.0f}"),
    ("lost", "lost", "{:,.0f}"),
    ("duplicates", "twice", "{:,.0f}"),
    ("lateMs", "load late by at most, ms", "{:.1f}"),
]


class Failure(Exception):
    pass


@dataclass
class Case:
    """One scenario with its options, for each column of its table: the first of the figures is shown at each run."""
    part: str
    title: str
    scenario: str
    arguments: list
    columns: tuple
    figures: list
    more: str = ""  # of the other server's configuration
    runs: dict = field(init=False)

    def __post_init__(self):
        self.runs = {name: [] for name in self.columns}

    def kept(self):
        medians = {name: {key: median(runs, key) for key, _, _ in self.figures} for name, runs in self.runs.items()}
        return {"title": self.title, "runs": self.runs, "median": medians}


class Bench:
    """Subclasses say what `once(case, name)` measures."""

    def __init__(self, options):
        self.options = options
        OUT.mkdir(exist_ok=True)
        cores = sorted(os.sched_getaffinity(0))
        pinned = len(cores) >= 4
        self.server_cores = cores[:2] if pinned else cores
        self.load_cores = cores[2:] if pinned else cores
        self.failed = False
        listed = lambda numbers: ",".join(map(str, numbers))
        self.about = {
            "cpu": cpu_model(), "cores": os.cpu_count(), "serverCores": listed(self.server_cores), "loadCores": listed(self.load_cores),
            "martlet": subprocess.run([options.martlet, "version"], capture_output=True, text=True).stdout.strip(),
        }

    # Servers

    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def folder(self, name):
        """An empty one for a server; what it prints goes to its file `log`."""
        folder = (OUT / name).absolute()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def serving(self, command, port, folder):
        """From when it listens on the port on; then it is ended at once: there is nothing to keep."""
        with open(folder / "log", "ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=lambda: os.sched_setaffinity(0, self.server_cores))
        try:
            self.wait(process, port, folder)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait(self, process, port, folder):
        deadline = time.monotonic() + 20
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"{process.args[0]} did not start: see {folder}") from None
                time.sleep(0.05)

    # Load

    def run(self, *command):
        """Runs a program on the cores of the load."""
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, self.load_cores))

    def load(self, *arguments):
        """What `martlet bench` found."""
        done = self.run(self.options.martlet, "bench", *arguments, "--json", "--quiet")
        if not done.stdout.strip():
            raise Failure(f"{' '.join(done.args)}: {done.stderr.strip() or f'ended with {done.returncode}'}")
        return json.loads(done.stdout.splitlines()[0])

    # What is done

    def chosen(self, cases):
        return [case for case in cases if not self.options.parts or case.part in self.options.parts]

    @contextmanager
    def measuring(self):
        """What was measured before a failure is reported all the same."""
        self.about["loadAverageBefore"] = os.getloadavg()[0]
        started = time.monotonic()
        try:
            yield
        except Failure as failure:
            print(f"error: {failure}", file=sys.stderr)
            self.failed = True
        self.about["seconds"] = round(time.monotonic() - started, 1)

    def rounds(self, cases, only=None):
        for number in range(1, self.options.rounds + 1):
            for case in cases:
                # The other way round in every second round.
                for name in case.columns if number % 2 else case.columns[::-1]:
                    if only not in (None, name):
                        continue
                    result = self.once(case, name)
                    case.runs[name].append(result)
                    key, label, form = case.figures[0]
                    print(f"round {number} of {self.options.rounds}: {name:9} {case.title}: {label} {shown(result.get(key), form)}"
                          + "".join(f"; {fault}" for fault in result["faults"]), file=sys.stderr)

    # What came of it

    def summary(self, server="server", other=""):
        """The first line; `other`: what beside Martlet is to be told about."""
        about = self.about
        return (f"{about['cpu']}, {about['cores']} cores; {server} on {about['serverCores']}, load on {about['loadCores']}; {about['martlet']}; "
                + (f"{about[other]}; " if other else "")
                + f"medians of {self.options.rounds} runs each, in turn; load average before: {about['loadAverageBefore']:.1f}")

    def report(self, name, lines, **kept):
        """Prints and keeps it.

        Returns what the program ends with.
        """
        text = "\n".join(lines)
        (OUT / f"{name}.md").write_text(text)
        (OUT / f"{name}.json").write_text(json.dumps({"machine": self.about, **kept}, indent=1, ensure_ascii=False) + "\n")
        print(text)
        print(f"took {self.about['seconds']:.0f} s; kept in {OUT}/{name}.md and {OUT}/{name}.json", file=sys.stderr)
        return 1 if self.failed else 0


def arguments(about, parts, connections, **binaries):
    """The command line; `binaries`: the others beside martlet, and what they are."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)

    def part(name):
        if name not in parts:
            parser.error(f"no part is called {name}: {', '.join(parts)}")
        return name

    parser.add_argument("parts", nargs="*", type=part, metavar="PART", help=f"{', '.join(parts)}; all of them if none is named")
    for name, what in {"martlet": "the binary", **binaries}.items():
        parser.add_argument(f"--{name}", required=True, help=what)
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("PEERS_ROUNDS", 3)), help="runs of each case (default: 3)")
    parser.add_argument("--connections", type=int, default=int(os.environ.get("PEERS_CONNECTIONS", connections)),
                        help=f"of the idle cases (default: {connections})")
    parser.add_argument("--quick", action="store_true", help="short runs that only show that it works")
    return parser


def cpu_model():
    return next((line.split(": ", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())


def values(runs, key):
    return [run[key] for run in runs if run.get(key) is not None]


def median(runs, key):
    found = values(runs, key)
    return statistics.median(found) if found else None


def shown(value, form):
    return "–" if value is None else form.format(value)


def spread(runs, key, form):
    """The median, and what lies around it."""
    found = values(runs, key)
    text = shown(median(runs, key), form)
    if not found or (least := shown(min(found), form)) == (most := shown(max(found), form)):
        return text
    return f"{text} ({least} – {most})"


def ratio(runs, key):
    """Martlet's median to that of the other."""
    ours, theirs = (median(of, key) for of in runs.values())
    return "–" if ours is None or not theirs else f"{ours / theirs:.2f}"


def table(title, head, rows):
    """Lines of Markdown."""
    line = lambda cells: "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
    return [f"**{title[0].upper()}{title[1:]}**", "", line(head), "|---" * len(head) + "|", *map(line, rows), ""]
