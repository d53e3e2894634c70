"""/metrics is true: known traffic moves the numbers by exactly what happened."""

import json

import pytest

import metrics
from clients import Ramen, RawSSE, WebSocket
from server import Server, wait_until

COUNTED = (
    "martlet_publishes_total", "martlet_deliveries_total", "martlet_redeliveries_total", "martlet_acks_total",
    "martlet_gaps_total", "martlet_sessions_opened_total", "martlet_sessions_closed_total", "martlet_messages_expired_total",
    "martlet_inbox_dropped_total", "martlet_refused_total",
)


def test_the_text_is_what_prometheus_reads(server):
    server.publish("alice", data=1)
    answer = server.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    metrics.check("check", "metrics", text=answer.text)
    for name in metrics.names(answer.text):
        assert f"# HELP {name} " in answer.text, f"{name} has no help"
        assert name.startswith(("martlet_", "process_"))


def test_a_fresh_server_has_every_number_at_zero(server):
    now = metrics.numbers(server)
    assert {name: value for name, value in now.items() if name.startswith(COUNTED) and value} == {}
    assert now['martlet_sessions{transport="sse"}'] == 0
    assert now['martlet_build_info{version="0.1.0"}'] == 1
    assert now["martlet_store_writable"] == 1
    assert now["process_resident_memory_bytes"] > 1_000_000
    assert 5 < now["process_open_fds"] < now["process_max_fds"]
    assert now["martlet_store_bytes"] > 0


def test_publishes_by_result(server, user):
    before = metrics.numbers(server)
    for n in range(5):
        server.publish(user, data=n)
    server.post({"to": {"user": user}, "data": 1}, Idempotency_Key="k")
    server.post({"to": {"user": user}, "data": 1}, Idempotency_Key="k")
    assert server.post({"to": {"user": user}, "data": 2}, Idempotency_Key="k").status_code == 409
    assert server.post("{").status_code == 400
    server.batch([json.dumps({"to": {"user": user}, "data": n}) for n in range(10)] + ["{", '{"to":{}}'])
    assert server.post("x" * 70_000).status_code == 413
    changed = metrics.numbers(server).since(before, *COUNTED)
    assert changed == {
        'martlet_publishes_total{result="stored"}': 16,
        'martlet_publishes_total{result="repeated"}': 1,
        'martlet_publishes_total{result="conflict"}': 1,
        'martlet_publishes_total{result="refused"}': 4,
        'martlet_refused_total{reason="idempotency_conflict"}': 1,
        'martlet_refused_total{reason="invalid_json"}': 1,
        'martlet_refused_total{reason="message_too_large"}': 1,
    }
    requests = metrics.numbers(server).since(before, "martlet_http_requests_total")
    assert requests['martlet_http_requests_total{path="/v1/messages",status="2xx"}'] == 8
    assert requests['martlet_http_requests_total{path="/v1/messages",status="4xx"}'] == 3


def test_deliveries_acks_and_redeliveries(server, user):
    before = metrics.numbers(server)
    clients = [WebSocket(server, user, f"{user}-{n}", ack="explicit") for n in range(3)]
    now = metrics.numbers(server)
    assert now['martlet_sessions{transport="websocket"}'] == 3
    assert now['martlet_connections{security="plain"}'] - before['martlet_connections{security="plain"}'] == 3
    for n in range(7):
        server.publish(user, data=n)
    for client in clients:
        assert client.data(7) == list(range(7))
    for client in clients[:2]:
        client.acknowledge()
    # The third has seen all and acked nothing: it gets all again.
    clients[2].drop()
    metrics.settled(server, 'martlet_sessions_closed_total{reason="client"}', 1)
    with WebSocket(server, user, f"{user}-2", ack="explicit") as again:
        assert [message["redelivered"] for message in again.take(7)] == [True] * 7
        now = metrics.settled(server, 'martlet_deliveries_total{transport="websocket"}', 28)
        assert now.since(before, *COUNTED) == {
            'martlet_publishes_total{result="stored"}': 7,
            'martlet_deliveries_total{transport="websocket"}': 28,
            "martlet_redeliveries_total": 7,
            "martlet_acks_total": 2,
            'martlet_sessions_opened_total{transport="websocket"}': 4,
            'martlet_sessions_closed_total{reason="client"}': 1,
        }
        # One value for each commit and event loop with receivers.
        assert 7 <= now["martlet_publish_to_deliver_seconds_count"] <= 21
        assert 0 < now["martlet_publish_to_deliver_seconds_sum"] < 5
        # The first message of each session is measured; its ack came with that of the last.
        assert now["martlet_publish_to_ack_seconds_count"] == 2
    for client in clients[:2]:
        client.drop()
    metrics.settled(server, 'martlet_sessions_closed_total{reason="client"}', 4)
    assert metrics.numbers(server)['martlet_sessions{transport="websocket"}'] == 0


@pytest.mark.parametrize(
    ("client", "name"), [(RawSSE, "sse"), (WebSocket, "websocket"), (Ramen, "ramen")], ids=["sse", "websocket", "ramen"])
def test_sessions_are_counted_by_their_transport(server, user, client, name):
    with client(server, user, f"{user}-d"):
        now = metrics.numbers(server)
        assert now[f'martlet_sessions{{transport="{name}"}}'] == 1
        assert now[f'martlet_sessions_opened_total{{transport="{name}"}}'] == 1
        with client(server, user, f"{user}-d") as second:
            wait_until(
                lambda: metrics.numbers(server)['martlet_sessions_closed_total{reason="taken_over"}'] == 1, what="taken over")
            server.publish(user, data=1)
            second.next()
            now = metrics.settled(server, f'martlet_deliveries_total{{transport="{name}"}}', 1)
            assert now[f'martlet_sessions{{transport="{name}"}}'] == 1


