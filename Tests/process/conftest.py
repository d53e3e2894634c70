import tempfile
from pathlib import Path

import pytest

from clients import TRANSPORTS
from server import Server, binary, unique


def pytest_report_header():
    return f"martlet: {binary()}"


@pytest.fixture(scope="session")
def hub():
    """One server for all tests that only publish and receive; they keep apart by names of their own."""
    with tempfile.TemporaryDirectory(prefix="martlet-hub-") as folder:
        # Tests open more in a second than a user would.
        server = Server(Path(folder) / "data", "--limits-subscribe-rate", "0").start()
        yield server
        alive = server.process.poll() is None
        server.stop()
        assert alive, f"the shared server died\n{server.tail()}"


@pytest.fixture
def server(tmp_path):
    """A server of the test's own, to be killed and restarted."""
    server = Server(tmp_path / "data", "--drain-seconds", "3", "--limits-subscribe-rate", "0").start()
    yield server
    server.stop()


@pytest.fixture
def user():
    return unique("user")


@pytest.fixture(params=TRANSPORTS, ids=list(TRANSPORTS))
def transport(request):
    """Each way to receive, one after the other."""
    return TRANSPORTS[request.param]
