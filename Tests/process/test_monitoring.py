"""What is shipped for monitoring fits what the server says: the reference, the dashboard, the alerts."""

import json
import re

import pytest

import metrics
from clients import RawSSE, WebSocket
from server import ROOT, Server

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "martlet.json"
NAME = re.compile(r"\b((?:martlet|process)_[a-z0-9_]+)\b")


@pytest.fixture
def server(tmp_path):
    """With a bridge, which has metrics of its own."""
    server = Server(
        tmp_path / "data", "--drain-seconds", "3", "--bridge-allowed-hosts", "127.0.0.1:9", "--bridges-scores-url", "http://127.0.0.1:9/scores",
        "--bridges-scores-topic", "live/scores").start()
    yield server
    server.stop()


@pytest.fixture
def exposition(server, user):
    with WebSocket(server, user, "d"), RawSSE(server, user, "e"):
        server.publish(user, data=1)
        return metrics.text(server)


def known(exposition: str) -> set[str]:
    """Every name that a query may use."""
    names = set()
    for name, kind in metrics.names(exposition).items():
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
    return names


def labels(exposition: str, name: str) -> set[str]:
    found = set()
    for line in exposition.splitlines():
        if match := re.match(rf"{name}(?:_bucket|_sum|_count)?\{{(.*)\}} ", line):
            found |= set(re.findall(r'([a-z_]+)="', match[1]))
    return found - {"le"}


def test_the_reference_lists_exactly_what_there_is(exposition):
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (\w+) \| ([^|]+) \|", (ROOT / "docs" / "metrics.md").read_text(), re.M)
    documented = {name: (kind, set(re.findall(r"`([a-z]+)`", names))) for name, kind, names in rows}
    assert len(documented) == len(rows)
    assert documented == {name: (kind, labels(exposition, name)) for name, kind in metrics.names(exposition).items()}


def test_the_dashboard_shows_what_there_is(exposition):
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == ["Traffic", "Latency", "Sessions", "Store", "Process", "Bridges", "MQTT", "gRPC"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    queries += [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    queries += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    used = {name for query in queries for name in NAME.findall(query)}
    assert used <= known(exposition), used - known(exposition)
    # And nothing that there is goes unseen.
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} | used
    assert set(metrics.names(exposition)) <= shown, set(metrics.names(exposition)) - shown


def test_dashboard_panels_do_not_overlap():
    taken = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_dashboard_queries_are_promql(tmp_path):
    queries = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", [])]
    rules = [{"record": f"query{index}", "expr": re.sub(r"\$__rate_interval", "1m", query)} for index, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    metrics.check("check", "rules", str(file))


def test_alerts_are_rules_and_fire_when_they_should():
    metrics.check("check", "rules", str(RULES))
    metrics.check("test", "rules", str(RULES.with_name("alerts_test.yml")))


def test_alerts_ask_for_what_there_is(exposition):
    text = RULES.read_text()
    used = {name for line in text.splitlines() if line.strip().startswith("expr:") for name in NAME.findall(line)}
    assert used and used <= known(exposition), used - known(exposition)
    values = set(re.findall(r'(?:reason|result)=~?"([^"]+)"', text))
    for value in "|".join(values).split("|"):
        assert f'="{value}"' in exposition, f"no series has {value}"
    # Each says what it means and what to do.
    assert text.count("- alert:") == text.count("summary:") == text.count("description:")
