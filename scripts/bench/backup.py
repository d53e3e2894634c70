#!/usr/bin/env python3
"""How fast a backup is, and what it does to publishes: scripts/bench/backup.py [THOUSANDS OF MESSAGES]. Needs .venv (make test makes it)."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Tests" / "process"))

import sse  # noqa: E402
from fleet import HTTP  # noqa: E402
from server import Server, binary  # noqa: E402

CONNECTIONS = 32


async def publish_until(port, stop, times):
    async def one():
        http = HTTP(port)
        body = json.dumps({"to": {"user": "alice"}, "data": "x" * 200, "ttl": 60}).encode()
        while not stop.is_set():
            begin = time.monotonic()
            head, answer = await http.request("POST", "/v1/messages", body)
            assert head.status == 202, answer
            times.append(time.monotonic() - begin)
        http.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


async def measure(port, work):
    stop, times, begin = asyncio.Event(), [], time.monotonic()
    load = asyncio.create_task(publish_until(port, stop, times))
    result = await work
    seconds = time.monotonic() - begin
    stop.set()
    await load
    times.sort()
    print(f"  {len(times) / seconds:.0f} publishes/s, p50 {times[len(times) // 2] * 1000:.1f} ms, p99 {times[len(times) * 99 // 100] * 1000:.1f} ms, longest {times[-1] * 1000:.0f} ms")
    return result


async def backup(data, target, *options):
    begin = time.monotonic()
    made = await asyncio.create_subprocess_exec(binary(), "backup", "--data", str(data), "--to", str(target), *options, stdout=subprocess.PIPE)
    output, _ = await made.communicate()
    assert made.returncode == 0
    print(" ", output.decode().strip(), f"({os.stat(target).st_size / 1e6 / (time.monotonic() - begin):.0f} MB/s)")


async def main():
    thousands = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory(prefix="martlet-bench-") as folder:
        server = Server(Path(folder) / "data").start()
        try:
            http = HTTP(server.port)
            for n in range(thousands):
                lines = [json.dumps({"to": {"user": f"u{(n * 1000 + m) % 5000}"}, "data": "x" * 500, "ttl": 86400}) for m in range(1000)]
                head = await batch(http, lines)
                assert head.status in (200, 202), head
            print(f"{thousands},000 messages, {CONNECTIONS} connections that publish one at a time")
            print("without a backup, 8 s:")
            await measure(server.port, asyncio.sleep(8))
            print("during a backup:")
            await measure(server.port, backup(server.data, Path(folder) / "a.backup"))
            print("during a backup with --max-rate 50:")
            await measure(server.port, backup(server.data, Path(folder) / "b.backup", "--max-rate", "50"))
            begin = time.monotonic()
            subprocess.run([binary(), "restore", str(Path(folder) / "a.backup"), "--data", str(Path(folder) / "again")], check=True, capture_output=True)
            print(f"restore: {time.monotonic() - begin:.1f} s")
        finally:
            server.stop()


async def batch(http, lines):
    body = "\n".join(lines).encode()
    if http.writer is None:
        http.reader, http.writer = await asyncio.open_connection("127.0.0.1", http.port)
    http.writer.write(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    head = await http.reader.readuntil(b"\r\n\r\n")
    parsed = sse.parse_head(head[:-4])
    if "content-length" in parsed.headers:
        await http.reader.readexactly(int(parsed.headers["content-length"]))
    else:
        while (size := int((await http.reader.readline()).strip(), 16)) > 0:
            await http.reader.readexactly(size + 2)
        await http.reader.readexactly(2)
    return parsed


asyncio.run(main())
