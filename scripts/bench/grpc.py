#!/usr/bin/env python3
"""gRPC beside Martlet's other transports, in one run: server on two cores, load on the others, all in turn in each round, medians.

The table goes to standard output and .build-bench/grpc.md, every single run to .build-bench/grpc.json. Takes about three
minutes a round; --rounds 1 --quick shows within one that it works.
"""
import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from mqtt import figure
from peers import OUT, Bench, Failure, cpu_model, shown

NAMES = {
    "grpc": "gRPC", "grpc100": "gRPC, 100 streams on each connection", "ws": "WebSocket", "sse": "SSE",
    "sseLate": "SSE, acked every 30 s as RAMEN's clients do",
}
OPTIONS = {
    "grpc": ["--transport", "grpc"], "grpc100": ["--transport", "grpc", "--streams", "100"], "ws": ["--transport", "ws"],
    "sse": ["--transport", "sse"], "sseLate": ["--transport", "sse", "--ack-every", "30", "--devices", "8"],
}


class GRPCBench(Bench):
    def start(self):
        """Starts a server afresh and returns it with its ports."""
        port, grpc = self.free_port(), self.free_port()
        folder = (OUT / "grpc").absolute()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [self.options.martlet, "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--grpc-listen", f"127.0.0.1:{grpc}",
                   "--durability", "full", "--data", f"{folder}/data", "--drain-seconds", "1"]
        with open(folder / "log", "ab") as log:
            process = self.spawn(command, log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", grpc), 1).close()
                return process, port, grpc
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"the server did not start: see {folder}/log") from None
                time.sleep(0.05)

    def round_trips(self, *arguments):
        """What heartbeats of grpcio's sessions leave in martlet_session_rtt_seconds."""
        process, port, grpc = self.start()
        try:
            command = [sys.executable, Path(__file__).with_name("clients") / "rtt.py", f"127.0.0.1:{grpc}", *map(str, arguments)]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, self.load_cores))
            if done.returncode != 0:
                raise Failure(f"rtt.py: {done.stderr.strip() or f'ended with {done.returncode}'}")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            found = re.findall(r'^martlet_session_rtt_seconds_bucket\{transport="grpc",le="([^"]+)"\} (\d+)$', text, re.M)
            buckets = [(float(bound), int(count)) for bound, count in found]
            count = buckets[-1][1]
            within = lambda share: next(bound for bound, below in buckets if below >= count * share) * 1_000
            return {"count": count, "p50Ms": within(0.5), "p99Ms": within(0.99), "buckets": buckets, "faults": []}
        finally:
            self.stop(process)

    def once(self, scenario, transport, *arguments):
        if scenario == "round-trips":
            return self.round_trips(*arguments)
        process, port, grpc = self.start()
        try:
            command = [self.options.martlet, "bench", scenario, "--url", f"http://127.0.0.1:{port}", "--grpc", f"127.0.0.1:{grpc}", "--json",
                       "--quiet", *map(str, arguments), *OPTIONS[transport]]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, self.load_cores))
            if not done.stdout.strip():
                raise Failure(f"{' '.join(command)}: {done.stderr.strip() or f'ended with {done.returncode}'}")
            return json.loads(done.stdout.splitlines()[0])
        finally:
            self.stop(process)


