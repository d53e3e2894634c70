"""Ten event streams of one page at once: more than the six connections that browsers open to a host."""

import pytest

from server import Server, unique
from tls import make_pair, tls_options

OPEN = """async ([count, prefix, ms]) => {
  window.got = {}
  const sources = [...Array(count).keys()].map(n => {
    const source = new EventSource(`/v1/sse?topics=${prefix}-${n}`)
    source.addEventListener('welcome', () => { window.got[n] = [] })
    source.onmessage = event => window.got[n].push(JSON.parse(event.data).data)
    return source
  })
  window.sources = sources
  const end = Date.now() + ms
  while (Date.now() < end && Object.keys(window.got).length < count) await new Promise(done => setTimeout(done, 20))
  return Object.keys(window.got).length
}"""


@pytest.mark.parametrize("options, opened, protocol", [([], 10, "h2"), (["--http2=false"], 6, "http/1.1")], ids=["http2", "http1"])
def test_ten_streams_of_one_page(browser, tmp_path, options, opened, protocol):
    server = Server(tmp_path / "data", *tls_options(make_pair(tmp_path)), "--drain-seconds", "2", *options).start()
    context = browser.new_context(ignore_https_errors=True)
    try:
        page = context.new_page()
        page.goto(f"{server.url}/healthz")
        spoken = page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        assert spoken == protocol
        prefix = unique("h2")
        assert page.evaluate(OPEN, [10, prefix, 5_000 if opened == 10 else 1_500]) == opened
        if opened < 10:
            return
        for n in range(10):
            server.http.post(f"{server.url}/v1/topics/{prefix}-{n}", json=n).raise_for_status()
        page.wait_for_function("Object.values(window.got).every(list => list.length === 1)", timeout=5_000)
        assert page.evaluate("window.got") == {str(n): [n] for n in range(10)}
    finally:
        context.close()
        server.stop()
