"""Clients that come and go at the worst moment: nothing is kept of them."""

import os
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from server import wait_until
from wire import Wire, handshake, request, sockets


def test_disconnects_while_a_session_is_opened(unhurt, user):
    def one(number: int) -> None:
        path = f"user={user}&device=d{number % 7}"
        wire = Wire(unhurt)
        wire.send(random.choice([
            request("GET", f"/v1/sse?{path}"), handshake(f"/v1/ws?{path}"), request("GET", f"/v1/poll?{path}&wait=30"),
            request("GET", f"/ramen/receive?seq=0&{path}"), request("GET", f"/v1/poll?{path}"),
        ]))
        if number % 3 == 0:
            time.sleep(random.random() / 100)
        random.choice([wire.close, wire.reset])()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(2_000)))


def test_a_disconnect_while_a_poll_is_held(unhurt, user):
    before = sockets(unhurt)
    for end in ("close", "reset"):
        wire = Wire(unhurt)
        wire.send(request("GET", f"/v1/poll?user={user}&device=d&wait=60"))
        with pytest.raises(TimeoutError):
            wire.socket.settimeout(0.2)
            wire.more()
        getattr(wire, end)()
    # Requests behind a held poll wait, and go with it.
    wait_until(lambda: sockets(unhurt) <= before, 5, "the others' end")
    wire = Wire(unhurt)
    wire.send(request("GET", f"/v1/poll?user={user}&device=d&wait=60"), request("GET", "/healthz") * 500)
    wait_until(lambda: sockets(unhurt) > before, 5, "the server's end of the connection")
    wire.close()


def test_half_closed(unhurt, user):
    """A client that says it has nothing more to say is gone, whatever it was doing."""
    for head in (
        request("GET", f"/v1/sse?user={user}&device=d"), handshake(f"/v1/ws?user={user}&device=e"), b"GET /heal",
        request("GET", f"/v1/poll?user={user}&device=f&wait=60"), request("POST", "/v1/messages", "Content-Length: 10", body="{"), b"",
    ):
        with Wire(unhurt) as wire:
            wire.send(head)
            wire.socket.shutdown(socket.SHUT_WR)
            wire.to_end()


def test_a_take_over_storm(unhurt, user):
    """50 connections at once claim one device: one is left, the others are told, and it gets what is published."""
    barrier = threading.Barrier(50)

    def one(number: int, name: str) -> Wire:
        wire = Wire(unhurt, timeout=10)
        query = f"user={name}&device={name}"
        heads = [request("GET", f"/v1/sse?{query}"), handshake(f"/v1/ws?{query}"), request("GET", f"/v1/poll?{query}&wait=60")]
        barrier.wait(10)
        return wire.send(heads[number % 3])

    for round in range(5):
        with ThreadPoolExecutor(50) as pool:
            name = f"{user}-{round}"
            wires = list(pool.map(one, range(50), [name] * 50))
            unhurt.publish(name, data=f"round {round}")

            def outcome(wire: Wire) -> str:
                mark = f"round {round}".encode()
                while True:
                    if mark in wire.rest:
                        return "got"
                    if b"4500" in wire.rest or b"\x11\x94" in wire.rest or b"takenOver" in wire.rest or b" 204 " in wire.rest:
                        return "told"
                    wire.more()

            outcomes = list(pool.map(outcome, wires))
        assert outcomes.count("got") >= 1
        for wire in wires:
            wire.close()


def test_a_taken_over_client_that_does_not_read_is_let_go(unhurt, user):
    """Its unread bytes do not keep its connection for ever."""
    before = sockets(unhurt)
    with Wire(unhurt, receive_buffer=4096) as stuck:
        stuck.send(request("GET", f"/v1/sse?user={user}&device=d&window=1024"))
        stuck.until(b"event: welcome")
        for _ in range(60):
            unhurt.publish(user, data="x" * 60_000)
        with Wire(unhurt) as other:
            other.send(request("GET", f"/v1/sse?user={user}&device=d&from=now"))
            other.until(b"event: welcome")
            wait_until(lambda: sockets(unhurt) <= before + 1, 15, "the stuck connection's end")


@pytest.mark.alone
def test_connects_and_disconnects(unhurt):
    """1,000 a second: what is held goes back to the start."""
    seconds = float(os.environ.get("MARTLET_CHURN_SECONDS", "3"))

    def churn(worker: int, until: float) -> int:
        count = 0
        while time.monotonic() < until:
            query = f"user=churn{worker}&device=churn{worker}-{count % 10}"
            wire = Wire(unhurt)
            wire.send([request("GET", f"/v1/sse?{query}"), handshake(f"/v1/ws?{query}"), request("GET", f"/v1/poll?{query}")][count % 3])
            wire.more()
            wire.close()
            count += 1
        return count

    def run(duration: float) -> int:
        with ThreadPoolExecutor(16) as pool:
            until = time.monotonic() + duration
            return sum(pool.map(lambda worker: churn(worker, until), range(16)))

    run(1)
    before = unhurt.rss_kb()
    total = run(seconds)
    print(f"{total / seconds:.0f} connects/s, {before} KB before, {unhurt.rss_kb()} KB after")
    assert total > 500 * seconds
    assert unhurt.rss_kb() - before < 10_000