def cases(options):
    """What is measured: a part, a title, the scenario, its options, the transports, and which figures the table shows."""
    quick = options.quick
    seconds = 2 if quick else 5
    delivery = [
        ("serverCpuUs", "server CPU, µs per delivery", "{:.2f}"),
        ("serverUserUs", "of it own code", "{:.2f}"),
        ("latencyP50Ms", "latency p50, ms", "{:.2f}"),
        ("latencyP99Ms", "latency p99, ms", "{:.1f}"),
        ("lost", "lost", "{:,.0f}"),
        ("duplicates", "twice", "{:,.0f}"),
    ]
    delivered = [
        ("deliveredP50Ms", "publish → seen as delivered p50, ms", "{:,.2f}"),
        ("deliveredP99Ms", "p99, ms", "{:,.2f}"),
        ("latencyP50Ms", "publish → received p50, ms", "{:.2f}"),
        ("latencyP99Ms", "p99, ms", "{:.2f}"),
        ("messages", "messages", "{:,.0f}"),
    ]
    backlog = [
        ("serverCpuUs", "server CPU, µs per delivery with its ack", "{:.2f}"),
        ("serverUserUs", "of it own code", "{:.2f}"),
        ("deliveriesPerSecond", "deliveries a second", "{:,.0f}"),
        ("lost", "lost", "{:,.0f}"),
        ("duplicates", "twice", "{:,.0f}"),
    ]
    idle = [
        ("kbPerConnection", "memory, KB per stream (RSS)", "{:.2f}"),
        ("openedPerSecond", "opened a second", "{:,.0f}"),
        ("serverCpuUs", "server CPU, µs per stream that is opened", "{:.1f}"),
    ]
    yield ("delivered", "from publish to delivered, as GET /v1/messages/{id} shows it, 4 devices", "delivered",
           ["--seconds", seconds], ["grpc", "ws", "sse"], delivered)
    if not quick:
        yield ("late", "the same for SSE with late acks, 8 devices", "delivered", ["--seconds", 31], ["sseLate"], delivered)
    yield ("broadcast", "broadcast of a topic to 1,000 subscribers, 30 messages a second", "fan-out",
           ["--subscribers", 1_000, "--rate", 30, "--seconds", seconds], ["grpc", "grpc100", "ws", "sse"], delivery)
    yield ("inbox", f"inboxes of 100 devices with {200 if quick else 2_000:,} messages each, every one acked (SSE: none)", "backlog",
           ["--devices", 100, "--messages", 200 if quick else 2_000], ["grpc", "grpc100", "ws", "sse"], backlog)
    yield ("rtt", "round trip of a session in martlet_session_rtt_seconds: 10 sessions of grpcio, heartbeats of 1 s", "round-trips",
           ["--seconds", 3 if quick else 20], ["grpc"], [
               ("p50Ms", "bucket of the p50: at most, ms", "{:.2f}"), ("p99Ms", "of the p99: at most, ms", "{:.2f}"),
               ("count", "round trips", "{:,.0f}")])
    yield ("idle", f"{options.connections:,} idle streams with one topic each", "idle",
           ["--connections", options.connections, "--seconds", 3], ["grpc", "grpc100", "ws", "sse"], idle)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["delivered", "late", "broadcast", "inbox", "rtt", "idle"]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(names)}; all of them if none is named")
    parser.add_argument("--martlet", required=True, help="the binary")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("PEERS_ROUNDS", 3)), help="runs of each case (default: 3)")
    parser.add_argument("--connections", type=int, default=int(os.environ.get("PEERS_CONNECTIONS", 10_000)), help="of the idle case (default: 10000)")
    parser.add_argument("--quick", action="store_true", help="short runs that only show that it works")
    options = parser.parse_args()
    if wrong := set(options.parts) - set(names):
        parser.error(f"no part is called {', '.join(sorted(wrong))}: {', '.join(names)}")

    OUT.mkdir(exist_ok=True)
    bench = GRPCBench(options)
    cores = lambda numbers: ",".join(map(str, numbers))
    about = {
        "cpu": cpu_model(), "cores": os.cpu_count(), "serverCores": cores(bench.server_cores), "loadCores": cores(bench.load_cores),
        "martlet": subprocess.run([options.martlet, "version"], capture_output=True, text=True).stdout.strip(),
        "loadAverageBefore": os.getloadavg()[0],
    }
    todo = [case for case in cases(options) if not options.parts or case[0] in options.parts]
    results = {title: {transport: [] for transport in transports} for _, title, _, _, transports, _ in todo}
    started = time.monotonic()
    failed = False
    try:
        for round_number in range(1, options.rounds + 1):
            for _, title, scenario, arguments, transports, figures in todo:
                for transport in transports if round_number % 2 else transports[::-1]:
                    result = bench.once(scenario, transport, *arguments)
                    results[title][transport].append(result)
                    key, name, form = figures[0]
                    print(f"round {round_number} of {options.rounds}: {transport:8} {title}: {name} {shown(result.get(key), form)}"
                          + "".join(f"; {fault}" for fault in result["faults"]), file=sys.stderr)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        failed = True
    finally:
        bench.stop_all()

    about["seconds"] = round(time.monotonic() - started, 1)
    lines = [f"{about['cpu']}, {about['cores']} cores; server on {about['serverCores']}, load on {about['loadCores']}; {about['martlet']}; "
             f"medians of {options.rounds} runs each, in turn; load average before: {about['loadAverageBefore']:.1f}", ""]
    for _, title, _, _, transports, figures in todo:
        runs = results[title]
        lines += [f"**{title[0].upper()}{title[1:]}**", "", f"| | {' | '.join(NAMES[name] for name in transports)} |", "|---" * (len(transports) + 1) + "|"]
        for key, name, form in figures:
            lines.append(f"| {name} | {' | '.join(figure(runs[transport], key, form) for transport in transports)} |")
        lines += [f"| fault of {NAMES[name]} | {fault} |" for name in transports for run in runs[name] for fault in run["faults"]]
        lines.append("")
    (OUT / "grpc.md").write_text("\n".join(lines))
    (OUT / "grpc.json").write_text(json.dumps({"machine": about, "cases": results}, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(lines))
    print(f"took {about['seconds']:.0f} s; kept in {OUT}/grpc.md and {OUT}/grpc.json", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
