"""What topics do, by the first level of their names: set in the configuration and through the API."""

import json
import urllib.parse

import httpx
import jwt
import pytest

from access import SECRET, Guarded, martlet
from server import Server

DEFAULTS = {
    "history": {"messages": 0, "age": 86_400, "bytes": 1_048_576}, "storage": "memory", "presence": False,
    "subscribe": "token", "publish": "token",
}


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "data").start()
    yield server
    server.stop()


def path(name: str = "") -> str:
    return "/v1/namespaces" + (f"/{urllib.parse.quote(name, safe='')}" if name else "")


def put(server, name: str, body) -> httpx.Response:
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return server.http.put(server.url + path(name), content=content, headers={"Content-Type": "application/json"})


def test_what_nothing_is_set_for_is_as_the_defaults(server):
    assert server.get(path()).json() == {"defaults": DEFAULTS, "namespaces": []}
    assert server.get(path("chat")).json() == {"name": "chat", "options": DEFAULTS, "configured": False}
    assert server.http.delete(server.url + path("chat")).status_code == 404


def test_set_replace_and_take_back(server):
    first = put(server, "chat", {"history": {"messages": 100}, "presence": True})
    assert first.status_code == 200, first.text
    assert first.json() == {
        "name": "chat", "options": DEFAULTS | {"history": DEFAULTS["history"] | {"messages": 100}, "presence": True},
        "set": {"history": {"messages": 100}, "presence": True}, "configured": False,
    }
    # What is put stands instead of what was there, not beside it.
    second = put(server, "chat", {"subscribe": "all", "storage": "durable", "history": {"age": 60, "bytes": 4_096}})
    assert second.json()["options"] == DEFAULTS | {
        "history": {"messages": 0, "age": 60, "bytes": 4_096}, "storage": "durable", "subscribe": "all"}
    assert server.get(path("chat")).json() == second.json()
    assert server.get(path()).json()["namespaces"] == [second.json()]
    gone = server.http.delete(server.url + path("chat"))
    assert gone.status_code == 200 and gone.json()["options"] == DEFAULTS
    assert server.get(path()).json()["namespaces"] == []


@pytest.mark.parametrize("name", ["a b", "é", "e\u0301", "100%", "x.y", "?", "$sys", "a,b", "history", "n" * 256])
def test_any_level_of_a_topic_can_be_a_namespace(server, name):
    assert put(server, name, {"presence": True}).json()["name"] == name
    assert server.get(path(name)).json()["set"] == {"presence": True}
    assert [entry["name"] for entry in server.get(path()).json()["namespaces"]] == [name]


def test_names_that_unicode_calls_equal_are_two(server):
    put(server, "é", {"presence": True})
    put(server, "e\u0301", {"publish": "all"})
    assert server.get(path("é")).json()["set"] == {"presence": True}
    assert server.get(path("e\u0301")).json()["set"] == {"publish": "all"}
    assert len(server.get(path()).json()["namespaces"]) == 2


@pytest.mark.parametrize("name", ["a/b", "+", "#", "a#", "\x00", "n" * 257, "\u2028"])
def test_what_is_no_level_of_a_topic_is_refused(server, name):
    for answer in (put(server, name, {}), server.get(path(name)), server.http.delete(server.url + path(name))):
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "bad_request", answer.text


@pytest.mark.parametrize("body, says", [
    ("", "JSON"), ("[]", "object"), ("{", "JSON"), ({"histroy": {}}, "history"), ({"history": 7}, "object"),
    ({"history": {"message": 1}}, "messages"), ({"history": {"messages": -1}}, "from 0"), ({"history": {"messages": 1.5}}, "whole"),
    ({"history": {"messages": "1"}}, "whole"), ({"history": {"messages": 10**30}}, "whole"), ({"history": {"age": 0}}, "from 1"),
    ({"history": {"bytes": 1}}, "from 1024"), ({"storage": "disk"}, "durable"), ({"presence": "yes"}, "true or false"),
    ({"subscribe": "everybody"}, "all, token, none"), ({"publish": 1}, "all, token, none"),
    ('{"presence":true,"presence":false}', "twice"), ('{"history":{"age":1,"age":2}}', "twice"), ('{"name":"chat"}', "is no option"),
])
def test_what_is_not_understood_is_refused_by_name_and_changes_nothing(server, body, says):
    put(server, "chat", {"presence": True})
    answer = put(server, "chat", body)
    assert answer.status_code == 400 and says in answer.json()["error"]["message"], answer.text
    assert server.get(path("chat")).json()["set"] == {"presence": True}


def test_null_is_not_set(server):
    answer = put(server, "chat", {"presence": None, "history": {"messages": None, "age": 5}, "storage": None})
    assert answer.json()["set"] == {"history": {"age": 5}}


