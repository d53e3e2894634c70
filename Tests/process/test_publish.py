"""POST /v1/messages: what is taken, what is refused, and how."""

import json
import re

import pytest

UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


def code(answer):
    assert answer.headers["content-type"].startswith("application/json"), answer.headers
    error = answer.json()["error"]
    assert set(error) <= {"code", "message", "limit"}
    assert error["message"]
    return error["code"]


def test_answers_202_with_a_uuid_of_version_7(hub, user):
    answer = hub.post({"to": {"user": user}, "type": "t", "data": 1})
    assert answer.status_code == 202
    assert answer.headers["content-type"].startswith("application/json")
    assert UUID7.match(answer.json()["id"])
    assert set(answer.json()) == {"id"}


def test_ids_grow_in_publish_order(hub, user):
    ids = [hub.publish(user, data=n) for n in range(20)]
    assert ids == sorted(ids)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"])
def test_any_content_type_is_taken_as_json(hub, user, content_type):
    body = json.dumps({"to": {"user": user}, "data": 1})
    assert hub.post(body, Content_Type=content_type).status_code == 202


@pytest.mark.parametrize("body, expected", [
    ("", "invalid_json"),
    ("{", "invalid_json"),
    ('{"to":{"user":"u"}} x', "invalid_json"),
    ('{"to":{"user":"\\ud800"}}', "invalid_json"),
    ("[]", "bad_request"),
    ("7", "bad_request"),
    ("{}", "bad_request"),
    ('{"to":{}}', "bad_request"),
    ('{"to":"alice"}', "bad_request"),
    ('{"to":{"user":""}}', "bad_request"),
    ('{"to":{"user":7}}', "bad_request"),
    ('{"to":{"user":"a\\u0007b"}}', "bad_request"),
    ('{"to":{"user":"u","device":"d"}}', "bad_request"),
    ('{"to":{"users":[]}}', "bad_request"),
    ('{"to":{"all":false}}', "bad_request"),
    ('{"to":{"audience":"vip"}}', "bad_request"),
    ('{"to":{"user":"u"},"priority":"urgent"}', "bad_request"),
    ('{"to":{"user":"u"},"ttl":-1}', "bad_request"),
    ('{"to":{"user":"u"},"ttl":2592001}', "bad_request"),
    ('{"to":{"user":"u"},"ttl":"60"}', "bad_request"),
    ('{"to":{"user":"u"},"ttl":1.5}', "bad_request"),
    ('{"to":{"user":"u"},"at":1}', "bad_request"),
    ('{"to":{"user":"u"},"ladder":[]}', "bad_request"),
    ('{"to":{"user":"u"},"data":1,"dataBase64":"AA==","contentType":"x/y"}', "bad_request"),
    ('{"to":{"user":"u"},"dataBase64":"***","contentType":"x/y"}', "bad_request"),
    ('{"to":{"user":"%s"}}' % ("u" * 257), "bad_request"),
])
def test_refuses(hub, body, expected):
    answer = hub.post(body)
    assert answer.status_code == 400, answer.text
    assert code(answer) == expected


def test_names_the_unknown_member(hub, user):
    answer = hub.post({"to": {"user": user}, "prioriti": "high"})
    assert (answer.status_code, code(answer)) == (400, "bad_request")
    assert "prioriti" in answer.json()["error"]["message"]


def test_takes_null_for_what_comes_later(hub, user):
    assert hub.post({"to": {"user": user}, "data": 1, "at": None, "ladder": None}).status_code == 202


def test_takes_binary_data_as_base64(hub, user):
    from clients import RawSSE

    with RawSSE(hub, user, f"{user}-d1") as client:
        answer = hub.post({"to": {"user": user}, "type": "blob", "dataBase64": "AAEC/w==", "contentType": "application/octet-stream"})
        assert answer.status_code == 202, answer.text
        message = client.next()
    assert (message["dataBase64"], message["contentType"]) == ("AAEC/w==", "application/octet-stream")
    assert "data" not in message


def test_a_message_has_64_KiB(hub, user):
    envelope = len(json.dumps({"to": {"user": user}, "data": ""}, separators=(",", ":")))

    def post(size):
        return hub.post(json.dumps({"to": {"user": user}, "data": "x" * (size - envelope)}, separators=(",", ":")))

    assert post(65_536).status_code == 202
    answer = post(65_537)
    assert (answer.status_code, code(answer)) == (413, "message_too_large")
    assert answer.json()["error"]["limit"] == 65_536


