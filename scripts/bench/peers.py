#!/usr/bin/env python3
"""Martlet beside nchan, in one run: server on two cores, load on the others, both in turn in each round, medians.

The table goes to standard output and .build-bench/peers.md, every single run to .build-bench/peers.json. Takes about
ten minutes; --rounds 1 --quick shows within two that it works.
"""
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
from pathlib import Path

OUT = Path(".build-bench")

# nginx.conf: two workers, as there are cores; no history on either side.
NCHAN = """load_module {module};
daemon off;
master_process on;
{user}worker_processes {workers};
worker_rlimit_nofile {files};
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    nchan_shared_memory_size 1024M;
    server {{
        listen 127.0.0.1:{port} backlog=4096 reuseport;
        location ~ ^/sub/(.+)$ {{
            nchan_subscriber eventsource websocket;
            nchan_channel_id $1;
            nchan_message_buffer_length 0;
            nchan_subscriber_first_message newest;
        }}
        location ~ ^/pub/(.+)$ {{
            nchan_publisher;
            nchan_channel_id $1;
            nchan_message_buffer_length 0;
        }}
    }}
}}
"""


class Failure(Exception):
    pass


class Bench:
    def __init__(self, options):
        self.options = options
        cores = sorted(os.sched_getaffinity(0))
        pinned = len(cores) >= 4
        self.server_cores = cores[:2] if pinned else cores
        self.load_cores = cores[2:] if pinned else cores
        self.files = os.sysconf("SC_OPEN_MAX")
        self.children = []

    # Servers

    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def spawn(self, command, log):
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=lambda: os.sched_setaffinity(0, self.server_cores))
        self.children.append(process)
        return process

    def start(self, server):
        """Starts a server afresh and returns it with its port."""
        port = self.free_port()
        folder = (OUT / server).absolute()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        log = open(OUT / f"{server}.log", "ab")
        if server == "martlet":
            command = [self.options.martlet, "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--data", f"{folder}/data", "--drain-seconds", "1"]
        else:
            (folder / "nginx.conf").write_text(NCHAN.format(
                module=self.options.nchan, user="user root;\n" if os.geteuid() == 0 else "", workers=len(self.server_cores),
                files=self.files, connections=self.files - 100, folder=folder, port=port))
            command = ["/usr/sbin/nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]
        process = self.spawn(command, log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"{server} did not start: see {OUT}/{server}.log and {folder}") from None
                time.sleep(0.05)
        if server == "nchan":
            time.sleep(0.3)  # both workers listen, not only the first
        return process, port

    def stop(self, process):
        """Ends it at once: there is nothing to keep."""
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.children.remove(process)

    def stop_all(self):
        for process in list(self.children):
            self.stop(process)

    # Load

    def load(self, port, server, scenario, *arguments):
        command = [self.options.martlet, "bench", scenario, "--url", f"http://127.0.0.1:{port}", "--json", "--quiet", *map(str, arguments)]
        if server == "nchan":
            command += ["--subscribe-path", "/sub/{topic}", "--publish-path", "/pub/{topic}"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, self.load_cores))
        if not done.stdout.strip():
            raise Failure(f"{' '.join(command)}: {done.stderr.strip() or f'ended with {done.returncode}'}")
        return json.loads(done.stdout.splitlines()[0])

    def once(self, server, scenario, *arguments):
        process, port = self.start(server)
        try:
            return self.load(port, server, scenario, *arguments)
        finally:
            self.stop(process)


def cases(options):
    """What is measured: a name, the scenario and its options, and which figures the table shows."""
    many = options.connections
    wide = min(10_000, many)
    seconds = 2 if options.quick else 5
    delivery = [
        ("serverCpuUs", "server CPU, µs per delivery", "{:.2f}"),
        ("serverUserUs", "of it own code", "{:.2f}"),
        ("latencyP50Ms", "latency p50, ms", "{:.2f}"),
        ("latencyP99Ms", "latency p99, ms", "{:.1f}"),
        ("deliveriesPerSecond", "deliveries a second", "{:,.0f}"),
        ("lost", "lost", "{:,.0f}"),
        ("duplicates", "twice", "{:,.0f}"),
        ("lateMs", "load late by at most, ms", "{:.1f}"),
    ]
    idle = [
        ("kbPerConnection", "memory, KB per connection (RSS)", "{:.2f}"),
        ("pssKbPerConnection", "with shared pages split (PSS)", "{:.2f}"),
        ("openedPerSecond", "accepted a second", "{:,.0f}"),
        ("serverCores", "cores that the server used for it", "{:.2f}"),
        ("serverCpuUs", "server CPU, µs per connection", "{:.1f}"),
    ]
    for subscribers, rate in ((1_000, 100), (wide, 10)):
        for transport, name in (("sse", "SSE"), ("ws", "WebSocket")):
            yield ("broadcast", f"broadcast to {subscribers:,} {name} subscribers, {rate} messages a second", "fan-out",
                   ["--subscribers", subscribers, "--rate", rate, "--transport", transport, "--seconds", seconds], delivery)
    yield ("unicast", f"unicast over {wide:,} topics with one SSE subscriber each, 10,000 messages a second", "unicast",
           ["--topics", wide, "--rate", 10_000, "--seconds", seconds], delivery)
    for transport, name in (("sse", "SSE"), ("ws", "WebSocket")):
        yield ("idle", f"{many:,} idle {name} connections with one topic each", "idle",
               ["--connections", many, "--transport", transport, "--seconds", 3], idle)