def test_it_is_kept_through_a_kill(server):
    put(server, "chat", {"history": {"messages": 3, "age": 60, "bytes": 2_048}, "storage": "durable", "presence": False, "publish": "none"})
    before = server.get(path()).json()
    server.kill9()
    server.restart()
    assert server.get(path()).json() == before


def test_the_configuration_comes_between_the_defaults_and_the_api(tmp_path):
    server = Server(
        tmp_path / "data", "--topics-history-age", "2h", "--namespaces-chat-history-messages", "10", "--namespaces-chat-subscribe", "all").start()
    try:
        everything = server.get(path()).json()
        assert everything["defaults"]["history"] == {"messages": 0, "age": 7_200, "bytes": 1_048_576}
        assert [(entry["name"], entry["configured"], "set" in entry) for entry in everything["namespaces"]] == [("chat", True, False)]
        answer = put(server, "chat", {"subscribe": "none"}).json()
        assert answer["options"]["history"] == {"messages": 10, "age": 7_200, "bytes": 1_048_576}
        assert answer["options"]["subscribe"] == "none" and answer["configured"]
        assert server.http.delete(server.url + path("chat")).json()["options"]["subscribe"] == "all"
    finally:
        server.stop()


def test_a_limit_for_each_app(tmp_path):
    server = Server(tmp_path / "data", "--limits-namespaces", "2").start()
    try:
        assert put(server, "a", {}).status_code == 200 and put(server, "b", {}).status_code == 200
        refused = put(server, "c", {})
        assert refused.status_code == 403 and refused.json()["error"]["limit"] == 2
        assert put(server, "b", {"presence": True}).status_code == 200
        assert server.http.delete(server.url + path("a")).status_code == 200
        assert put(server, "c", {}).status_code == 200
    finally:
        server.stop()


def test_only_an_admin_key_may_and_each_app_has_its_own(tmp_path):
    server = Guarded(tmp_path / "data").start()
    try:
        admin, other = server.key("--scope", "admin"), server.key("--scope", "publish,read")
        acme = server.key("--app", "acme", "--scope", "admin")
        body = {"content": b'{"presence":true}'}
        for method, options in (("GET", {}), ("PUT", body), ("DELETE", {})):
            for one in (path(), path("chat")) if method == "GET" else (path("chat"),):
                assert server.request(method, one, **options).status_code == 401
                assert server.request(method, one, other, **options).status_code == 403
        assert server.request("PUT", path("chat"), admin, **body).status_code == 200
        assert server.request("GET", path("chat"), acme).json()["options"] == DEFAULTS
        assert server.request("GET", path(), acme).json()["namespaces"] == []
        assert server.request("DELETE", path("chat"), acme).status_code == 404
        assert server.request("GET", path("chat"), admin).json()["set"] == {"presence": True}
    finally:
        server.stop()


# ------------------------------------------------------------ The claim `topics`


def made(tmp_path, *options: str):
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    return martlet("token", "--user", "alice", "--secret-file", str(secret), *options)


def test_martlet_token_writes_the_claim(tmp_path):
    text = made(tmp_path, "--topic", "news/#", "--topic", "chat/+=subscribe,publish", "--topic", "a=b=presence").stdout.strip()
    assert jwt.decode(text, SECRET, algorithms=["HS256"])["topics"] == {
        "news/#": ["subscribe"], "chat/+": ["subscribe", "publish"], "a=b": ["presence"]}
    assert "topics" not in jwt.decode(made(tmp_path).stdout.strip(), SECRET, algorithms=["HS256"])


@pytest.mark.parametrize("topic, says", [("a=write", "write"), ("a#", "wildcard"), ("=subscribe", "empty"), ("a=", "none of")])
def test_martlet_token_refuses_what_is_no_right(tmp_path, topic, says):
    failed = made(tmp_path, "--topic", topic)
    assert failed.returncode == 1 and (says in failed.stderr or "whole levels" in failed.stderr) and failed.stdout == "", failed.stderr


@pytest.mark.parametrize("claim", ["news", None, 7, ["a#"], [7], {"a": "subscribe"}, {"a": ["write"]}, {"": ["subscribe"]}, {"a/#/b": []}])
def test_a_claim_that_leaves_a_doubt_is_no_token(tmp_path, claim):
    server = Guarded(tmp_path / "data").start()
    try:
        text = jwt.encode({"sub": "alice", "topics": claim}, SECRET, algorithm="HS256")
        answer = server.request("GET", "/v1/poll", text)
        assert answer.status_code == 401 and "topics" in answer.json()["error"]["message"]
        good = jwt.encode({"sub": "alice", "topics": {"a/#": ["subscribe"]}}, SECRET, algorithm="HS256")
        assert server.request("GET", "/v1/poll", good).status_code == 200
    finally:
        server.stop()
