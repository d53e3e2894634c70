"""Chromium (by playwright) and Firefox (by WebDriver BiDi, which Debian's own speaks) with the little that a test of scripts needs of either."""

import http.server
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
import websockets.sync.client
from playwright.sync_api import sync_playwright

from access import token
from server import ROOT, wait_until

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FIREFOX = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


class Tab:
    """One page: `run` evaluates an expression, waits if it is a promise, and returns its value."""

    def run(self, expression: str):
        raise NotImplementedError

    def wait(self, expression: str, timeout: float = 15):
        """Until the expression is true; returns its value."""
        try:
            return wait_until(lambda: self.run(expression), timeout, expression)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.run('window.seen && JSON.stringify([seen.errors, seen.statuses.slice(-4), seen.data.length])')}") from None


class ChromiumTab(Tab):
    def __init__(self, page):
        self.page = page

    def goto(self, url: str) -> None:
        self.page.goto(url)

    def run(self, expression: str):
        return self.page.evaluate(expression)

    def close(self) -> None:
        self.page.close(run_before_unload=False)


class Chromium:
    name = "chromium"

    def __init__(self):
        self.playwright = sync_playwright().start()
        self.browser = self.playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])

    def fresh(self) -> None:
        """Forgets cookies and storage, and closes all tabs."""
        for context in self.browser.contexts:
            context.close()
        self.context = self.browser.new_context()

    def tab(self, url: str) -> ChromiumTab:
        tab = ChromiumTab(self.context.new_page())
        tab.goto(url)
        return tab

    def stop(self) -> None:
        self.browser.close()
        self.playwright.stop()


class FirefoxTab(Tab):
    def __init__(self, firefox, context: str):
        self.firefox, self.context = firefox, context

    def goto(self, url: str) -> None:
        self.firefox.ask("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def run(self, expression: str):
        wrapped = f"(async () => JSON.stringify(await ({expression})))()"
        answer = self.firefox.ask("script.evaluate", expression=wrapped, target={"context": self.context}, awaitPromise=True)
        assert answer["type"] == "success", answer.get("exceptionDetails", answer).get("text")
        value = answer["result"]
        return json.loads(value["value"]) if value["type"] == "string" else None

    def close(self) -> None:
        self.firefox.ask("browsingContext.close", context=self.context)
        self.firefox.tabs.remove(self)


class Firefox:
    """https://w3c.github.io/webdriver-bidi/; one question at a time."""

    name = "firefox"

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="martlet-firefox-")
        self.tabs: list[FirefoxTab] = []
        self.numbers = itertools.count(1)
        self.process = subprocess.Popen(
            [FIREFOX, "--headless", "--no-remote", "--profile", self.folder.name, "--remote-debugging-port", "0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=os.environ | {"HOME": self.folder.name})
        found: list[str] = []
        ready = threading.Event()

        def read() -> None:
            for line in self.process.stderr:
                if match := re.search(rb"WebDriver BiDi listening on (ws://\S+)", line):
                    found.append(match[1].decode())
                    ready.set()
            ready.set()

        threading.Thread(target=read, daemon=True).start()
        assert ready.wait(60) and found, "Firefox did not say where it listens"
        self.socket = websockets.sync.client.connect(f"{found[0]}/session", max_size=None, proxy=None, ping_interval=None, legacy=True)
        self.ask("session.new", capabilities={})
        self.first = self.ask("browsingContext.getTree")["contexts"][0]["context"]
        self.user = "default"

    def ask(self, method: str, **params):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(60))
            if answer.get("id") == number:
                assert answer["type"] == "success", f"{method}: {answer}"
                return answer["result"]

    def fresh(self) -> None:
        for tab in list(self.tabs):
            tab.close()
        if self.user != "default":
            self.ask("browser.removeUserContext", userContext=self.user)
        self.user = self.ask("browser.createUserContext")["userContext"]

    def tab(self, url: str) -> FirefoxTab:
        made = self.ask("browsingContext.create", type="tab", userContext=self.user, background=True)
        tab = FirefoxTab(self, made["context"])
        self.tabs.append(tab)
        tab.goto(url)
        return tab

    def stop(self) -> None:
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


def start(name: str):
    if name == "chromium":
        if not CHROMIUM:
            pytest.skip("no chromium here: apt-get install chromium")
        return Chromium()
    if not FIREFOX:
        pytest.skip("no firefox here: apt-get install firefox-esr")
    return Firefox()


PAGE = """<!doctype html>
<title>client</title>
<script type="module">
const asked = new URL(location.href).searchParams
const { Martlet } = await import(asked.get('module'))
const options = JSON.parse(asked.get('options'))
if (asked.get('token')) options.token = async ({ reason }) => {
  seen.reasons.push(reason)
  return (await fetch(asked.get('token'))).text()
}
const seen = window.seen = { data: [], ids: [], gaps: [], errors: [], statuses: [], reasons: [], room: [], delayMs: 0 }
const martlet = window.martlet = new Martlet(options)
martlet.onStatus((status) => seen.statuses.push({ ...status, error: status.error?.message, at: performance.now() }))
martlet.onError((error) => seen.errors.push(`${error.code}: ${error.message}`))
martlet.onGap((gap) => seen.gaps.push(gap))
if (asked.get('handles') !== 'no') martlet.on('test', async (data, { id }) => {
  if (seen.delayMs) await new Promise((resolve) => setTimeout(resolve, seen.delayMs))
  seen.data.push(data)
  seen.ids.push(id)
})
if (asked.get('room')) martlet.topic(asked.get('room')).subscribe((data) => seen.room.push(data))
window.isReady = true
</script>
"""


class Site:
    """The app whose page uses the client: the page, the module, and tokens. On an origin of its own."""

    def __init__(self):
        site = self
        self.token_seconds = 600
        self.readme = ""

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.partition("?")[0]
                if path == "/token":
                    body, kind = token("alice", exp=int(time.time()) + site.token_seconds).encode(), "text/plain"
                elif path == "/martlet.js":
                    body, kind = (ROOT / "sdk/js/martlet.js").read_bytes(), "text/javascript"
                elif path == "/readme":
                    body, kind = site.readme.encode(), "text/html; charset=utf-8"
                else:
                    body, kind = PAGE.encode(), "text/html; charset=utf-8"
                self.send_response(200)
                for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def page(self, server_url: str, module: str | None = None, with_token: bool = False, handles: bool = True, room: str = "", **options) -> str:
        if not with_token:
            options = {"user": "alice"} | options
        options = {"url": server_url, "retry": {"baseMs": 300, "mostMs": 1000}} | options
        return (
            f"{self.origin}/?module={quote(module or self.origin + '/martlet.js')}&options={quote(json.dumps(options))}"
            f"&token={quote(self.origin + '/token') if with_token else ''}&handles={'yes' if handles else 'no'}&room={quote(room, safe='')}")

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
