"""WebSocket clients that do not wait for their turn, or never read."""

import struct
import time

import pytest

from wire import Wire, frame, handshake


def test_frames_with_the_handshake_and_before_its_answer(unhurt, user):
    """Frames that do not wait for the 101 are read after it, and nothing comes before it."""
    for _ in range(30):
        with Wire(unhurt) as wire:
            wire.send(handshake(f"/v1/ws?user={user}&device=d"), frame(b'{"ping":1}'))
            wire.send(frame(b'{"ping":2}'), frame(b"x", 9))
            assert wire.head().status == 101
            assert "welcome" in wire.text()
            assert wire.text() == {"pong": 1}
            assert wire.text() == {"pong": 2}
            assert wire.frame() == (10, b"x")
    # Without a device the session is there at once.
    with Wire(unhurt) as wire:
        wire.send(handshake(f"/v1/ws?user={user}"), frame(b'{"ping":1}'))
        assert wire.head().status == 101
        assert "welcome" in wire.text()
        assert wire.text() == {"pong": 1}
    with Wire(unhurt) as wire:
        wire.send(handshake("/dev/echo"), frame(b"hello"))
        assert wire.head().status == 101
        assert wire.frame() == (1, b"hello")


def test_a_close_with_the_handshake(unhurt, user):
    for payload in (b"", struct.pack(">H", 1000), struct.pack(">H", 1000) + b"bye", b"\x03"):
        with Wire(unhurt) as wire:
            wire.send(handshake(f"/v1/ws?user={user}&device=d"), frame(payload, 8))
            assert wire.head().status == 101
            assert b"welcome" in wire.to_end()
    with Wire(unhurt) as wire:  # after a close nothing counts
        wire.send(handshake(f"/v1/ws?user={user}&device=d"), frame(b"", 8), frame(b'{"ping":1}'))
        assert b"pong" not in wire.to_end()


def test_a_reset_while_the_answer_is_written(unhurt):
    """The write fails, and the frames that lie unread are read within it."""
    bad = b"\x81\x05hello"  # without a mask
    for round in range(600):
        with Wire(unhurt) as wire:
            wire.send(handshake(f"/v1/ws?user=reset&device=d{round}"))
            time.sleep(round % 20 / 20_000)  # the reset is to meet the answer: every moment is tried
            wire.send(bad)
            wire.reset()


def test_a_flood_before_the_answer_to_a_handshake(unhurt, user):
    with Wire(unhurt) as wire:
        try:
            wire.send(handshake(f"/v1/ws?user={user}&device=d"), frame(b'{"ping":1}') * 50_000)
        except OSError:
            pass
        wire.reset()


def test_an_unread_pong_is_not_hoarded(unhurt, user):
    """Who pings for ever and never reads is not read for ever."""
    unhurt.get("/healthz")
    before = unhurt.rss_kb()
    for path in (f"/v1/ws?user={user}&device=d", "/dev/echo"):
        with Wire(unhurt, timeout=1, receive_buffer=4096) as wire:
            wire.send(handshake(path))
            pings = frame(b"x" * 120, 9) * 2_000
            with pytest.raises(OSError):
                for _ in range(400):
                    wire.send(pings)
        assert unhurt.rss_kb() - before < 20_000