def median(runs, key):
    values = [run[key] for run in runs if run.get(key) is not None]
    return statistics.median(values) if values else None


def shown(value, form):
    return "–" if value is None else form.format(value)


def versus(martlet, nchan):
    if martlet is None or not nchan:
        return "–"
    return f"{martlet / nchan:.2f}"


def peers(bench, options, lines, kept):
    todo = [case for case in cases(options) if not options.parts or case[0] in options.parts]
    results = {title: {"martlet": [], "nchan": []} for _, title, _, _, _ in todo}
    for round_number in range(1, options.rounds + 1):
        for _, title, scenario, arguments, figures in todo:
            # The other one first in every second round.
            for server in ("martlet", "nchan") if round_number % 2 else ("nchan", "martlet"):
                result = bench.once(server, scenario, *arguments)
                results[title][server].append(result)
                key, name, form = figures[0]
                print(f"round {round_number} of {options.rounds}: {server:8} {title}: {name} {shown(result.get(key), form)}"
                      + "".join(f"; {fault}" for fault in result["faults"]), file=sys.stderr)
    for _, title, _, _, figures in todo:
        runs = results[title]
        lines += [f"**{title[0].upper()}{title[1:]}**", "", "| | Martlet | nchan | Martlet : nchan |", "|---|---|---|---|"]
        for key, name, form in figures:
            ours, theirs = median(runs["martlet"], key), median(runs["nchan"], key)
            lines.append(f"| {name} | {shown(ours, form)} | {shown(theirs, form)} | {versus(ours, theirs)} |")
        lines.append("")
        kept.append({"title": title, "runs": runs, "median": {
            server: {key: median(runs[server], key) for key, _, _ in figures} for server in runs}})


def alone(bench, options, lines, kept):
    """What nchan has no counterpart to."""
    quick = options.quick
    wide = min(15_000, options.connections)
    todo = [
        ("storm", "storm", ["--connections", 2_000 if quick else wide]),
        ("stalled", "stalled", ["--seconds", 3 if quick else 15, "--stall-seconds", 5 if quick else 60]),
        ("backlog", "backlog", ["--messages", 10_000 if quick else 100_000]),
        ("backlog", "backlog", ["--messages", 10_000 if quick else 100_000, "--transport", "ws"]),
    ]
    for part, scenario, arguments in todo:
        if options.parts and part not in options.parts:
            continue
        result = bench.once("martlet", scenario, *arguments)
        print(f"{result['title']}" + "".join(f"; {fault}" for fault in result["faults"]), file=sys.stderr)
        lines += [f"**{result['title'][0].upper()}{result['title'][1:]}**", "", "| | |", "|---|---|"]
        lines += [f"| {label} | {text} |" for label, text in result["table"].items()]
        lines += [f"| fault | {fault} |" for fault in result["faults"]]
        lines.append("")
        kept.append(result)


def cpu_model():
    return next((line.split(": ", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())


def machine(bench):
    cores = lambda numbers: ",".join(map(str, numbers))
    nginx = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.strip().removeprefix("nginx version: ")
    version = subprocess.run([bench.options.martlet, "version"], capture_output=True, text=True).stdout.strip()
    return {
        "cpu": cpu_model(), "cores": os.cpu_count(), "serverCores": cores(bench.server_cores), "loadCores": cores(bench.load_cores),
        "martlet": version, "nchan": f"{nginx} with libnginx-mod-nchan, {len(bench.server_cores)} workers",
        "loadAverageBefore": os.getloadavg()[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="broadcast, unicast, idle, storm, stalled, backlog; all of them if none is named")
    parser.add_argument("--martlet", required=True, help="the binary")
    parser.add_argument("--nchan", required=True, help="nchan's module")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("PEERS_ROUNDS", 3)), help="runs of each case beside nchan (default: 3)")
    parser.add_argument("--connections", type=int, default=int(os.environ.get("PEERS_CONNECTIONS", 19_000)), help="of the idle cases (default: 19000)")
    parser.add_argument("--quick", action="store_true", help="short runs that only show that it works")
    options = parser.parse_args()
    names = {"broadcast", "unicast", "idle", "storm", "stalled", "backlog"}
    if wrong := set(options.parts) - names:
        parser.error(f"no part is called {', '.join(sorted(wrong))}: {', '.join(sorted(names))}")
    OUT.mkdir(exist_ok=True)
    bench = Bench(options)
    about = machine(bench)
    started = time.monotonic()
    lines, kept, alone_kept = [], [], []
    lines += [f"{about['cpu']}, {about['cores']} cores; server on {about['serverCores']}, load on {about['loadCores']}; {about['martlet']}; "
              f"{about['nchan']}; medians of {options.rounds} runs each, in turn; load average before: {about['loadAverageBefore']:.1f}", ""]
    try:
        peers(bench, options, lines, kept)
        alone(bench, options, lines, alone_kept)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    finally:
        bench.stop_all()
        about["seconds"] = round(time.monotonic() - started, 1)
        (OUT / "peers.md").write_text("\n".join(lines))
        (OUT / "peers.json").write_text(json.dumps({"machine": about, "beside": kept, "alone": alone_kept}, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(lines))
    print(f"took {about['seconds']:.0f} s; kept in {OUT}/peers.md and {OUT}/peers.json", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
