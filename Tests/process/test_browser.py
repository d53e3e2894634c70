"""A real Chromium on the forms of the dev page: every transport, acks, a killed server, a screenshot. The lanes are in test_demo.py."""

import os
import tempfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from server import unique

NAMES = {
    "websocket": "WebSocket", "sse": "SSE", "ramen": "RAMEN", "ndjson": "NDJSON stream", "multipart": "Multipart stream", "iframe": "Forever-iframe",
    "longpoll": "Long poll", "jsonp": "JSONP", "exchange": "Piggyback", "poll": "Polling",
}


def open_page(page, server, user, transport, device="browser"):
    page.goto(server.url)
    expect(page.locator("#state")).to_contain_text("connected")
    # The lanes send one message by themselves, whose delivery is shown.
    expect(page.locator("#verdict")).to_contain_text("Every lane has the message", timeout=20_000)
    page.click("#connect")  # away from the default user
    page.fill("#user", user)
    page.fill("#device", device)
    page.fill("#name", user)
    page.select_option("#transport", transport)
    page.click("#connect")
    expect(page.locator("#state")).to_have_text(f"connected by {NAMES[transport]}", timeout=10_000)


def publish(page, data, priority="medium"):
    page.fill("#data", data)
    page.locator(f"input[name=priority][value={priority}]").check(force=True)
    page.click("#publish")
    expect(page.locator("#published")).to_contain_text("202")


@pytest.mark.parametrize("transport", NAMES)
def test_publish_by_the_form_and_see_it_arrive(page, hub, transport):
    device = unique("device")
    open_page(page, hub, unique("user"), transport, device)
    publish(page, '{"n": 1, "html": "<img src=x onerror=alert(1)>"}', "high")
    message = page.locator("#messages li").first
    expect(message).to_contain_text('"n": 1')
    expect(message.locator(".badge.high")).to_have_text("high")
    expect(message.locator(".latency")).to_contain_text("ms")
    expect(message.locator(".badge.good")).to_have_text("acked")
    assert page.locator("#messages img").count() == 0
    expect(page.locator("#status-devices li", has_text=device)).to_contain_text("delivered")
    expect(page.locator("#curl-publish")).to_contain_text('"priority":"high"')


@pytest.mark.parametrize("transport", ["sse", "websocket", "jsonp"])
def test_resumes_after_the_server_was_killed(page, server, transport):
    open_page(page, server, "alice", transport)
    publish(page, '"before"')
    expect(page.locator("#messages li").first).to_contain_text("before")
    server.kill9()
    expect(page.locator("#state")).to_contain_text("reconnecting")
    server.restart()
    sent = server.publish("alice", data="while away")
    expect(page.locator(f'#messages li[data-id="{sent}"]')).to_contain_text("while away", timeout=20_000)
    expect(page.locator("#state")).to_contain_text("connected by")
    publish(page, '"after"')
    expect(page.locator("#messages li").first).to_contain_text("after")
    # Nothing that the browser acked or presented came twice.
    shown = page.locator("#messages li pre").all_text_contents()
    assert [shown.count(text) for text in ("before", "while away", "after")] == [1, 1, 1]
    expect(page.locator('#status-devices li:has(strong:text-is("browser"))')).to_contain_text("delivered")
    page.wait_for_timeout(1_500)  # for the screenshot: new messages fade in
    save_screenshot(page, transport)


def test_a_taken_over_page_stops(page, hub):
    from clients import RawSSE

    user = unique("user")
    for transport in ("sse", "websocket", "longpoll"):
        open_page(page, hub, user, transport)
        with RawSSE(hub, user, "browser") as client:
            expect(page.locator("#state")).to_have_text("stopped")
            expect(page.locator("#notice")).to_contain_text("taken over")
            hub.publish(user, data=1)
            client.next()
            page.wait_for_timeout(3_500)  # longer than any retry: it must not come back by itself
            assert not client.ended.is_set()
            client.acknowledge()


def test_recall_and_errors_are_shown(page, hub):
    open_page(page, hub, unique("user"), "sse")
    page.fill("#name", unique("nobody"))
    publish(page, '"later"')
    page.click("#recall")
    expect(page.locator("#recalled")).to_contain_text("recalled")
    page.fill("#name", "x\u0007")
    page.click("#publish")
    expect(page.locator("#published")).to_contain_text("bad_request")


@pytest.mark.parametrize("transport", ["sse", "websocket", "jsonp"])
def test_topics_by_the_form(page, hub, transport):
    topic = unique("demo")
    open_page(page, hub, unique("user"), transport)
    page.click("#connect")
    page.fill("#topics", f" {topic}/# , other")
    page.click("#connect")
    expect(page.locator("#state")).to_contain_text("connected by")
    page.select_option("#target", "topic")
    page.fill("#name", f"{topic}/a")
    expect(page.locator("#priorities")).to_be_hidden()
    expect(page.locator("#curl-publish")).to_contain_text(f"/v1/topics/{topic}/a")
    expect(page.locator("#curl-subscribe")).to_contain_text("topics=")
    page.fill("#data", '{"n": 1}')
    page.locator("#retain").check()
    page.click("#publish")
    expect(page.locator("#published")).to_contain_text("202")
    message = page.locator("#messages li").first
    expect(message.locator(".badge.topic")).to_have_text(f"{topic}/a")
    expect(message).to_contain_text('"n": 1')
    page.click("#connect")
    page.click("#connect")
    expect(page.locator("#messages li", has_text="retained")).to_have_count(1)


def test_a_room(page, browser, hub):
    name = unique("room")
    other = browser.new_context().new_page()
    for one in (page, other):
        one.goto(hub.url)
        one.fill("#room", name)
        one.locator("#room").blur()
        expect(one.locator("#room-state")).to_have_attribute("data-state", "open")
        one.fill("#device", "page" if one is page else "other")
    expect(other.locator("#room-count")).to_have_text("2 here")
    page.fill("#say", "<b>hello</b>")
    page.locator("#say").press("Enter")
    for one in (page, other):
        expect(one.locator("#room-messages li")).to_have_text("page<b>hello</b>")
    expect(page.locator("#say")).to_have_value("")
    other.context.close()


def test_fits_a_phone(browser, hub):
    context = browser.new_context(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, color_scheme="dark")
    page = context.new_page()
    open_page(page, hub, unique("user"), "websocket")
    publish(page, '{"long": "' + "word" * 200 + '"}')
    # Others broadcast on this server.
    expect(page.locator("#messages li", has_text="wordword")).to_have_count(1)
    expect(page.locator("#status-devices")).to_contain_text("delivered")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    save_screenshot(page, "phone")
    context.close()


def save_screenshot(page, name):
    target = os.environ.get("MARTLET_SCREENSHOT")
    path = Path(target) if target else Path(tempfile.gettempdir()) / "martlet-dev-page.png"
    page.screenshot(path=path.with_stem(f"{path.stem}-{name}"), full_page=True)
