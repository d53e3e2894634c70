"""Reads what /metrics says, and checks it with promtool."""

import os
import shutil
import subprocess
from pathlib import Path

from server import ROOT, Server, wait_until


def promtool() -> str:
    """Prometheus' own checker: $PROMTOOL, the installed one, or what scripts/test has unpacked."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool") or str(ROOT / ".build-tools" / "promtool")
    assert Path(found).exists(), "promtool is missing: scripts/test unpacks it, or install Debian's package prometheus"
    return found


def check(*arguments: str, text: str | None = None) -> None:
    """Fails with promtool's words if it has any."""
    done = subprocess.run([promtool(), *arguments], input=text, capture_output=True, text=True, timeout=60)
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 0, said


def text(server: Server, **options) -> str:
    answer = server.get("/metrics", **options)
    assert answer.status_code == 200, answer.text
    return answer.text


class Numbers(dict):
    """By series as it is written; what is not there is 0."""

    def __init__(self, exposition: str):
        super().__init__()
        for line in exposition.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                self[name] = float(value)

    def __missing__(self, name: str) -> float:
        return 0.0

    def since(self, before: "Numbers", *prefixes: str) -> dict[str, float]:
        """What changed, of the names that begin so."""
        return {
            name: value - before[name]
            for name, value in self.items()
            if name.startswith(prefixes or ("",)) and value != before[name]
        }


def numbers(server: Server) -> Numbers:
    return Numbers(text(server))


def names(exposition: str) -> dict[str, str]:
    """The type of each metric by its name."""
    return dict(line.split()[2:4] for line in exposition.splitlines() if line.startswith("# TYPE "))


def settled(server: Server, series: str, value: float) -> Numbers:
    """Waits until a number is there: what a client has seen, the server counts a moment later."""
    found = {}

    def is_there():
        found["now"] = numbers(server)
        return found["now"][series] >= value

    wait_until(is_there, what=f"{series} {value}")
    return found["now"]
