"""api/openapi.yaml: valid, served as it stands, complete, and true of the running server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import openapi_spec_validator
import pytest
import yaml

from access import Guarded, token
from clients import RawSSE, WebSocket
from server import ROOT, Server
from streams import NDJSON

FILE = ROOT / "api" / "openapi.yaml"
DOCUMENT = yaml.safe_load(FILE.read_text())
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
OPERATIONS = [
    (method, path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items() if method in METHODS
]
# Parameters that a path cannot do without.
NEEDED = {"user": "alice", "device": "a1", "seq": "0"}


def test_the_document_is_valid():
    openapi_spec_validator.validate(DOCUMENT)

    class Loader(yaml.SafeLoader):
        """Says when a key stands twice, of which the last would win in silence."""

        def construct_mapping(self, node, deep=False):
            names = [key.value for key, _ in node.value]
            assert len(names) == len(set(names)), f"a key stands twice at {node.start_mark}: {names}"
            return super().construct_mapping(node, deep)

    yaml.load(FILE.read_text(), Loader)


def test_it_is_served_as_it_stands(hub):
    answer = hub.get("/openapi.yaml")
    assert answer.status_code == 200
    assert answer.content == FILE.read_bytes()
    assert answer.headers["content-type"] == "application/yaml"
    assert "max-age" in answer.headers["cache-control"]
    tag = answer.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = hub.get("/openapi.yaml", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), known
    assert hub.get("/openapi.yaml", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_codes_are_those_of_the_protocol():
    protocol = (ROOT / "docs" / "protocol.md").read_text()
    schemas = DOCUMENT["components"]["schemas"]
    table = protocol.split("## Error codes")[1].split("\n## ")[0]
    assert sorted(schemas["ErrorCode"]["enum"]) == sorted(re.findall(r"^\| `(\w+)` \|", table, re.M))
    table = protocol.split("## Close codes")[1].split("\n## ")[0]
    assert schemas["Close"]["properties"]["code"]["enum"] == [int(code) for code in re.findall(r"^\| (\d{4}) \|", table, re.M)]


def test_every_path_of_the_protocol_is_there():
    protocol = (ROOT / "docs" / "protocol.md").read_text()
    named = set(re.findall(r"`(?:GET|POST|DELETE|PUT) (/[^`?]*)", protocol)) - {"/", "/dev/echo"}
    assert named <= set(DOCUMENT["paths"]), named - set(DOCUMENT["paths"])


def test_every_path_of_the_server_is_there():
    code = "\n".join(file.read_text() for file in (ROOT / "Sources" / "MartletHTTP").rglob("*.swift"))
    routed = re.findall(r'router\.(get|post|put|delete|patch)\("(/[^"]*)"', code)
    routed += [(method.lower(), path) for path, method in re.findall(r'case \("(/[^"]+)", \.(GET|POST|PUT|DELETE|PATCH)\)', code)]
    routed += [(method.lower(), path) for path, method in re.findall(r'route = \(path: "(/[^"]+)", method: "([A-Z]+)"\)', code)]
    assert len(routed) >= 12
    # Matched by its parts.
    routed += [("post", "/v1/sessions/{id}/token"), ("post", "/v1/topics/{topic}"), ("get", "/v1/topics/{topic}")]
    routed += [("get", f"/v1/topics/{{topic}}/{action}") for action in ("history", "presence", "retained")]
    # What only dev mode has.
    routed = {(method, path) for method, path in routed if path not in ("/", "/dev/echo")}
    assert routed == {(method, path) for method, path, _ in OPERATIONS}


@pytest.mark.parametrize("method, path, operation", OPERATIONS, ids=[operation["operationId"] for _, _, operation in OPERATIONS])
def test_an_unknown_or_repeated_parameter_is_refused(hub, method, path, operation):
    """OpenAPI cannot say it, and schemathesis does not try it."""
    if operation["tags"] == ["server"]:
        pytest.skip("probes add what they like")
    names = [ref["$ref"].rsplit("/", 1)[1] if "$ref" in ref else ref["name"] for ref in operation.get("parameters", [])]
    shared = DOCUMENT["components"]["parameters"]
    names = [shared[name]["name"] if name in shared else name for name in names]
    query = {name: value for name, value in NEEDED.items() if name in names}
    url = hub.url + path.replace("{id}", hub.publish("openapi")).replace("{topic}", "openapi")
    websocket = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    headers = {"/v1/ws": websocket, "/mqtt": websocket | {"Sec-WebSocket-Protocol": "mqtt"}}.get(path, {})
    body = {"json": {"to": {"user": "openapi"}}} if method == "post" else {}

    answer = hub.http.request(method, url, params=query | {"devise": "x"}, headers=headers, **body)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert '"devise"' in message
    if "device" in names:
        assert 'perhaps "device" is meant' in message
    for name, value in query.items():
        answer = hub.http.request(method, url, params=list(query.items()) + [(name, value)], headers=headers, **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request"), name
        assert f'"{name}" is given twice' in answer.json()["error"]["message"]


def strictly(name: str) -> jsonschema.Draft202012Validator:
    """A schema of the document, without room for members that it does not name."""
    schemas = DOCUMENT["components"]["schemas"]
    closed = {**schemas, name: {**schemas[name], "additionalProperties": False}}
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": closed}})


def test_what_streams_say_is_as_the_document_says(hub, user):
    """Inside an event or a frame schemathesis does not look."""
    of_the_test = ("_id", "_retry")
    with RawSSE(hub, user, f"{user}-1", ack="explicit", hb="visible") as sse, WebSocket(hub, user, f"{user}-2") as websocket:
        hub.publish(user, data={"a": 1}, notification={"title": "t"}, collapseKey="k")
        for client in (sse, websocket):
            welcome = {name: value for name, value in client.welcome.items() if name not in of_the_test}
            strictly("Welcome").validate(welcome)
            message = json.loads(client.next()["_raw"])
            message.pop("cursor", None)
            strictly("Received").validate(message)
    with RawSSE(hub, f"{user}-other", f"{user}-1", resume=sse.position) as moved:
        strictly("Gap").validate(moved.notice("gap"))
        with RawSSE(hub, f"{user}-other", f"{user}-1"):
            strictly("Close").validate(moved.notice("close"))


def test_what_a_stream_and_an_exchange_say_is_as_the_document_says(hub, user):
    frame = strictly("Frame")
    with NDJSON(hub, user, f"{user}-1", ack="explicit") as stream:
        sent = hub.publish(user, data={"a": 1})
        assert stream.next()["id"] == sent
        frame.validate({"message": json.loads(stream.last["_raw"])})
        frame.validate({"welcome": {name: value for name, value in stream.welcome.items() if name != "_id"}})
        query = {"user": user, "device": f"{user}-1"}
        body = {"subscribe": "openapi/x", "publish": [{"topic": "openapi/x", "data": 1, "ref": {}}, {}]}
        answer = hub.http.post(f"{hub.url}/v1/exchange", params=query, json=body).json()
        strictly("Exchanged").validate(answer)
        assert answer["live"] and "error" in answer["published"][1]
        frame.validate({"subscribed": stream.notice("subscribed")})
        with NDJSON(hub, user, f"{user}-1"):
            close = stream.notice("close")
            close.pop("_position")
            frame.validate({"close": close})


def differences(server: Server, folder: Path, config: str, **variables: str) -> None:
    """Examples, edges of every schema, random requests good and bad, and sequences along the links."""
    here = Path(__file__).parent / "openapi"
    file = folder / "schemathesis.toml"
    file.write_text(config)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(file), "run", str(FILE), "--url", server.url,
        "--no-color",
    ]
    # The same requests in every run of `make test`, however fast the machine is; `make openapi` makes new ones.
    if seconds := os.environ.get("MARTLET_OPENAPI_SECONDS"):
        command += ["--max-time", seconds]
    else:
        command += ["--max-examples", "30"]
    if seed := os.environ.get("MARTLET_SEED", "" if seconds else "20261121"):
        command += ["--seed", seed]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(here), "PYTHONDONTWRITEBYTECODE": "1"} | variables
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    print(run.stdout[-20_000:], run.stderr[-2_000:])
    assert run.returncode == 0, "schemathesis found a difference, see above"
    assert "No issues found" in run.stdout
    assert server.process.poll() is None, server.tail()
    assert server.get("/healthz").status_code == 200


# One user asks for hundreds of streams: what a limit of rates answers is for test_limits.py.
UNHURRIED = ("--limits-subscribe-rate", "0")
CONFIG = (Path(__file__).parent / "openapi" / "schemathesis.toml").read_text()


@pytest.mark.timeout(4000)
def test_the_server_answers_as_the_document_says(tmp_path):
    server = Server(tmp_path / "data", *UNHURRIED).start()
    try:
        differences(server, tmp_path, CONFIG)
    finally:
        server.stop()


@pytest.mark.timeout(4000)
def test_the_server_asks_for_keys_and_tokens_as_the_document_says(tmp_path):
    """The same with a key and a token, and without them where they are needed."""
    server = Guarded(tmp_path / "data", *UNHURRIED).start()
    try:
        key = server.key("--scope", "publish,read,admin")
        ignored = "ignored_auth.enabled = false\n"
        assert ignored in CONFIG
        shown = "".join(
            f'\n[auth.openapi.{name}]\n{member} = "{value}"\n'
            for name, member, value in (
                ("apiKey", "bearer", key), ("apiKeyHeader", "api_key", key),
                ("token", "bearer", token("alice", exp=2_000_000_000, topics={"#": ["subscribe", "publish", "presence"]})),
            )
        )
        differences(server, tmp_path, CONFIG.replace(ignored, "") + shown, MARTLET_TOKEN_USER="alice")
    finally:
        server.stop()