def test_deep_json_is_refused(hub, user):
    answer = hub.post('{"to":{"user":"%s"},"data":%s%s}' % (user, "[" * 5000, "]" * 5000))
    assert answer.status_code == 400
    assert code(answer) in ("bad_request", "invalid_json")


def test_other_methods_and_paths(hub):
    answer = hub.http.put(hub.url + "/v1/messages", content="{}")
    assert (answer.status_code, code(answer)) == (405, "method_not_allowed")
    answer = hub.get("/v1/nothing")
    assert (answer.status_code, code(answer)) == (404, "not_found")
    answer = hub.http.post(hub.url + "/v1/sse?user=a", content="")
    assert (answer.status_code, code(answer)) == (405, "method_not_allowed")


def test_the_same_key_and_message_is_one_message(hub, user):
    from clients import RawSSE

    message = {"to": {"user": user}, "type": "t", "data": 1, "idempotencyKey": f"key-{user}"}
    first, second = hub.post(message), hub.post(message)
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    with RawSSE(hub, user, f"{user}-d1") as client:
        assert client.next()["id"] == first.json()["id"]
        client.silent(0.1)


def test_the_key_may_come_as_a_header(hub, user):
    message = {"to": {"user": user}, "type": "t", "data": 1}
    first = hub.post(message, Idempotency_Key=f"key-{user}")
    second = hub.post(message, Idempotency_Key=f"key-{user}")
    third = hub.post(message | {"idempotencyKey": f"key-{user}"})
    assert first.json() == second.json() == third.json()


def test_the_same_key_with_another_message_conflicts(hub, user):
    message = {"to": {"user": user}, "type": "t", "data": 1, "idempotencyKey": f"key-{user}"}
    assert hub.post(message).status_code == 202
    for change in ({"data": 2}, {"priority": "high"}, {"ttl": 60}, {"to": {"user": user + "x"}}):
        answer = hub.post(message | change)
        assert (answer.status_code, code(answer)) == (409, "idempotency_conflict")


def test_the_key_is_remembered_over_a_crash(server):
    message = {"to": {"user": "alice"}, "type": "t", "data": 1, "idempotencyKey": "k"}
    first = server.post(message)
    server.kill9()
    server.restart()
    second = server.post(message)
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"


def test_a_batch_has_one_result_a_line(hub, user):
    from clients import RawSSE

    lines = [
        json.dumps({"to": {"user": user}, "data": 0}),
        "",
        json.dumps({"to": {"user": user}, "data": 1, "ttl": -5}),
        "{",
        json.dumps({"to": {"user": user}, "data": 2}),
        json.dumps({"to": {"user": user}, "data": "x" * 70_000}),
    ]
    answer = hub.batch(lines)
    assert answer.status_code == 202
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [next(iter(result)) for result in results] == ["id", "error", "error", "id", "error"]
    assert [result["error"]["code"] for result in results if "error" in result] == ["bad_request", "invalid_json", "message_too_large"]
    with RawSSE(hub, user, f"{user}-d1") as client:
        assert [(m["id"], m["data"]) for m in client.take(2)] == [(results[0]["id"], 0), (results[3]["id"], 2)]


def test_a_batch_of_10000_keeps_its_order(hub, user):
    lines = [json.dumps({"to": {"user": user}, "data": n}) for n in range(10_000)]
    answer = hub.batch(lines)
    assert answer.status_code == 202
    ids = [json.loads(line)["id"] for line in answer.text.splitlines()]
    assert len(ids) == 10_000
    assert ids == sorted(ids)


def test_a_batch_has_its_limits(hub, user):
    line = json.dumps({"to": {"user": user}, "data": 1})
    answer = hub.batch([line] * 10_001)
    assert (answer.status_code, code(answer)) == (413, "batch_too_large")
    answer = hub.batch([json.dumps({"to": {"user": user}, "data": "x" * 60_000})] * 150)
    assert (answer.status_code, code(answer)) == (413, "batch_too_large")


def test_keys_work_within_a_batch(hub, user):
    line = json.dumps({"to": {"user": user}, "data": 1, "idempotencyKey": f"key-{user}"})
    other = json.dumps({"to": {"user": user}, "data": 2, "idempotencyKey": f"key-{user}"})
    first, second, third = [json.loads(text) for text in hub.batch([line, line, other]).text.splitlines()]
    assert first == second
    assert third["error"]["code"] == "idempotency_conflict"
