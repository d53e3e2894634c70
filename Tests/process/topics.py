"""What tests of topics share."""

import json
from urllib.parse import quote

import httpx

from server import Server


def put(server: Server, topic: str, body=b"", content_type: str | None = None, query: dict | None = None, **headers: str) -> httpx.Response:
    """Publishes to a topic by its path; header names have `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        named["Content-Type"] = content_type
    return server.http.post(f"{server.url}/v1/topics/{quote(topic)}", content=body, headers=named, params=query)


def say(server: Server, topic: str, data, **headers: str) -> str:
    """Publishes JSON to a topic, expects 202, returns the id."""
    answer = put(server, topic, json.dumps(data), "application/json", **headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def options(server: Server, namespace: str, **values) -> None:
    """Sets what the topics of a namespace do, in dev mode."""
    answer = server.http.put(f"{server.url}/v1/namespaces/{quote(namespace, safe='')}", json=values)
    assert answer.status_code == 200, answer.text


def ask(server: Server, topic: str, what: str = "", **query) -> dict:
    answer = server.get(f"/v1/topics/{quote(topic)}" + (f"/{what}" if what else ""), params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()
