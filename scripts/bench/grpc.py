#!/usr/bin/env python3
"""gRPC beside Martlet's other transports, in one run: server on two cores, load on the others, all in turn in each round, medians.

The table goes to standard output and .build-bench/grpc.md, every single run to .build-bench/grpc.json. Takes about three
minutes a round; --rounds 1 --quick shows within one that it works.
"""
import re
import sys
import urllib.request
from pathlib import Path

from comparison import DELIVERY, Bench, Case, Failure, arguments, spread, table

NAMES = {
    "grpc": "gRPC", "grpc100": "gRPC, 100 streams on each connection", "ws": "WebSocket", "sse": "SSE",
    "sseLate": "SSE, acked every 30 s as RAMEN's clients do",
}
OPTIONS = {
    "grpc": ["--transport", "grpc"], "grpc100": ["--transport", "grpc", "--streams", "100"], "ws": ["--transport", "ws"],
    "sse": ["--transport", "sse"], "sseLate": ["--transport", "sse", "--ack-every", "30", "--devices", "8"],
}


class GRPCBench(Bench):
    def once(self, case, transport):
        """Of a server that was started afresh."""
        port, grpc = self.free_port(), self.free_port()
        folder = self.folder("grpc")
        command = [self.options.martlet, "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--grpc-listen", f"127.0.0.1:{grpc}",
                   "--durability", "full", "--data", f"{folder}/data", "--drain-seconds", "1"]
        with self.serving(command, grpc, folder):
            if case.scenario == "round-trips":
                return self.round_trips(port, grpc, *case.arguments)
            return self.load(
                case.scenario, "--url", f"http://127.0.0.1:{port}", "--grpc", f"127.0.0.1:{grpc}", *case.arguments, *OPTIONS[transport])

    def round_trips(self, port, grpc, *arguments):
        """What heartbeats of grpcio's sessions leave in martlet_session_rtt_seconds."""
        done = self.run(sys.executable, Path(__file__).with_name("clients") / "rtt.py", f"127.0.0.1:{grpc}", *arguments)
        if done.returncode != 0:
            raise Failure(f"rtt.py: {done.stderr.strip() or f'ended with {done.returncode}'}")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(r'^martlet_session_rtt_seconds_bucket\{transport="grpc",le="([^"]+)"\} (\d+)$', text, re.M)
        buckets = [(float(bound), int(count)) for bound, count in found]
        count = buckets[-1][1]
        within = lambda share: next(bound for bound, below in buckets if below >= count * share) * 1_000
        return {"count": count, "p50Ms": within(0.5), "p99Ms": within(0.99), "buckets": buckets, "faults": []}


def cases(options):
    """What is measured."""
    quick = options.quick
    seconds = 2 if quick else 5
    delivery = [figure for figure in DELIVERY if figure[0] not in ("deliveriesPerSecond", "lateMs")]
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
    streams = ("grpc", "grpc100", "ws", "sse")
    yield Case("delivered", "from publish to delivered, as GET /v1/messages/{id} shows it, 4 devices", "delivered",
               ["--seconds", seconds], ("grpc", "ws", "sse"), delivered)
    if not quick:
        yield Case("late", "the same for SSE with late acks, 8 devices", "delivered", ["--seconds", 31], ("sseLate",), delivered)
    yield Case("broadcast", "broadcast of a topic to 1,000 subscribers, 30 messages a second", "fan-out",
               ["--subscribers", 1_000, "--rate", 30, "--seconds", seconds], streams, delivery)
    yield Case("inbox", f"inboxes of 100 devices with {200 if quick else 2_000:,} messages each, every one acked (SSE: none)", "backlog",
               ["--devices", 100, "--messages", 200 if quick else 2_000], streams, backlog)
    yield Case("rtt", "round trip of a session in martlet_session_rtt_seconds: 10 sessions of grpcio, heartbeats of 1 s", "round-trips",
               ["--seconds", 3 if quick else 20], ("grpc",), [
                   ("p50Ms", "bucket of the p50: at most, ms", "{:.2f}"), ("p99Ms", "of the p99: at most, ms", "{:.2f}"),
                   ("count", "round trips", "{:,.0f}")])
    yield Case("idle", f"{options.connections:,} idle streams with one topic each", "idle",
               ["--connections", options.connections, "--seconds", 3], streams, idle)


def main():
    options = arguments(__doc__, ["delivered", "late", "broadcast", "inbox", "rtt", "idle"], connections=10_000).parse_args()
    bench = GRPCBench(options)
    todo = bench.chosen(cases(options))
    with bench.measuring():
        bench.rounds(todo)

    lines = [bench.summary(), ""]
    for case in todo:
        rows = [[name, *(spread(runs, key, form) for runs in case.runs.values())] for key, name, form in case.figures]
        rows += [[f"fault of {NAMES[name]}", fault] for name, runs in case.runs.items() for run in runs for fault in run["faults"]]
        lines += table(case.title, ["", *(NAMES[name] for name in case.columns)], rows)
    return bench.report("grpc", lines, cases={case.title: case.runs for case in todo})


if __name__ == "__main__":
    sys.exit(main())
