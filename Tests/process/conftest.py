import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from chromium import CHROMIUM
from mqtt_tools import REFERENCE, make_broker
from server import Server, binary, unique, wait_until
from transports import TRANSPORTS
from wire import live_sessions, sessions_at_drain, sockets


def pytest_report_header():
    return f"martlet: {binary()}" + (f"; the tests of MQTT are about {REFERENCE}" if REFERENCE else "")


# The files that take longest, begun first, so that at the end of a run no worker waits for another's.
LONG_FILES = (
    "test_sdk_swift", "test_openapi", "test_demo", "test_browser", "test_sdk_browsers", "test_mqtt_ends", "test_bench_mqtt", "test_every_transport",
    "test_bench", "test_isolation", "test_bridge", "test_crash", "test_backlog", "test_cli_real", "test_tokens", "test_hostile_reading", "test_backup",
)


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def hub():
    """One server for all tests that only publish and receive; they keep apart by names of their own."""
    with tempfile.TemporaryDirectory(prefix="martlet-hub-") as folder:
        # Tests open more in a second than a user would.
        server = Server(Path(folder) / "data", "--limits-subscribe-rate", "0", "--grpc-listen", "127.0.0.1:0").start()
        yield server
        alive = server.process.poll() is None
        server.stop()
        assert alive, f"the shared server died\n{server.tail()}"


@pytest.fixture
def server(tmp_path):
    """A server of the test's own, to be killed and restarted."""
    server = Server(
        tmp_path / "data", "--drain-seconds", "3", "--limits-subscribe-rate", "0", "--grpc-listen", "127.0.0.1:0").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker():
    """One server that speaks MQTT, for all tests that keep apart by names of their own; $MQTT_REFERENCE says which."""
    with tempfile.TemporaryDirectory(prefix="martlet-mqtt-") as folder:
        broker = make_broker(Path(folder)).start()
        yield broker
        alive = broker.process.poll() is None
        broker.stop()
        assert alive, f"the shared server died\n{broker.tail()}"


@pytest.fixture
def own_broker(tmp_path):
    """One of the test's own, to be killed and restarted."""
    broker = make_broker(tmp_path).start()
    yield broker
    broker.stop()


@pytest.fixture
def topic():
    return unique("topic") + "/a"


@pytest.fixture
def unhurt(server):
    """After the test the server lives, holds no socket more than before and knows no session."""
    server.get("/healthz")
    before = sockets(server)
    yield server
    assert server.process.poll() is None, server.tail()
    wait_until(lambda: sockets(server) <= before, 10, f"{sockets(server)} sockets, {before} before")
    # A session ends a moment after its socket did.
    wait_until(lambda: live_sessions(server) == 0, 10, "sessions that are over")
    assert sessions_at_drain(server) == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB of the test's own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def slow_flushes(tmp_path, monkeypatch):
    """Preloads delays into the flushes of a server that is started `with slow_flushes.of(server)`; called, it sets them, in milliseconds."""
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        pytest.skip("a C compiler is needed to make flushes slow")
    library = tmp_path / "slow_sync.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(Path(__file__).with_name("slow_sync.c")), "-ldl"], check=True)
    file = tmp_path / "delay"

    class Delay:
        def __call__(self, ms: int) -> None:
            file.write_text(str(ms))

        @contextlib.contextmanager
        def of(self, server):
            self(0)
            with monkeypatch.context() as patch:
                patch.setenv("LD_PRELOAD", str(library))
                patch.setenv("SLOW_SYNC", str(file))
                server.start()
            yield
            self(0)
            server.stop()

    return Delay()


@pytest.fixture
def user():
    return unique("user")


@pytest.fixture(params=TRANSPORTS, ids=list(TRANSPORTS))
def transport(request):
    """Each way to receive, one after the other."""
    return TRANSPORTS[request.param]


@pytest.fixture(scope="module")
def browser():
    """A real Chromium."""
    # Not at the top: most tests do without.
    from playwright.sync_api import sync_playwright

    if not CHROMIUM:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert not problems, problems
