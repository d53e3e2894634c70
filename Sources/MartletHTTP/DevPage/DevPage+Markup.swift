extension DevPage {
    static let markup = #"""
        <header>
          <svg viewBox="0 0 32 32" aria-hidden="true"><path fill="currentColor" d="M2 9c6 0 9 2 12 5l3-8c1 3 3 5 6 6h7c-2 2-3 3-5 4 0 6-5 10-11 10 2-1 4-3 4-5-5 0-12-4-16-12z"/></svg>
          <h1>Martlet</h1>
          <p>Publish on one side, watch it arrive on the other.</p>
          <span class="state" id="state" data-state="closed" role="status">not connected</span>
        </header>
        <main>
          <div class="side">
            <form class="card" id="subscriber" autocomplete="off">
              <div class="head"><h2>This browser is a device</h2><button class="small" id="connect" type="submit">Connect</button></div>
              <div class="grid">
                <label><span>User</span><input id="user" value="alice" maxlength="256" required></label>
                <label><span>Device</span><input id="device" maxlength="256" placeholder="none: ephemeral"></label>
                <label class="wide"><span>Topics (names, or filters with + and #, with commas between)</span><input id="topics" maxlength="2000" placeholder="none; try demo, chat/#"></label>
                <fieldset><legend>Transport</legend><div class="choice">
                  <label><input type="radio" name="transport" value="sse" id="sse" checked><b>SSE</b></label>
                  <label><input type="radio" name="transport" value="ws" id="ws"><b>WebSocket</b></label>
                </div></fieldset>
                <label class="check"><input type="checkbox" id="acks" checked><span>Acknowledge messages</span></label>
              </div>
              <dl id="session" hidden>
                <dt>Session</dt><dd id="session-id"></dd>
                <dt>Ack mode</dt><dd id="session-ack"></dd>
                <dt>Heartbeat</dt><dd id="session-heartbeat"></dd>
                <dt>Window</dt><dd id="session-window"></dd>
                <dt>Cursor</dt><dd id="session-cursor"></dd>
              </dl>
              <p class="note" id="notice" hidden></p>
            </form>
            <form class="card" id="publisher" autocomplete="off">
              <div class="head"><h2>Publish</h2><button class="main" id="publish" type="submit">Publish</button></div>
              <div class="grid">
                <label><span>To</span><select id="target"><option value="user">a user</option><option value="device">a device</option><option value="topic">a topic</option><option value="all">everyone</option></select></label>
                <label><span id="name-label">User</span><input id="name" value="alice" maxlength="256"></label>
                <label class="wide"><span>Type</span><input id="type" value="greeting" maxlength="256"></label>
                <label class="wide"><span>Data (JSON; anything else is sent as a string)</span><textarea id="data" spellcheck="false">{"text": "Your driver is here"}</textarea></label>
                <fieldset class="wide" id="priorities"><legend>Priority</legend><div class="choice">
                  <label><input type="radio" name="priority" value="high"><b>high</b></label>
                  <label><input type="radio" name="priority" value="medium" checked><b>medium</b></label>
                  <label><input type="radio" name="priority" value="low"><b>low</b></label>
                </div></fieldset>
                <label><span>Time to live (s)</span><input id="ttl" type="number" min="0" max="2592000" placeholder="1800"></label>
                <label id="collapses"><span>Collapse key</span><input id="collapse" maxlength="256" placeholder="none"></label>
                <label class="check" id="retains" hidden><input type="checkbox" id="retain"><span>Keep as the topic's value</span></label>
              </div>
              <p class="note" id="published" role="status" hidden></p>
              <div id="status" hidden>
                <div class="row"><span>Delivery of <code id="status-id"></code></span><button class="small" type="button" id="recall">Recall</button></div>
                <ol id="status-devices"></ol>
              </div>
            </form>
          </div>
          <section class="card">
            <div class="head"><h2>Messages <span class="badge" id="count">0</span></h2><button class="small" type="button" id="clear">Clear</button></div>
            <p class="empty" id="empty">Nothing yet. Publish something, or open this page in a second tab: each tab is a device of its own.</p>
            <ol id="messages" aria-live="polite"></ol>
          </section>
          <section class="card page-wide">
            <form class="head" id="room-form" autocomplete="off">
              <h2>A room</h2><label class="room-name"><input id="room" value="lobby" maxlength="200" aria-label="The room's name"></label>
              <span class="badge" id="room-count"></span><span class="state" id="room-state" data-state="closed"></span>
            </form>
            <ol id="room-messages" aria-live="polite"></ol>
            <form class="row" id="say-form" autocomplete="off"><input id="say" maxlength="2000" aria-label="What to say" placeholder="Say something to everybody who has this page open"><button type="submit">Say</button></form>
          </section>
          <section class="card page-wide">
            <div class="head"><h2>The same with curl</h2></div>
            <div class="commands">
              <div><div class="head"><span>Subscribe as another device</span><button class="small" type="button" data-copy="curl-subscribe">Copy</button></div><pre id="curl-subscribe"></pre></div>
              <div><div class="head"><span>Publish this message</span><button class="small" type="button" data-copy="curl-publish">Copy</button></div><pre id="curl-publish"></pre></div>
              <div><div class="head"><span>What became of it</span><button class="small" type="button" data-copy="curl-status">Copy</button></div><pre id="curl-status"></pre></div>
            </div>
          </section>
        </main>
        <footer>Development mode: no keys, loopback only. <code>?user=…&amp;device=…</code> stands for a token.</footer>
        """#
}
