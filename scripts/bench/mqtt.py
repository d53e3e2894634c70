#!/usr/bin/env python3
"""Martlet's MQTT beside mosquitto, in one run: broker on two cores, load on the others, both in turn in each round, medians.

The table goes to standard output and .build-bench/mqtt.md, every single run to .build-bench/mqtt.json. Takes about five
minutes a round; --rounds 1 --quick shows within two that it works. A martlet that has no MQTT yet is left out.
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time

from peers import OUT, Bench, Failure, cpu_model, median, shown, versus

# Nothing is refused or dropped because of a limit; what it keeps goes to its file when it ends, as by default.
MOSQUITTO = """listener {port} 127.0.0.1
user root
allow_anonymous true
log_dest none
max_connections -1
max_inflight_messages 1000
max_queued_messages 0
max_queued_bytes 0
persistence true
persistence_location {folder}/
{more}
"""

# The nearest that it comes to keeping what it has answered: its whole file is written anew after each change.
AUTOSAVE = "autosave_on_changes true\nautosave_interval 1"

NOTES = """mosquitto works with one thread, so it never uses more than one of its two cores: CPU for each delivery or publish is the fair
figure, and a rate only says what one process reaches here. Its answer to a QoS 1 publish says that the message is in memory (it writes its
file when it ends and every 30 minutes, but for the case that says otherwise); Martlet's says that it is flushed to disk wherever a persistent session waits for it. In brackets: the
least and the most of the runs."""


class MQTTBench(Bench):
    def start(self, server, more=""):
        """Starts a broker afresh and returns it with its port."""
        port = self.free_port()
        folder = (OUT / f"mqtt-{server}").absolute()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if server == "martlet":
            command = [self.options.martlet, "serve", "--dev", "--listen", f"127.0.0.1:{self.free_port()}", "--mqtt-listen", f"127.0.0.1:{port}",
                       "--durability", "full", "--data", f"{folder}/data", "--drain-seconds", "1", "--limits-queue-messages", "10000000", "--limits-queue-bytes", "17179869184"]
        else:
            (folder / "mosquitto.conf").write_text(MOSQUITTO.format(port=port, folder=folder, more=more))
            command = [self.options.mosquitto, "-c", f"{folder}/mosquitto.conf"]
        with open(folder / "log", "ab") as log:
            process = self.spawn(command, log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process, port
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"{server} did not start: see {folder}/log") from None
                time.sleep(0.05)

    def once(self, server, more, scenario, *arguments):
        process, port = self.start(server, more)
        try:
            command = [self.options.martlet, "bench", "mqtt", scenario, "--broker", f"127.0.0.1:{port}", "--pid", str(process.pid), "--payload", "200",
                       "--json", "--quiet", *map(str, arguments)]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, self.load_cores))
            if not done.stdout.strip():
                raise Failure(f"{' '.join(command)}: {done.stderr.strip() or f'ended with {done.returncode}'}")
            return json.loads(done.stdout.splitlines()[0])
        finally:
            self.stop(process)


def cases(options):
    """What is measured: a part, a title, the scenario and its options, which figures the table shows, and more of mosquitto's configuration."""
    quick = options.quick
    seconds = 2 if quick else 5
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
        ("restPercent", "CPU at rest, % of a core", "{:.2f}"),
        ("pingP99Ms", "ping → answer p99, ms", "{:.2f}"),
        ("openedPerSecond", "accepted a second", "{:,.0f}"),
        ("serverCpuUs", "server CPU, µs per connection", "{:.1f}"),
    ]
    publish = [
        ("publishesPerSecond", "publishes a second", "{:,.0f}"),
        ("serverCpuUs", "server CPU, µs per publish", "{:.2f}"),
        ("serverUserUs", "of it own code", "{:.2f}"),
        ("serverCores", "cores used", "{:.2f}"),
        ("loadCores", "cores that the load used", "{:.2f}"),
        ("answerP50Ms", "publish → PUBACK p50, ms", "{:.2f}"),
        ("answerP99Ms", "publish → PUBACK p99, ms", "{:.2f}"),
        ("lost", "lost", "{:,.0f}"),
        ("duplicates", "twice", "{:,.0f}"),
        ("drainSeconds", "the subscriber has all after, s", "{:.2f}"),
    ]
    for qos in (0, 1):
        for subscribers, rate in ((1_000, 30), (5_000, 6)):
            yield ("broadcast", f"broadcast to {subscribers:,} subscribers, QoS {qos}, {rate} messages a second", "fan-out",
                   ["--subscribers", subscribers, "--rate", rate, "--qos", qos, "--seconds", seconds], delivery, "")
    for qos in (0, 1):
        topics = min(10_000, options.connections)
        yield ("unicast", f"unicast over {topics:,} topics with one subscriber each, QoS {qos}, 5,000 messages a second", "unicast",
               ["--topics", topics, "--rate", 5_000, "--qos", qos, "--publishers", 4, "--seconds", seconds], delivery, "")
    yield ("idle", f"{options.connections:,} idle connections with one topic each, keep alive 60 s, {3 if quick else 30} s at rest", "idle",
           ["--connections", options.connections, "--seconds", 3 if quick else 30], idle, "")
    for publishers, window, more in ((1, 1, ""), (1, 16, ""), (16, 16, ""), (64, 16, ""), (16, 16, AUTOSAVE)):
        who = f"{publishers} publishers" if publishers > 1 else "one publisher"
        title = f"QoS 1 publishes by {who} with {window} unanswered, a persistent subscriber away"
        if more:
            title += ", mosquitto writing its file after each change"
        yield ("publish", title, "publish",
               ["--publishers", publishers, "--window", window, "--persistent-subscribers", 1, "--offline", "--seconds", seconds], publish, more)


