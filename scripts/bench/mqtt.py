#!/usr/bin/env python3
"""Martlet's MQTT beside mosquitto, in one run: broker on two cores, load on the others, both in turn in each round, medians.

The table goes to standard output and .build-bench/mqtt.md, every single run to .build-bench/mqtt.json. Takes about five
minutes a round; --rounds 1 --quick shows within two that it works. A martlet that has no MQTT yet is left out.
"""
import subprocess
import sys

from comparison import DELIVERY, Bench, Case, arguments, ratio, spread, table

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
    def once(self, case, server):
        """Of a broker that was started afresh."""
        port = self.free_port()
        folder = self.folder(f"mqtt-{server}")
        if server == "martlet":
            command = [self.options.martlet, "serve", "--dev", "--listen", f"127.0.0.1:{self.free_port()}", "--mqtt-listen", f"127.0.0.1:{port}",
                       "--durability", "full", "--data", f"{folder}/data", "--drain-seconds", "1", "--limits-queue-messages", "10000000", "--limits-queue-bytes", "17179869184"]
        else:
            (folder / "mosquitto.conf").write_text(MOSQUITTO.format(port=port, folder=folder, more=case.more))
            command = [self.options.mosquitto, "-c", f"{folder}/mosquitto.conf"]
        with self.serving(command, port, folder) as process:
            result = self.load(
                "mqtt", case.scenario, "--broker", f"127.0.0.1:{port}", "--pid", process.pid, "--payload", "200", *case.arguments)
        result["restPercent"] = result["restCores"] * 100 if "restCores" in result else None
        return result


def cases(options):
    """What is measured."""
    quick = options.quick
    seconds = 2 if quick else 5
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
    both = ("martlet", "mosquitto")
    for qos in (0, 1):
        for subscribers, rate in ((1_000, 30), (5_000, 6)):
            yield Case("broadcast", f"broadcast to {subscribers:,} subscribers, QoS {qos}, {rate} messages a second", "fan-out",
                       ["--subscribers", subscribers, "--rate", rate, "--qos", qos, "--seconds", seconds], both, DELIVERY)
    for qos in (0, 1):
        topics = min(10_000, options.connections)
        yield Case("unicast", f"unicast over {topics:,} topics with one subscriber each, QoS {qos}, 5,000 messages a second", "unicast",
                   ["--topics", topics, "--rate", 5_000, "--qos", qos, "--publishers", 4, "--seconds", seconds], both, DELIVERY)
    yield Case("idle", f"{options.connections:,} idle connections with one topic each, keep alive 60 s, {3 if quick else 30} s at rest", "idle",
               ["--connections", options.connections, "--seconds", 3 if quick else 30], both, idle)
    for publishers, window, more in ((1, 1, ""), (1, 16, ""), (16, 16, ""), (64, 16, ""), (16, 16, AUTOSAVE)):
        who = f"{publishers} publishers" if publishers > 1 else "one publisher"
        title = f"QoS 1 publishes by {who} with {window} unanswered, a persistent subscriber away"
        if more:
            title += ", mosquitto writing its file after each change"
        yield Case("publish", title, "publish",
                   ["--publishers", publishers, "--window", window, "--persistent-subscribers", 1, "--offline", "--seconds", seconds],
                   both, publish, more)


def main():
    parser = arguments(__doc__, ["broadcast", "unicast", "idle", "publish"], connections=15_000, mosquitto="mosquitto's binary")
    parser.add_argument("--only", choices=["martlet", "mosquitto"], help="measure one of them alone")
    options = parser.parse_args()
    only = options.only
    help_text = subprocess.run([options.martlet, "serve", "--help"], capture_output=True, text=True).stdout
    if only != "mosquitto" and "--mqtt-listen" not in help_text:
        print("this martlet has no --mqtt-listen: mosquitto is measured alone", file=sys.stderr)
        only = "mosquitto"

    bench = MQTTBench(options)
    # It says its version with its help, and ends with 3.
    bench.about["mosquitto"] = subprocess.run([options.mosquitto, "-h"], capture_output=True, text=True).stdout.splitlines()[0]
    todo = bench.chosen(cases(options))
    with bench.measuring():
        bench.rounds(todo, only)

    lines = [bench.summary("broker", "mosquitto"), "", NOTES, ""]
    for case in todo:
        rows = [[name, *(spread(runs, key, form) for runs in case.runs.values()), ratio(case.runs, key)] for key, name, form in case.figures]
        rows += [[f"fault of {server}", fault, "", ""] for server, runs in case.runs.items() for run in runs for fault in run["faults"]]
        lines += table(case.title, ["", "Martlet", "mosquitto", "Martlet : mosquitto"], rows)
    return bench.report("mqtt", lines, cases=[case.kept() for case in todo])


if __name__ == "__main__":
    sys.exit(main())
