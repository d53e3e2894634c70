"""slowhttptest (Debian) in its three modes; the service stays available throughout. `make slowhttp` runs it for longer."""

import os
import re
import shutil
import subprocess

import pytest

from others import Others
from wire import sockets
from test_limits import limited  # noqa: F401

SECONDS = int(os.environ.get("SLOWHTTP_SECONDS", "4"))
MODES = {"slow-headers": ["-H"], "slow-body": ["-B", "-s", "60000", "-t", "POST"], "slow-read": ["-X", "-w", "10", "-y", "20", "-z", "5", "-k", "3"]}


@pytest.mark.alone
@pytest.mark.skipif(not shutil.which("slowhttptest"), reason="slowhttptest is missing: apt-get install slowhttptest")
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("mode", MODES)
def test_slowhttptest(limited, hub, mode):
    server = limited("--limits-head-seconds", "4", "--limits-body-seconds", "4")
    path = "/v1/messages" if mode == "slow-body" else "/v1/sse?user=slowhttp" if mode == "slow-read" else "/healthz"
    before = server.rss_kb()
    with Others(server, hub) as others:
        shown = subprocess.run(
            ["slowhttptest", "-c", "1000", "-r", "500", "-i", "1", "-x", "24", "-p", "2", "-l", str(SECONDS), *MODES[mode],
             "-u", f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, timeout=SECONDS + 60)
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown.stdout)
    available = re.findall(r"service available:\s*(\w+)", text)
    print(f"{mode}: service available {set(available)}, {(server.rss_kb() - before) / 1024:.1f} MiB, {sockets(server)} sockets at the end")
    assert available and set(available) == {"YES"}, text[-2_000:]
    others.waited_less_than(500)
