"""GET /v1/poll?callback=: what a script tag gets, by exact bytes."""

import json
import threading
import time

import pytest

from access import Guarded, bearer, token
from server import unique
from streams import script_string
from topics import options, say


def call(text: str, name: str) -> dict:
    before, after = f"/**/{name}(JSON.parse(", "));\n"
    assert text.startswith(before) and text.endswith(after), text
    return json.loads(script_string(text[len(before):-len(after)]))


def poll(hub, user, name="cb", **query):
    return hub.get("/v1/poll", params={"user": user, "device": f"{user}-d1", "callback": name} | query)


def test_the_answer(hub, user):
    sent = hub.publish(user, data={"a": "</script>"})
    answer = poll(hub, user)
    assert answer.status_code == 200
    fields = answer.headers
    assert fields["content-type"] == "application/javascript; charset=utf-8" and fields["x-content-type-options"] == "nosniff"
    assert "no-store" in fields["cache-control"] and "etag" not in fields
    value = call(answer.text, "cb")
    assert [(m["id"], m["data"]) for m in value["messages"]] == [(sent, {"a": "</script>"})]
    # The next cursor is the ack.
    assert call(poll(hub, user, cursor=value["cursor"]).text, "cb")["messages"] == []
    assert hub.device_state(sent, f"{user}-d1") == "delivered"


def test_an_old_answer_is_never_run_again(hub, user):
    cursor = call(poll(hub, user).text, "cb")["cursor"]
    query = {"user": user, "device": f"{user}-d1", "callback": "cb", "cursor": cursor}
    answer = hub.get("/v1/poll", params=query, headers={"If-None-Match": f'"{cursor}"'})
    assert answer.status_code == 200
    assert call(answer.text, "cb")["messages"] == []


def test_a_held_answer_wakes(hub, user):
    answers = []
    asking = threading.Thread(target=lambda: answers.append(poll(hub, user, wait=10)))
    asking.start()
    asking.join(0.3)
    assert asking.is_alive()
    begin = time.monotonic()
    hub.publish(user, data="wake")
    asking.join(5)
    assert time.monotonic() - begin < 1
    assert call(answers[0].text, "cb")["messages"][0]["data"] == "wake"


def test_topics(hub):
    namespace = unique("space")
    options(hub, namespace, history={"messages": 10})
    say(hub, f"{namespace}/a", "<b>")
    answer = hub.get("/v1/poll", params={"topics": f"{namespace}/a", "since": "earliest", "callback": "x.y"})
    assert call(answer.text, "x.y")["messages"][0]["data"] == "<b>"


@pytest.mark.parametrize("query, code", [
    ({"wait": "x"}, "bad_request"), ({"limit": 0}, "bad_request"), ({"cursor": "garbage"}, "invalid_cursor"), ({"topics": "a#"}, "bad_request"),
    ({"nosuch": "</script>"}, "bad_request"), ({"device": "\u2028"}, "bad_request"),
])
def test_errors_are_calls(hub, user, query, code):
    answer = poll(hub, user, "a.b", **query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/javascript; charset=utf-8")
    assert call(answer.text, "a.b")["error"]["code"] == code


def test_a_bad_name_is_called_by_nobody(hub, user):
    for name in ("", "a b", "a..b", "alert(1)//", "opener.x", "__proto__", "x" * 65, "a\u2028", "</script>", "é"):
        answer = poll(hub, user, name)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json"), name
        assert answer.json()["error"]["code"] == "bad_request"
        # What was sent comes back escaped, or not at all.
        assert "</script>" not in answer.text or answer.headers["content-type"] == "application/json"


def test_who_may_ask(tmp_path):
    server = Guarded(tmp_path / "data").start()
    try:
        answer = server.get("/v1/poll?device=a1&callback=cb")
        assert call(answer.text, "cb")["error"]["code"] == "unauthorized" and answer.status_code == 200
        assert call(server.get(f"/v1/poll?device=a1&callback=cb&token={token()}").text, "cb")["messages"] == []
        assert call(server.get("/v1/poll?device=a1&callback=cb", headers=bearer(token())).text, "cb")["messages"] == []
        cookie = {"Cookie": f"martlet_token={token()}"}
        for site, may in (("same-origin", True), ("same-site", False), ("cross-site", False), (None, False)):
            fields = cookie | ({"Sec-Fetch-Site": site} if site else {})
            value = call(server.get("/v1/poll?device=a1&callback=cb", headers=fields).text, "cb")
            assert ("messages" in value) == may, site
            assert may or value["error"]["code"] == "forbidden"
        assert server.get("/v1/poll?device=a1", headers=cookie).status_code == 200, "without a callback an old browser's cookie counts"
    finally:
        server.stop()


def test_dev_mode_wants_to_know_which_page_asks(hub, user):
    """There a script of any page could read everything, in a browser of before 2023."""
    query = {"user": user, "device": f"{user}-d1", "callback": "cb"}
    old = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/60.0"}
    assert call(hub.get("/v1/poll", params=query, headers=old).text, "cb")["error"]["code"] == "forbidden"
    for site in ("same-origin", "same-site", "none"):
        assert "messages" in call(hub.get("/v1/poll", params=query, headers=old | {"Sec-Fetch-Site": site}).text, "cb")
    assert hub.get("/v1/poll", params=query, headers=old | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
