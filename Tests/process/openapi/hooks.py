"""What schemathesis must know about Martlet that OpenAPI cannot say."""

import json
import os
import re

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

BATCH = "application/x-ndjson"


@schemathesis.serializer(BATCH)
def write_lines(context, value):
    """The document shows a batch as an array of its lines."""
    if isinstance(value, bytes):
        return value
    return "".join(json.dumps(line) + "\n" for line in (value if isinstance(value, list) else [value])).encode()


@schemathesis.deserializer(BATCH)
def read_lines(context, response):
    return [json.loads(line) for line in response.content.splitlines()]


def is_negative(case, location) -> bool:
    return case.meta is not None and case.meta.is_negative_at(location)


def is_stateful(case) -> bool:
    return case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL


@schemathesis.hook
def filter_case(context, case) -> bool:
    if is_stateful(case) and isinstance(case.body, dict) and isinstance(to := case.body.get("to"), dict) and "topic" in to:
        return False  # a message of a topic has no status
    if case.media_type != BATCH:
        return True
    # A bad line is refused in its line of the answer (test_publish.py tries them), and no link leads on from several ids.
    return not is_negative(case, ParameterLocation.BODY) and not is_stateful(case)


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    # A held answer would take its whole time: a second shows the same.
    wait = (case.query or {}).get("wait")
    if isinstance(wait, int) and not isinstance(wait, bool) and 1 < wait <= 60:
        case.query["wait"] = 1
    # As a script every answer has the status 200: test_jsonp.py asks for those.
    callback = (case.query or {}).get("callback")
    if case.operation.path == "/v1/poll" and isinstance(callback, str) and re.fullmatch(r"[\w$.]{1,64}", callback):
        del case.query["callback"]
    # The links from a poll name the device that polled.
    if is_stateful(case) and case.operation.path == "/v1/poll" and not is_negative(case, ParameterLocation.QUERY):
        case.query = {"user": "alice", "device": "a1"} | dict(case.query or {})
    # A token speaks for one user, and must not be taken back while it is used.
    if (user := os.environ.get("MARTLET_TOKEN_USER")) and not is_negative(case, ParameterLocation.QUERY):
        if "user" in (case.query or {}):
            case.query["user"] = user
        if case.operation.path == "/v1/users/{id}/disconnect" and (case.path_parameters or {}).get("id") == user:
            case.path_parameters["id"] = "bob"
    # How far ahead it may be depends on the clock.
    if case.operation.path == "/v1/users/{id}/disconnect" and isinstance(case.body, dict) and not is_negative(case, ParameterLocation.BODY):
        if isinstance(before := case.body.get("revokeBefore"), int):
            case.body["revokeBefore"] = min(before, 1_700_000_000)
    # What a header says the query must not say too, history begins in one way, and a batch has no key.
    query = case.query or {}
    if case.operation.path.startswith("/v1/topics/"):
        for name, twin in (("Message-Type", "type"), ("TTL", "ttl"), ("Retain", "retain"), ("Idempotency-Key", "idempotencyKey")):
            if case.headers and name in case.headers:
                query.pop(twin, None)
        said = {name.lower(): str(value) for values in (query, case.headers or {}) for name, value in values.items()}
        if said.get("retain") == "true" and said.get("ttl") == "0":  # what lives for no time is not kept
            query.pop("retain", None)
            case.headers.pop("Retain", None) if case.headers else None
        if query.get("cursor"):
            query.pop("since", None)
        if case.media_type == BATCH:
            query.pop("idempotencyKey", None)
    # They are for topics only.
    elif "topics" not in query and not is_negative(case, ParameterLocation.QUERY):
        query.pop("since", None)
        query.pop("presence", None)
    # The header and the member must not differ, and a batch takes no header: only one of them is sent.
    if case.headers and "Idempotency-Key" in case.headers:
        if not is_negative(case, ParameterLocation.HEADER):
            if case.media_type == BATCH or (isinstance(case.body, dict) and case.body.get("idempotencyKey")):
                del case.headers["Idempotency-Key"]
        elif isinstance(case.body, dict):
            case.body.pop("idempotencyKey", None)


@schemathesis.hook
def before_load_schema(context, schema) -> None:
    """Clients ignore members that they do not know; the document must not miss one."""
    for name in ("Published", "Status", "Recall", "Poll", "Exchanged", "Received", "Welcome", "Gap", "Drain", "Close", "Error", "Disconnected", "Namespace", "Namespaces",
                 "TopicInfo", "History", "Presence", "PresenceEvent", "Unsubscribed"):
        schema["components"]["schemas"][name]["additionalProperties"] = False
