#!/usr/bin/env python3
"""Martlet beside nchan, in one run: server on two cores, load on the others, both in turn in each round, medians.

The table goes to standard output and .build-bench/peers.md, every single run to .build-bench/peers.json. Takes about
ten minutes; --rounds 1 --quick shows within two that it works.
"""
import os
import subprocess
import sys
import time

from comparison import DELIVERY, Bench, Case, arguments, median, ratio, shown, table

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


class PeersBench(Bench):
    def once(self, case, server):
        """Of a server that was started afresh."""
        port = self.free_port()
        folder = self.folder(server)
        if server == "martlet":
            command = [self.options.martlet, "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--data", f"{folder}/data", "--drain-seconds", "1"]
            paths = []
        else:
            files = os.sysconf("SC_OPEN_MAX")
            (folder / "nginx.conf").write_text(NCHAN.format(
                module=self.options.nchan, user="user root;\n" if os.geteuid() == 0 else "", workers=len(self.server_cores),
                files=files, connections=files - 100, folder=folder, port=port))
            command = ["/usr/sbin/nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]
            paths = ["--subscribe-path", "/sub/{topic}", "--publish-path", "/pub/{topic}"]
        with self.serving(command, port, folder):
            if server == "nchan":
                time.sleep(0.3)  # both workers listen, not only the first
            return self.load(case.scenario, "--url", f"http://127.0.0.1:{port}", *case.arguments, *paths)


def cases(options):
    """What is measured beside nchan."""
    many = options.connections
    wide = min(10_000, many)
    seconds = 2 if options.quick else 5
    idle = [
        ("kbPerConnection", "memory, KB per connection (RSS)", "{:.2f}"),
        ("pssKbPerConnection", "with shared pages split (PSS)", "{:.2f}"),
        ("openedPerSecond", "accepted a second", "{:,.0f}"),
        ("serverCores", "cores that the server used for it", "{:.2f}"),
        ("serverCpuUs", "server CPU, µs per connection", "{:.1f}"),
    ]
    both = ("martlet", "nchan")
    for subscribers, rate in ((1_000, 100), (wide, 10)):
        for transport, name in (("sse", "SSE"), ("ws", "WebSocket")):
            yield Case("broadcast", f"broadcast to {subscribers:,} {name} subscribers, {rate} messages a second", "fan-out",
                       ["--subscribers", subscribers, "--rate", rate, "--transport", transport, "--seconds", seconds], both, DELIVERY)
    yield Case("unicast", f"unicast over {wide:,} topics with one SSE subscriber each, 10,000 messages a second", "unicast",
               ["--topics", wide, "--rate", 10_000, "--seconds", seconds], both, DELIVERY)
    for transport, name in (("sse", "SSE"), ("ws", "WebSocket")):
        yield Case("idle", f"{many:,} idle {name} connections with one topic each", "idle",
                   ["--connections", many, "--transport", transport, "--seconds", 3], both, idle)


def alone(options):
    """What nchan has no counterpart to, with the name and the figures that the run itself gives it."""
    quick = options.quick
    messages = ["--messages", 10_000 if quick else 100_000]
    for scenario, arguments in (
        ("storm", ["--connections", 2_000 if quick else min(15_000, options.connections)]),
        ("stalled", ["--seconds", 3 if quick else 15, "--stall-seconds", 5 if quick else 60]),
        ("backlog", messages),
        ("backlog", [*messages, "--transport", "ws"]),
    ):
        yield Case(scenario, "", scenario, arguments, ("martlet",), [])


def main():
    options = arguments(
        __doc__, ["broadcast", "unicast", "idle", "storm", "stalled", "backlog"], connections=19_000, nchan="nchan's module").parse_args()
    nginx = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.strip().removeprefix("nginx version: ")
    bench = PeersBench(options)
    bench.about["nchan"] = f"{nginx} with libnginx-mod-nchan, {len(bench.server_cores)} workers"
    todo = bench.chosen(cases(options))
    found = []
    with bench.measuring():
        bench.rounds(todo)
        for case in bench.chosen(alone(options)):
            result = bench.once(case, "martlet")
            found.append(result)
            print(result["title"] + "".join(f"; {fault}" for fault in result["faults"]), file=sys.stderr)

    lines = [bench.summary(other="nchan"), ""]
    for case in todo:
        rows = [[name, *(shown(median(runs, key), form) for runs in case.runs.values()), ratio(case.runs, key)] for key, name, form in case.figures]
        lines += table(case.title, ["", "Martlet", "nchan", "Martlet : nchan"], rows)
    for result in found:
        lines += table(result["title"], ["", ""], [*result["table"].items(), *(("fault", fault) for fault in result["faults"])])
    return bench.report("peers", lines, beside=[case.kept() for case in todo], alone=found)


if __name__ == "__main__":
    sys.exit(main())