def figure(runs, key, form):
    """The median, and what lies around it."""
    values = [run[key] for run in runs if run.get(key) is not None]
    if not values:
        return "–"
    text = shown(statistics.median(values), form)
    least, most = shown(min(values), form), shown(max(values), form)
    return text if least == most else f"{text} ({least} – {most})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["broadcast", "unicast", "idle", "publish"]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(names)}; all of them if none is named")
    parser.add_argument("--martlet", required=True, help="the binary")
    parser.add_argument("--mosquitto", required=True, help="mosquitto's binary")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("PEERS_ROUNDS", 3)), help="runs of each case (default: 3)")
    parser.add_argument("--connections", type=int, default=int(os.environ.get("PEERS_CONNECTIONS", 15_000)), help="of the idle case (default: 15000)")
    parser.add_argument("--quick", action="store_true", help="short runs that only show that it works")
    parser.add_argument("--only", choices=["martlet", "mosquitto"], help="measure one of them alone")
    options = parser.parse_args()
    if wrong := set(options.parts) - set(names):
        parser.error(f"no part is called {', '.join(sorted(wrong))}: {', '.join(names)}")
    servers = [options.only] if options.only else ["martlet", "mosquitto"]
    help_text = subprocess.run([options.martlet, "serve", "--help"], capture_output=True, text=True).stdout
    if "martlet" in servers and "--mqtt-listen" not in help_text:
        print("this martlet has no --mqtt-listen: mosquitto is measured alone", file=sys.stderr)
        servers = ["mosquitto"]

    OUT.mkdir(exist_ok=True)
    bench = MQTTBench(options)
    cores = lambda numbers: ",".join(map(str, numbers))
    # It says its version with its help, and ends with 3.
    version = subprocess.run([options.mosquitto, "-h"], capture_output=True, text=True).stdout.splitlines()[0]
    about = {
        "cpu": cpu_model(), "cores": os.cpu_count(), "serverCores": cores(bench.server_cores), "loadCores": cores(bench.load_cores),
        "martlet": subprocess.run([options.martlet, "version"], capture_output=True, text=True).stdout.strip(), "mosquitto": version,
        "loadAverageBefore": os.getloadavg()[0],
    }
    todo = [case for case in cases(options) if not options.parts or case[0] in options.parts]
    results = {title: {"martlet": [], "mosquitto": []} for _, title, _, _, _, _ in todo}
    started = time.monotonic()
    failed = False
    try:
        for round_number in range(1, options.rounds + 1):
            for _, title, scenario, arguments, figures, more in todo:
                # The other one first in every second round.
                for server in servers if round_number % 2 else servers[::-1]:
                    result = bench.once(server, more, scenario, *arguments)
                    result["restPercent"] = result["restCores"] * 100 if "restCores" in result else None
                    results[title][server].append(result)
                    key, name, form = figures[0]
                    print(f"round {round_number} of {options.rounds}: {server:9} {title}: {name} {shown(result.get(key), form)}"
                          + "".join(f"; {fault}" for fault in result["faults"]), file=sys.stderr)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        failed = True
    finally:
        bench.stop_all()

    about["seconds"] = round(time.monotonic() - started, 1)
    lines = [f"{about['cpu']}, {about['cores']} cores; broker on {about['serverCores']}, load on {about['loadCores']}; {about['martlet']}; "
             f"{about['mosquitto']}; medians of {options.rounds} runs each, in turn; load average before: {about['loadAverageBefore']:.1f}", "", NOTES, ""]
    kept = []
    for _, title, _, _, figures, _ in todo:
        runs = results[title]
        lines += [f"**{title[0].upper()}{title[1:]}**", "", "| | Martlet | mosquitto | Martlet : mosquitto |", "|---|---|---|---|"]
        for key, name, form in figures:
            ratio = versus(median(runs["martlet"], key), median(runs["mosquitto"], key))
            lines.append(f"| {name} | {figure(runs['martlet'], key, form)} | {figure(runs['mosquitto'], key, form)} | {ratio} |")
        lines += [f"| fault of {server} | {fault} | | |" for server in runs for run in runs[server] for fault in run["faults"]]
        lines.append("")
        kept.append({"title": title, "runs": runs, "median": {
            server: {key: median(runs[server], key) for key, _, _ in figures} for server in runs}})
    (OUT / "mqtt.md").write_text("\n".join(lines))
    (OUT / "mqtt.json").write_text(json.dumps({"machine": about, "cases": kept}, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(lines))
    print(f"took {about['seconds']:.0f} s; kept in {OUT}/mqtt.md and {OUT}/mqtt.json", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
