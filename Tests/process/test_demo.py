"""The dev page as people see it: a message on every lane, a server that is killed while they look, priorities, a room; in real browsers."""

import os
import re
import tempfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

import browsers
from server import unique, wait_until

LANES = [
    "martlet-js", "websocket", "sse", "ramen", "ndjson", "multipart", "iframe", "longpoll", "jsonp", "exchange", "poll",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# What a browser says of connections to a server that is away.
REFUSED = r"net::ERR_(CONNECTION|INCOMPLETE|EMPTY)|WebSocket connection"


@pytest.fixture
def open_page(browser):
    """Opens the page in a browser profile of its own; what it says on the console as an error must be expected."""
    contexts = []
    problems = []

    def open_page(server, viewport=DESKTOP, expected=None, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: problems.append(str(error)))

        def heard(message):
            if message.type == "error" and not (expected and re.search(expected, message.text)):
                problems.append(message.text)

        page.on("console", heard)
        page.goto(server.url)
        expect(page.locator("#up")).to_have_text(f"{len(LANES)}/{len(LANES)}", timeout=15_000)
        # The page sends one by itself when all are there.
        expect(page.locator("#verdict")).to_contain_text("Every lane has the message", timeout=15_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems, problems


def arrived(page) -> dict[str, list[int]]:
    """The numbers of the messages on each lane, as they came."""
    return page.evaluate("Object.fromEntries(board.lanes.map((lane) => [lane.key, [...lane.seen.keys()]]))")


def figures(page, lane: str) -> dict[str, str]:
    return page.locator(f".lane[data-lane={lane}] .figures div").evaluate_all(
        "all => Object.fromEntries(all.map((pair) => [pair.className.split(' ')[0], pair.querySelector('dd').textContent]))")


def expect_whole(page, count: int, timeout: float = 20_000):
    expect(page.locator("#verdict")).to_have_text(f"Every lane has all {count} messages, in order. Nothing lost.", timeout=timeout)
    got = arrived(page)
    assert list(got) == LANES
    for lane, numbers in got.items():
        assert numbers == list(range(1, count + 1)), lane
        shown = figures(page, lane)
        assert (shown["received"], shown["twice"], shown["lost"]) == (str(count), "0", "0"), (lane, shown)


def test_every_lane_gets_every_message_in_order(open_page, hub):
    page = open_page(hub)
    page.click("#send-many")
    page.click("#send-one")
    expect_whole(page, 52)
    assert [page.locator(f".lane[data-lane={lane}]").get_attribute("data-state") for lane in LANES] == ["open"] * len(LANES)
    for lane in LANES:
        assert page.locator(f".lane[data-lane={lane}] .strip i.here").count() == 48
        assert re.fullmatch(r"[\d.]+ m?s", figures(page, lane)["last"]), lane
    # The server says the same of the last one.
    last = page.evaluate("delivery.id")
    wait_until(lambda: hub.status(last)["counts"] == {"delivered": len(LANES)}, 10, "delivered to each lane")
    expect(page.locator("#status-devices li.delivered")).to_have_count(len(LANES))
    expect(page.locator("#status-counts")).to_have_text(f"{len(LANES)} delivered")


def test_a_lane_that_is_cut_gets_what_it_missed(open_page, hub):
    page = open_page(hub)
    cut = page.locator(".lane[data-lane=sse]")
    cut.get_by_role("button", name="Cut SSE").click()
    expect(cut.locator(".state")).to_have_text("cut by you")
    page.click("#send-many")
    expect(page.locator(".lane[data-lane=poll]")).to_have_attribute("data-received", "51")
    expect(page.locator("#verdict")).to_contain_text("50 deliveries on the way or kept for a lane that is away.")
    expect(page.locator("#status-devices li.queued")).to_have_text(re.compile("SSE"))
    assert len(arrived(page)["sse"]) == 1
    cut.get_by_role("button", name="Mend SSE").click()
    expect_whole(page, 51)
    assert cut.locator(".strip i.late").count() > 40


def test_a_message_from_a_terminal_comes_on_every_lane(open_page, hub):
    page = open_page(hub)
    user = page.evaluate("board.user")
    assert user in page.inner_text("#curl-lanes")
    hub.publish(user, data="<img src=x onerror=alert(1)>", priority="high")
    for lane in LANES:
        expect(page.locator(f".lane[data-lane={lane}]")).to_have_attribute("data-received", "2")
        assert page.locator(f".lane[data-lane={lane}] .strip i.here.high").count() == 1


def test_survives_a_killed_server_on_screen(open_page, server):
    page = open_page(server, expected=REFUSED)
    page.click("#keep")
    expect(page.locator("#sent")).to_have_text("3")
    server.kill9()
    banner = page.locator("#outage")
    expect(banner).to_have_attribute("data-phase", "gone")
    expect(banner).to_contain_text("Disconnected, waiting")
    expect(banner).to_contain_text(re.compile("waits? here to be sent"))
    # A poll notices when it polls next.
    expect(page.locator("#up")).to_have_text(f"0/{len(LANES)}")
    save_screenshot(page, "gone")
    server.restart()
    expect(banner).to_have_attribute("data-phase", "resumed", timeout=30_000)
    page.click("#keep")
    text = banner.inner_text()
    # Each lane comes back with its cursor, so that nothing comes twice although the server forgets the acks of the last second.
    said = re.search(r"Resumed, nothing lost\s+11 lanes resumed\. (\d+) messages sent, (\d+) on each lane \((\d+) from the outage\), 0 twice, 0 lost\.", text)
    assert said and said[1] == said[2] and int(said[3]) > 0, text
    expect(page.locator("#outbox, #waiting")).to_have_text("0")
    expect_whole(page, page.evaluate("board.next - 1"))
    story = page.locator("#story li").all_inner_texts()
    for line, wanted in zip(reversed(story), ["All 11 lanes are connected", "Disconnected: the server is gone", "The server is back after", "Resumed, nothing lost"], strict=True):
        assert wanted in line
    save_screenshot(page, "resumed")


def test_tells_when_something_is_lost(open_page, hub):
    """The counts can fail: a message is said to be stored that nobody will get."""
    page = open_page(hub)
    page.evaluate("board.stored.set(2, performance.now() - 60000)")
    for lane in board_open_since(page):
        expect(page.locator(f".lane[data-lane={lane}] .lost dd")).to_have_text("1")
    expect(page.locator("#verdict")).to_contain_text("11 lost")


def board_open_since(page) -> list[str]:
    page.evaluate("for (const lane of board.lanes) lane.openSince -= 60000")
    return LANES


def test_urgent_first_and_only_the_newest(open_page, hub):
    page = open_page(hub)
    page.get_by_role("button", name="40 low, then 1 high").click()
    said = page.locator("#urgent-text")
    expect(said).to_contain_text("The low ones kept their order.", timeout=20_000)
    place = int(re.search(r"arrived as number (\d+): it overtook (\d+)", said.inner_text())[1])
    assert place < 30
    assert page.locator("#urgent-strip i").nth(place - 1).get_attribute("class") == "here high"
    assert page.locator("#urgent-strip i.here.low").count() == 40
    page.get_by_role("button", name="Drive").click()
    said = page.locator("#moving-text")
    expect(said).to_contain_text("The publisher sees", timeout=20_000)
    shown, replaced, collapsed = map(int, re.search(r"40 positions published, (\d+) shown, (\d+) replaced .* (\d+) are \"collapsed\"", said.inner_text()).groups())
    assert shown + replaced == 40
    assert 1 <= shown < 40 and collapsed >= 1
    # Again, with the same devices.
    page.get_by_role("button", name="40 low, then 1 high").click()
    expect(page.locator("#urgent-strip i.here")).to_have_count(41, timeout=20_000)


def test_one_tab_at_a_time_has_the_lanes(open_page, hub):
    first = open_page(hub)
    second = first.context.new_page()
    second.goto(hub.url)
    expect(second.locator("#elsewhere")).to_contain_text("another tab")
    expect(second.locator("#up")).to_have_text("0/11")
    second.get_by_role("button", name="Run them here").click()
    expect(second.locator("#up")).to_have_text("11/11", timeout=15_000)
    expect(first.locator("#elsewhere")).to_be_visible()
    expect(first.locator("#up")).to_have_text("0/11")
    # Everything else goes on in both.
    for page in (first, second):
        expect(page.locator("#state")).to_contain_text("connected")


def test_a_room_shows_who_is_there(open_page, hub):
    name = unique("room")
    pages = [open_page(hub), open_page(hub)]
    for page in pages:
        page.fill("#room", name)
        page.locator("#room").blur()
        expect(page.locator("#room-state")).to_have_attribute("data-state", "open")
    devices = [page.input_value("#device") for page in pages]
    for page, own in zip(pages, devices):
        expect(page.locator("#room-count")).to_have_text("2 here")
        assert sorted(page.locator("#room-members li").all_inner_texts()) == sorted(f"{device} (you)" if device == own else device for device in devices)
    pages[0].fill("#say", "<b>hello</b>")
    pages[0].locator("#say").press("Enter")
    for page in pages:
        expect(page.locator("#room-messages li")).to_have_text(f"{devices[0]}<b>hello</b>")
    pages[1].context.close()
    expect(pages[0].locator("#room-count")).to_have_text("1 here")


# ---------------------------------------------------------------- how it looks and is used

CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number)
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor)
      if (colour.length === 3 || colour[3] === 1) return colour
    }
    return [255, 255, 255]
  }
  const poor = []
  for (const node of document.querySelectorAll('body *')) {
    const isText = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())
    if (!isText || !node.checkVisibility() || node.closest('[disabled], script, style')) continue
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x)
    const ratio = (a + 0.05) / (b + 0.05)
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 30)}`)
  }
  return poor
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_fits_and_can_be_read(open_page, hub, size, scheme):
    phone = {"viewport": PHONE, "is_mobile": True, "has_touch": True} if size == "phone" else {"viewport": DESKTOP}
    page = open_page(hub, color_scheme=scheme, **phone)
    page.click("#keep")
    page.click("#send-many")
    user = unique("user")
    page.click("#connect")
    for field in ("#user", "#name"):
        page.fill(field, user)
    page.click("#connect")
    page.fill("#data", '{"long": "' + "word" * 200 + '"}')
    page.click("#publish")
    page.fill("#say", "word" * 100)
    page.locator("#say").press("Enter")
    expect(page.locator("#room-messages")).to_contain_text("wordword")
    expect(page.locator("#messages li", has_text="wordword")).to_have_count(1)
    for summary in page.locator(".lane summary").all():
        summary.click()
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing sticks out of its card either.
    assert page.evaluate("[...document.querySelectorAll('.card')].filter((card) => card.scrollWidth > card.clientWidth + 1).map((card) => card.innerText)") == []
    assert page.evaluate(CONTRAST) == []
    for summary in page.locator(".lane summary").all():
        summary.click()
    page.locator("#messages li.fresh").first.evaluate("node => Promise.all(node.getAnimations().map((one) => one.finished))")
    save_screenshot(page, f"{size}-{scheme}")


REACHABLE = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
  .filter((node) => node.checkVisibility() && !node.disabled && (node.type !== 'radio' || node.checked))
  .map((node) => { node.dataset.mark ??= String(Math.random()); return node.dataset.mark })"""
FOCUSED = """() => {
  const node = document.activeElement
  const shown = node.type === 'radio' ? node.nextElementSibling : node
  const name = node.ariaLabel || [...node.labels ?? []].map((label) => label.textContent).join('') || node.textContent.trim()
  return [node.dataset.mark ?? '', getComputedStyle(shown).outlineStyle !== 'none', name || node.outerHTML.slice(0, 80)]
}"""


def test_everything_works_by_the_keyboard(open_page, hub):
    page = open_page(hub)
    wanted = set(page.evaluate(REACHABLE))
    assert len(wanted) > 50
    reached = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(len(wanted) + 10):
        page.keyboard.press("Tab")
        mark, is_shown, name = page.evaluate(FOCUSED)
        if not mark:
            continue
        assert is_shown, f"nothing shows that it has the focus: {name}"
        assert not name.startswith("<"), f"nobody knows what it is: {name}"
        reached.add(mark)
    assert reached == wanted
    page.locator("#send-one").focus()
    page.keyboard.press("Enter")
    expect_whole(page, 2)
    page.locator("input[name=lane-priority]:checked").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("input[name=lane-priority]:checked").input_value() == "low"
    page.locator("#keep").focus()
    page.keyboard.press("Space")
    expect(page.locator("#keep")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".lane[data-lane=websocket] .strip i.here.low").first).to_be_attached()


def test_the_policy_names_the_page_s_own_scripts_only(open_page, hub):
    page = open_page(hub, expected="Content Security Policy")
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert "unsafe" not in policy and policy.startswith("default-src 'none'")
    assert page.evaluate("""() => {
      const script = document.createElement('script')
      script.textContent = 'window.wasRun = true'
      script.addEventListener('error', () => {})
      return new Promise((done) => {
        document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective))
        document.body.append(script)
      })
    }""") == "script-src-elem"
    assert page.evaluate("window.wasRun") is None


@pytest.mark.long
def test_firefox_has_every_lane_and_comes_back(server):
    firefox = browsers.start("firefox")
    try:
        firefox.fresh()
        tab = firefox.tab(server.url)
        every = "board.lanes.map((lane) => [...lane.seen.keys()].join())"
        tab.wait("board.up.length === 11", 30)
        tab.wait(f"new Set({every}).size === 1 && board.stored.size === 1")
        tab.run("$('send-many').click()")
        tab.wait(f"new Set({every}).size === 1 && board.stored.size === 51")
        server.kill9()
        tab.wait("$('outage').dataset.phase === 'gone'")
        tab.run("$('send-many').click()")
        server.restart()
        tab.wait("$('outage').dataset.phase === 'resumed'", 30)
        assert tab.run(every) == [",".join(str(number) for number in range(1, 102))] * 11
        assert tab.run("$('outage').innerText").endswith("0 twice, 0 lost.")
    finally:
        firefox.stop()


def save_screenshot(page, name):
    target = os.environ.get("MARTLET_SCREENSHOT")
    path = Path(target) if target else Path(tempfile.gettempdir()) / "martlet-dev-page.png"
    page.screenshot(path=path.with_stem(f"{path.stem}-demo-{name}"), full_page=name not in ("gone", "resumed"))