def test_ends_are_counted_by_their_reason(server, user):
    with RawSSE(server, user, f"{user}-1") as first, WebSocket(server, user, f"{user}-2") as second:
        assert server.http.post(f"{server.url}/v1/users/{user}/disconnect").status_code < 300
        first.wait_ended()
        second.wait_ended()
    now = metrics.settled(server, 'martlet_sessions_closed_total{reason="disconnected"}', 2)
    assert now['martlet_sessions_closed_total{reason="client"}'] == 0
    assert sum(value for name, value in now.items() if name.startswith("martlet_sessions{")) == 0


def test_each_poll_is_a_session(server, user):
    server.publish(user, data=1)
    for _ in range(3):
        assert server.get("/v1/poll", params={"user": user, "device": user}).status_code == 200
    now = metrics.numbers(server)
    assert now['martlet_sessions_opened_total{transport="poll"}'] == 3
    assert now['martlet_sessions{transport="poll"}'] == 0
    assert now['martlet_deliveries_total{transport="poll"}'] == 3
    assert now["martlet_redeliveries_total"] == 2


def test_what_expires_leaves_the_backlog(server, user):
    for n in range(4):
        server.publish(user, data=n, ttl=1)
    server.publish(user, data="stays", ttl=3_600)
    server.publish(user, data="for nobody", ttl=0)
    assert metrics.numbers(server)["martlet_store_messages"] == 5
    wait_until(lambda: metrics.numbers(server)["martlet_messages_expired_total"] == 4, timeout=15, what="expired")
    assert metrics.numbers(server)["martlet_store_messages"] == 1
    server.terminate()
    server.wait()
    server.restart()
    assert metrics.numbers(server)["martlet_store_messages"] == 1
    server.publish(user, data="counted again after a kill", ttl=3_600)
    server.kill9()
    server.restart()
    assert metrics.numbers(server)["martlet_store_messages"] == 2


def test_what_is_pushed_out_of_a_full_inbox_is_counted(tmp_path, user):
    server = Server(tmp_path / "data", "--limits-inbox-messages", "10").start()
    try:
        server.batch([json.dumps({"to": {"user": user}, "data": n}) for n in range(25)])
        assert metrics.numbers(server)["martlet_inbox_dropped_total"] == 15
        with RawSSE(server, user, user) as client:
            assert client.data(10) == list(range(15, 25))
            assert client.notice("gap")["reason"] == "inbox_full"
        assert metrics.numbers(server)['martlet_gaps_total{reason="inbox_full"}'] == 1
    finally:
        server.stop()


def test_connections_beyond_the_limit_are_counted(tmp_path):
    server = Server(tmp_path / "data", "--limits-connections", "5").start()
    try:
        assert metrics.numbers(server)["martlet_connections_limit"] == 5
        others = [server.connect() for _ in range(4)]
        wait_until(lambda: metrics.numbers(server)['martlet_connections{security="plain"}'] == 5, what="five")
        refused = [server.connect() for _ in range(3)]
        for connection in refused:
            assert b"too_many_connections" in connection.recv(4_096)
        assert metrics.numbers(server)['martlet_refused_total{reason="too_many_connections"}'] == 3
        for connection in others + refused:
            connection.close()
        wait_until(lambda: metrics.numbers(server)['martlet_connections{security="plain"}'] == 1, what="one")
    finally:
        server.stop()


def test_refusals_by_reason(server, user):
    before = metrics.numbers(server)
    server.get("/nothing")
    server.get("/v1/sse")
    server.get("/v1/sse", params={"user": user, "cursor": "garbage"})
    server.get("/v1/messages")
    server.ack(user, user, {"session": "none", "ack": 1})
    server.http.put(server.url + "/v1/ack")
    changed = metrics.numbers(server).since(before, "martlet_refused_total")
    assert changed == {
        'martlet_refused_total{reason="not_found"}': 1,
        'martlet_refused_total{reason="unauthorized"}': 1,
        'martlet_refused_total{reason="invalid_cursor"}': 1,
        'martlet_refused_total{reason="method_not_allowed"}': 2,
        'martlet_refused_total{reason="session_unknown"}': 1,
    }


def test_gap_notices_are_counted(server, user):
    with RawSSE(server, user, f"{user}-1") as other:
        position = other.welcome["_id"]
    with RawSSE(server, f"{user}x", f"{user}-2", resume=position) as client:
        assert client.notice("gap")["reason"] == "owner"
        told = metrics.numbers(server)['martlet_gaps_total{reason="owner"}']
        assert told == 1 + sum(1 for name, _ in list(client.notices.queue) if name == "gap")


def test_commits_are_measured(server, user):
    before = metrics.numbers(server)
    server.batch([json.dumps({"to": {"user": user}, "data": n}) for n in range(1_000)])
    now = metrics.numbers(server)
    changed = now.since(before, "martlet_store_commit")
    assert changed["martlet_store_commit_messages_sum"] == 1_000
    assert 5 <= changed["martlet_store_commit_messages_count"] <= 20  # At most 200 a commit.
    assert now["martlet_store_commit_seconds_sum"] > 0
    assert now["martlet_store_commit_failures_total"] == 0


def test_event_loops_are_probed(server):
    wait_until(lambda: metrics.numbers(server)["martlet_event_loop_lag_seconds_count"] >= 4, what="probes")
    now = metrics.numbers(server)
    assert now["martlet_event_loop_lag_seconds_sum"] / now["martlet_event_loop_lag_seconds_count"] < 0.5
