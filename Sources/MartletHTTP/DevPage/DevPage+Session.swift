extension DevPage {
    /// The live subscriber: one session at a time, over EventSource or WebSocket, resumed by cursor.
    static let sessionScript = #"""
        let session = null;

        function state(name, text) {
          $("state").dataset.state = name;
          $("state").textContent = text;
          $("connect").textContent = name === "closed" || name === "stopped" ? "Connect" : "Disconnect";
        }

        /// What both transports share: the welcome, the cursor, acks, silence, coming back.
        class Session {
          constructor(options) {
            Object.assign(this, options);
            this.cursor = "";
            this.skew = 0;
            this.unacked = [];
            this.failures = 0;
            this.ended = false;
            this.open();
          }

          open() {
            if (this.ended) return;
            state("connecting", "connecting");
            const values = { user: this.user, device: this.device, topics: this.topics, cursor: this.cursor, hb: "visible" };
            this.connect(`/v1/${this.path}?${query(values)}`);
            this.heard(15000);
          }

          heard(most = this.silence) {
            clearTimeout(this.watch);
            if (!this.ended && most) this.watch = setTimeout(() => this.lost("nothing heard"), most);
          }

          welcomed(welcome) {
            this.failures = 0;
            this.id = welcome.session;
            this.retry = welcome.retryMs;
            this.silence = welcome.heartbeatMs * 1.75;
            this.skew = welcome.serverTime - Date.now();
            this.heard();
            state("open", `connected by ${this.label}`);
            note("notice", "");
            $("session").hidden = false;
            $("session-id").textContent = welcome.session;
            $("session-ack").textContent = welcome.ack;
            $("session-heartbeat").textContent = `${welcome.heartbeatMs / 1000} s`;
            $("session-window").textContent = `${welcome.window.messages} messages, ${Math.round(welcome.window.bytes / 1024)} KiB`;
          }

          moved(cursor) {
            if (!cursor) return;
            this.cursor = cursor;
            $("session-cursor").textContent = cursor;
          }

          received(message, cursor) {
            this.moved(cursor);
            show(message, this.skew);
            if (!$("acks").checked) return;
            this.unacked.push(message);
            this.ackTimer ??= setTimeout(() => this.ackNow(), 150);
          }

          async ackNow() {
            this.ackTimer = null;
            const batch = this.unacked;
            this.unacked = [];
            if (!batch.length || this.ended) return;
            try {
              await this.ack(batch);
              showAcked(batch.map((message) => message.id));
            } catch { /* the cursor says it again when the session resumes */ }
          }

          gap(gap) {
            note("notice", `Gap in the ${gap.topic === undefined ? `${gap.scope}'s messages` : `topic ${gap.topic}`}: ${gap.reason}.`, true);
          }

          drain(drain) {
            state("draining", "server restarting");
            this.retry = drain.reconnectAfterMs;
          }

          closed(close) {
            if (close.reconnect) return this.lost(close.reason);
            this.stop(close.code === 4500 ? "taken over by another session of this device" : close.reason);
          }

          lost(why) {
            if (this.ended) return;
            this.disconnect();
            clearTimeout(this.watch);
            this.failures += 1;
            const base = Math.min(10000, (this.retry || 1000) * Math.min(8, this.failures));
            const pause = this.failures === 1 ? base : base * (0.5 + Math.random() / 2);
            state("connecting", "reconnecting");
            note("notice", `Connection lost (${why}); trying again.`);
            clearTimeout(this.again);
            this.again = setTimeout(() => this.open(), pause);
          }

          stop(why) {
            this.ended = true;
            for (const timer of [this.watch, this.again, this.ackTimer]) clearTimeout(timer);
            this.disconnect();
            state(why ? "stopped" : "closed", why ? "stopped" : "not connected");
            if (why) note("notice", `Stopped: ${why}.`, true);
          }
        }

        class EventSourceSession extends Session {
          get path() { return "sse"; }
          get label() { return "SSE"; }

          connect(url) {
            const source = this.source = new EventSource(url);
            const on = (name, handle) => source.addEventListener(name, (event) => {
              if (source !== this.source) return;
              this.heard();
              this.moved(event.lastEventId);
              handle.call(this, event.data ? JSON.parse(event.data) : {}, event.lastEventId);
            });
            on("welcome", this.welcomed);
            on("message", this.received);
            on("gap", this.gap);
            on("drain", this.drain);
            on("close", this.closed);
            on("hb", () => {});
            source.onerror = () => {
              if (source !== this.source || this.ended) return;
              // The browser comes back by itself with Last-Event-ID, unless it has given up.
              if (source.readyState === EventSource.CLOSED) return this.refused(url);
              clearTimeout(this.watch);
              state("connecting", "reconnecting");
            };
          }

          /// EventSource does not tell why it gave up; 204 means that another session took over.
          async refused(url) {
            const source = this.source;
            const stop = new AbortController();
            try {
              const answer = await fetch(url, { headers: { "Last-Event-ID": this.cursor }, signal: stop.signal });
              stop.abort();
              if (source !== this.source) return;
              if (answer.status === 204) return this.stop("taken over by another session of this device");
            } catch { /* not reachable: try again */ }
            if (source === this.source) this.lost("the server did not answer");
          }

          disconnect() {
            this.source?.close();
            this.source = null;
          }

          async ack() {
            if (!this.device) return;
            const answer = await fetch(`/v1/ack?${query({ user: this.user, device: this.device })}`, {
              method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ cursor: this.cursor }),
            });
            if (!answer.ok) throw new Error(answer.status);
          }
        }

        class WebSocketSession extends Session {
          get path() { return "ws"; }
          get label() { return "WebSocket"; }

          connect(url) {
            const acks = $("acks").checked ? "" : "&ack=none";
            const socket = this.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${url}${acks}`);
            socket.onmessage = (event) => {
              if (socket !== this.socket) return;
              this.heard();
              const frame = JSON.parse(event.data);
              if (frame.welcome) { this.welcomed(frame.welcome); this.moved(frame.welcome.cursor); }
              else if (frame.message) this.received(frame.message, frame.message.cursor);
              else if (frame.gap) this.gap(frame.gap);
              else if (frame.drain) this.drain(frame.drain);
              else if (frame.error) note("notice", frame.error.message, true);
              else socket.send("{}");
            };
            socket.onclose = (event) => {
              if (socket !== this.socket || this.ended) return;
              // From 4500 on a code means: do not come back.
              if (event.code >= 4500) this.closed({ code: event.code, reason: event.reason, reconnect: false });
              else this.lost(event.reason || `code ${event.code}`);
            };
          }

          disconnect() {
            const socket = this.socket;
            this.socket = null;
            socket?.close();
          }

          ack(batch) {
            if (this.socket?.readyState !== WebSocket.OPEN) throw new Error("closed");
            const last = batch[batch.length - 1].seq;
            if (last !== undefined) this.socket.send(JSON.stringify({ ack: last }));
          }
        }

        $("subscriber").addEventListener("submit", (event) => {
          event.preventDefault();
          if (session && !session.ended) {
            session.stop("");
            return;
          }
          const options = { user: $("user").value, device: $("device").value, topics: topics() };
          session = checked("transport") === "ws" ? new WebSocketSession(options) : new EventSourceSession(options);
        });
        for (const choice of document.querySelectorAll("input[name=transport]")) {
          choice.addEventListener("change", () => {
            if (!session || session.ended) return;
            session.stop("");
            $("subscriber").requestSubmit();
          });
        }

        // Each tab is a device of its own and stays the same one when it is loaded again.
        try {
          $("device").value = sessionStorage.getItem("device") || `browser-${Math.random().toString(36).slice(2, 6)}`;
          sessionStorage.setItem("device", $("device").value);
        } catch {
          $("device").value = `browser-${Math.random().toString(36).slice(2, 6)}`;
        }
        lines();
        $("subscriber").requestSubmit();
        """#
}
