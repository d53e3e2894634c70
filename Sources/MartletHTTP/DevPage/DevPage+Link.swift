extension DevPage {
    /// One device's connection, whatever the transport: the cursor, acks, silence, coming back.
    static let linkScript = #"""
        /// `connect(signal)` of a transport opens a session, gives its objects to `frame`, and throws or returns when it ends.
        /// `on` has `state(name, detail)`, `message(message)` and, if wanted, `gap`, `presence`, `welcome`, `acked(ids)`, `moved(cursor)`.
        class Link {
          constructor(options) {
            Object.assign(this, { user: "", device: "", topics: "", more: {}, acks: true, ackMs: 150, heartbeat: 5, isSlow: false }, options);
            this.cursor = "";
            this.state = "closed";
            this.failures = 0;
            this.unacked = [];
            this.skew = 0;
          }

          get who() { return { user: this.user, device: this.device }; }
          get asked() { return { ...this.who, topics: this.topics, ...this.more, cursor: this.cursor }; }

          say(state, detail = "") {
            this.state = state;
            this.on.state?.(state, detail);
          }

          open() {
            this.stopper?.abort();
            clearTimeout(this.again);
            const { signal } = this.stopper = new AbortController();
            this.say("connecting");
            this.heard(10000);
            this.run(signal);
          }

          async run(signal) {
            let why = "the server ended the connection";
            try {
              await this.connect(signal);
            } catch (error) {
              why = error.message;
              if (error.isFinal && !signal.aborted) return this.stop(why);
            }
            if (!signal.aborted) this.lost(why);
          }

          heard(most = this.silence) {
            clearTimeout(this.watch);
            if (most) this.watch = setTimeout(() => this.lost("nothing heard"), most);
          }

          /// An object with one member, which names it; without one it is a heartbeat.
          frame(frame, cursor) {
            this.heard();
            if (frame.welcome) this.welcomed(frame.welcome, frame.welcome.cursor ?? cursor);
            else if (frame.message) this.received(frame.message, frame.message.cursor ?? cursor);
            else if (frame.gap) this.on.gap?.(frame.gap);
            else if (frame.presence) this.on.presence?.(frame.presence);
            else if (frame.drain) this.retry = frame.drain.reconnectAfterMs;
            else if (frame.close) this.closed(frame.close);
            else if (frame.error) this.on.error?.(frame.error);
          }

          welcomed(welcome, cursor) {
            this.failures = 0;
            this.retry = welcome.retryMs;
            this.silence = welcome.heartbeatMs ? welcome.heartbeatMs * 1.75 : this.silence;
            if (welcome.serverTime) this.skew = welcome.serverTime - Date.now();
            this.heard();
            this.moved(cursor);
            this.say("open");
            this.on.welcome?.(welcome);
          }

          moved(cursor) {
            if (!cursor) return;
            this.cursor = cursor;
            this.on.moved?.(cursor);
          }

          received(message, cursor) {
            this.moved(cursor);
            this.on.message(message);
            if (!this.acks || !this.ack) return;
            this.unacked.push(message);
            if (this.ackMs) this.ackTimer ??= setTimeout(() => this.ackNow(), this.ackMs);
            else this.ackNow();
          }

          async ackNow() {
            this.ackTimer = null;
            const batch = this.unacked.splice(0);
            if (!batch.length || this.state !== "open") return;
            try {
              await this.ack(batch);
              this.on.acked?.(batch.map((message) => message.id));
            } catch { /* the cursor says it again when the session resumes */ }
          }

          async ackByCursor() {
            if (!this.device) return;
            const answer = await ask(`/v1/ack?${query(this.who)}`, {
              method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ cursor: this.cursor }),
            });
            if (!answer.ok) throw new Error(answer.status);
          }

          closed({ code, reason, reconnect, reconnectAfterMs }) {
            if (reconnectAfterMs) this.retry = reconnectAfterMs;
            if (reconnect === false || code >= 4500) this.stop(code === 4500 ? "taken over by another session of this device" : reason);
            else this.lost(reason || `code ${code}`);
          }

          /// Comes back after the server's own pause, then after longer ones; jitter keeps many clients apart.
          lost(why) {
            this.end();
            this.failures += 1;
            const most = Math.min(3000, (this.retry || 700) * Math.min(4, this.failures));
            const pause = this.failures === 1 ? Math.min(most, 1500) : most * (0.5 + Math.random() / 2);
            this.say("waiting", why);
            this.again = setTimeout(() => this.open(), pause);
          }

          stop(why = "") {
            this.end();
            this.say(why ? "stopped" : "closed", why);
          }

          end() {
            for (const timer of [this.watch, this.again, this.ackTimer]) clearTimeout(timer);
            this.ackTimer = null;
            this.unacked = [];
            this.stopper?.abort();
          }
        }

        const final = (message) => Object.assign(new Error(message), { isFinal: true });
        """#
}
