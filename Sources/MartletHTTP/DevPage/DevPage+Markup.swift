extension DevPage {
    static let markup = #"""
        <header>
          <svg viewBox="0 0 32 32" aria-hidden="true"><path fill="currentColor" d="M2 9c6 0 9 2 12 5l3-8c1 3 3 5 6 6h7c-2 2-3 3-5 4 0 6-5 10-11 10 2-1 4-3 4-5-5 0-12-4-16-12z"/></svg>
          <h1>Martlet</h1>
          <p>A message, once published, reaches every device, over whichever path is alive.</p>
          <nav aria-label="On this page"><a href="#lanes-title">Lanes</a><a href="#kill-title">Kill it</a><a href="#urgent-title">Urgent first</a><a href="#room-title">Room</a><a href="#try-title">Try it</a></nav>
        </header>
        <main>
          <section class="card page-wide" aria-labelledby="lanes-title">
            <div class="head"><h2 id="lanes-title">The same message, every way into a browser</h2></div>
            <div class="controls">
              <button class="main" id="send-one" type="button">Send one</button>
              <button id="keep" type="button" aria-pressed="false">Keep sending</button>
              <button id="send-many" type="button">Send 50</button>
              <fieldset><legend class="unseen">Priority of what is sent</legend><span class="quiet" aria-hidden="true">Priority</span><div class="choice">
                <label><input type="radio" name="lane-priority" value="high"><b>high</b></label>
                <label><input type="radio" name="lane-priority" value="medium" checked><b>medium</b></label>
                <label><input type="radio" name="lane-priority" value="low"><b>low</b></label>
              </div></fieldset>
            </div>
            <dl class="totals">
              <div><dt>lanes up</dt><dd id="up">–</dd></div>
              <div><dt>sent</dt><dd id="sent">0</dd></div>
              <div hidden><dt>wait here</dt><dd id="waiting">0</dd></div>
              <div><dt>received</dt><dd id="received">0</dd></div>
              <div><dt>twice</dt><dd id="twice">0</dd></div>
              <div><dt>lost</dt><dd id="lost">0</dd></div>
            </dl>
            <p class="verdict" id="verdict" role="status">Connecting.</p>
            <div class="outage" id="outage" role="status" hidden><strong id="outage-title"></strong><span id="outage-text"></span></div>
            <div class="elsewhere" id="elsewhere" hidden><p id="elsewhere-text"></p><button id="take-over" type="button">Run them here</button></div>
            <ol id="lanes" aria-label="Lanes, one for each transport"></ol>
            <p class="key"><span>A column is a message; the higher its bar, the longer it took.</span>
              <span><i class="high"></i>high</span><span><i class="medium"></i>medium</span><span><i class="low"></i>low</span><span><i class="late"></i>came after the lane was away</span><span><i class="none"></i>not there yet</span></p>
          </section>

          <section class="card" aria-labelledby="kill-title">
            <div class="head"><h2 id="kill-title">Kill the server</h2></div>
            <p>Press “Keep sending”, then end the server in the hardest way there is, and start it again. Or cut a single lane above. Every lane resumes at its cursor; nothing is lost.</p>
            <div class="command"><pre id="curl-kill"></pre><button class="small" type="button" data-copy="curl-kill">Copy</button></div>
            <h3>What happened</h3>
            <p class="empty" id="story-empty">Nothing yet.</p>
            <ol id="story" role="log" aria-label="What happened to the connections" tabindex="0"></ol>
          </section>

          <section class="card" aria-labelledby="status-title">
            <div class="head"><h2 id="status-title">What the publisher sees</h2><button class="small" type="button" id="recall">Recall</button></div>
            <p class="empty" id="delivery-empty">Send a message: here is what became of it, on each device.</p>
            <div id="status" hidden>
              <p><strong id="status-label"></strong> <code id="status-id"></code><br><span class="quiet" id="status-counts"></span></p>
              <ol id="status-devices" aria-label="Devices"></ol>
            </div>
            <p class="note" id="recalled" role="status" hidden></p>
            <div class="command"><pre id="curl-status">curl</pre><button class="small" type="button" data-copy="curl-status">Copy</button></div>
            <p class="note">Send one to the lanes from a terminal:</p>
            <div class="command"><pre id="curl-lanes"></pre><button class="small" type="button" data-copy="curl-lanes">Copy</button></div>
          </section>

          <section class="card" aria-labelledby="urgent-title">
            <div class="head"><h2 id="urgent-title">Urgent first</h2><button id="urgent" type="button">40 low, then 1 high</button></div>
            <div class="strip arrivals" id="urgent-strip" aria-hidden="true"></div>
            <p class="note" id="urgent-text" role="status">A slow device has 40 low messages waiting. Then comes a high one.</p>
          </section>

          <section class="card" aria-labelledby="moving-title">
            <div class="head"><h2 id="moving-title">Only the newest</h2><button id="moving" type="button">Drive</button></div>
            <div class="track" aria-hidden="true"><div id="track-seen"></div><b id="truth"></b><b id="car"></b></div>
            <p class="note" id="moving-text" role="status">A car sends its position 20 times a second, with a collapse key. A slow device never sees an old one.</p>
          </section>

          <section class="card page-wide" aria-labelledby="room-title">
            <form class="head" id="room-form" autocomplete="off">
              <h2 id="room-title">A room</h2><label class="room-name"><input id="room" value="lobby" maxlength="200" aria-label="The room's name"></label>
              <span class="badge" id="room-count"></span><span class="state" id="room-state" data-state="closed"></span>
            </form>
            <ol id="room-members" class="chips" aria-label="Who is here"></ol>
            <ol id="room-messages" role="log" aria-label="What was said" tabindex="0"></ol>
            <form class="row" id="say-form" autocomplete="off"><input id="say" maxlength="2000" aria-label="What to say" placeholder="Say something to everybody who has this page open"><button type="submit">Say</button></form>
          </section>

          <h2 class="page-wide part" id="try-title">Try it yourself</h2>
          <div class="side">
            <form class="card" id="subscriber" autocomplete="off">
              <div class="head"><h3>This browser is a device</h3><span class="state" id="state" data-state="closed" role="status">not connected</span></div>
              <div class="grid">
                <label><span>User</span><input id="user" value="alice" maxlength="256" required></label>
                <label><span>Device</span><input id="device" maxlength="256" placeholder="none: ephemeral"></label>
                <label class="wide"><span>Topics (names, or filters with + and #, with commas between)</span><input id="topics" maxlength="2000" placeholder="none; try demo, chat/#"></label>
                <label><span>Transport</span><select id="transport"></select></label>
                <label class="check"><input type="checkbox" id="acks" checked><span>Acknowledge messages</span></label>
                <button class="wide" id="connect" type="submit">Connect</button>
              </div>
              <dl id="session" hidden>
                <dt>Session</dt><dd id="session-id"></dd>
                <dt>Ack mode</dt><dd id="session-ack"></dd>
                <dt>Heartbeat</dt><dd id="session-heartbeat"></dd>
                <dt>Window</dt><dd id="session-window"></dd>
                <dt>Cursor</dt><dd id="session-cursor"></dd>
              </dl>
              <p class="note" id="notice" role="status" hidden></p>
            </form>
            <form class="card" id="publisher" autocomplete="off">
              <div class="head"><h3>Publish</h3><button class="main" id="publish" type="submit">Publish</button></div>
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
            </form>
          </div>
          <div class="side">
            <section class="card" aria-labelledby="messages-title">
              <div class="head"><h3 id="messages-title">Messages <span class="badge" id="count">0</span></h3><button class="small" type="button" id="clear">Clear</button></div>
              <p class="empty" id="empty">Nothing yet. Publish something, or open this page in a second tab: each tab is a device of its own.</p>
              <ol id="messages" aria-live="polite" aria-label="Messages" tabindex="0"></ol>
            </section>
            <section class="card" aria-labelledby="curl-title">
              <div class="head"><h3 id="curl-title">The same with curl</h3></div>
              <p class="note">Subscribe as another device</p>
              <div class="command"><pre id="curl-subscribe"></pre><button class="small" type="button" data-copy="curl-subscribe">Copy</button></div>
              <p class="note">Publish this message</p>
              <div class="command"><pre id="curl-publish"></pre><button class="small" type="button" data-copy="curl-publish">Copy</button></div>
            </section>
          </div>
        </main>
        <footer>Development mode: no keys, loopback only. <code>?user=…&amp;device=…</code> stands for a token.</footer>
        """#
}
