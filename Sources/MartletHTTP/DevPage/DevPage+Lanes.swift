extension DevPage {
    /// The lanes: every transport is a device of one user, and shows what of each message it has.
    static let lanesScript = #"""
        const columns = matchMedia("(max-width: 820px)").matches ? 24 : 48;

        class Lane {
          constructor(key, { name, says }, curl) {
            // A device belongs to one user at a time: the lanes of another page need other names.
            Object.assign(this, { key, name, device: `${key}-${board.tag}` });
            this.seen = new Map();       // number → milliseconds it took
            this.cells = new Map();      // number → its cell in the strip
            this.latencies = [];
            this.own = this.twice = this.disorder = 0;
            this.newest = {};            // priority → its largest number here
            this.isCut = false;
            this.build(says, curl);
          }

          build(says, curl) {
            const row = this.row = element("li", "lane");
            row.dataset.lane = this.key;
            const title = element("div", "lane-title");
            this.label = element("h3", "", this.name);
            this.status = element("span", "state", "closed");
            title.append(this.label, this.status);
            this.strip = element("div", "strip");
            this.strip.setAttribute("aria-hidden", "true");
            for (let index = 0; index < columns; index += 1) this.strip.append(element("i", "blank"));
            this.figures = {};
            const figures = element("dl", "figures");
            for (const [key, label] of [["last", "last"], ["median", "median"], ["received", "received"], ["twice", "twice"], ["lost", "lost"]]) {
              const pair = element("div", key);
              this.figures[key] = element("dd", "", key === "last" || key === "median" ? "–" : "0");
              pair.append(element("dt", "", label), this.figures[key]);
              figures.append(pair);
            }
            this.cutter = element("button", "small cut", "Cut");
            this.cutter.type = "button";
            this.cutter.setAttribute("aria-label", `Cut ${this.name}`);
            this.cutter.addEventListener("click", () => this.cut(!this.isCut));
            const more = element("details");
            more.append(element("summary", "", "How"), element("p", "", says));
            if (curl) more.append(command(`curl-${this.key}`, curl));
            row.append(title, this.strip, figures, this.cutter, more);
            $("lanes").append(row);
          }

          /// A place for a message that is to come.
          expect(number, priority) {
            const cell = element("i", priority);
            this.cells.set(number, cell);
            if (this.seen.has(number)) this.fill(number);
            this.strip.append(cell);
            this.strip.firstElementChild.remove();
            if (this.cells.size > columns) this.cells.delete(this.cells.keys().next().value);
          }

          arrived(message) {
            const { priority, redelivered } = message;
            const number = board.numberOf(message);
            if (this.seen.has(number)) {
              this.twice += 1;
              return this.show();
            }
            if (number < (this.newest[priority] ?? 0)) this.disorder += 1;
            this.newest[priority] = Math.max(number, this.newest[priority] ?? 0);
            const took = performance.now() - (board.begun.get(number) ?? performance.now());
            this.seen.set(number, took);
            if (!board.others.has(message.id)) this.own += 1;
            if (!redelivered && !this.isCatchingUp) {
              this.latencies.push(took);
              if (this.latencies.length > 100) this.latencies.shift();
            }
            this.last = took;
            this.fill(number);
            this.show();
            board.arrived(this);
          }

          fill(number) {
            const cell = this.cells.get(number);
            if (!cell) return;
            const took = this.seen.get(number);
            cell.className += this.isCatchingUp || took > 3000 ? " here late" : " here";
            cell.style.setProperty("--height", `${Math.round(Math.min(100, 14 + 86 * (Math.log10(Math.max(1, took)) / 3.3) ** 1.5))}%`);
          }

          get missing() { return board.stored.size - this.own; }

          show() {
            board.soon(this, () => {
              const sorted = [...this.latencies].sort((a, b) => a - b);
              this.figures.last.textContent = this.last === undefined ? "–" : milliseconds(this.last);
              this.figures.median.textContent = sorted.length ? milliseconds(sorted[sorted.length >> 1]) : "–";
              this.figures.received.textContent = this.seen.size;
              this.figures.twice.textContent = this.twice;
              const lost = this.lost;
              this.figures.lost.textContent = lost;
              this.figures.lost.parentElement.classList.toggle("bad", lost > 0);
              this.row.dataset.received = this.seen.size;
              this.row.dataset.disorder = this.disorder;
            });
          }

          /// What is stored, should long be here and is not, though the lane is up.
          get lost() {
            if (this.state !== "open" || performance.now() - this.openSince < 10000) return 0;
            let lost = 0;
            if (this.missing) {
              for (const [number, at] of board.stored) if (!this.seen.has(number) && performance.now() - at > 10000) lost += 1;
            }
            return lost;
          }

          changed(state, detail) {
            const before = this.state;
            this.state = state;
            if (state === "open" && before !== "open") {
              this.openSince = performance.now();
              // What comes at once has waited for the lane, not for the network.
              this.isCatchingUp = this.wasOpen;
              this.wasOpen = true;
              setTimeout(() => { this.isCatchingUp = false; }, 1500);
            }
            this.row.dataset.state = state;
            this.status.dataset.state = state;
            this.status.textContent = this.isCut ? "cut by you" : { open: "connected", waiting: "waiting", connecting: "connecting", stopped: "stopped", closed: "off" }[state];
            this.status.title = detail;
            board.changed(this, before, detail);
          }

          cut(isCut) {
            this.isCut = isCut;
            this.cutter.textContent = isCut ? "Mend" : "Cut";
            this.cutter.setAttribute("aria-label", `${isCut ? "Mend" : "Cut"} ${this.name}`);
            if (isCut) this.stop();
            else this.start();
          }
        }

        class TransportLane extends Lane {
          start() {
            const { Type } = transports[this.key];
            this.link ??= new Type({
              user: board.user, device: this.device,
              on: { state: (state, detail) => this.changed(state, detail), message: (message) => this.arrived(message) },
            });
            this.link.open();
          }
          stop() { this.link?.stop(); }
        }

        /// The client that apps use, which picks the transport by itself.
        class ClientLane extends Lane {
          async start() {
            this.changed("connecting");
            try {
              this.module ??= await import("/martlet.js");
            } catch {
              return this.changed("stopped", "/martlet.js could not be loaded");
            }
            if (this.isCut || this.client || !board.isRunning) return;
            const { Martlet, MemoryStore } = this.module;
            this.store ??= new MemoryStore();
            const client = this.client = new Martlet({
              user: board.user, device: this.device, share: false, store: this.store, retry: { baseMs: 500, mostMs: 2500 },
            });
            client.on("*", (data, message) => this.arrived(message));
            client.onError(() => {});
            client.onStatus(({ state, transport, error }) => {
              if (client !== this.client) return;
              this.changed({ connected: "open", idle: "connecting" }[state] ?? state, error?.message ?? "");
              if (state === "connected") this.status.textContent = `by ${{ websocket: "WebSocket", sse: "SSE", eventsource: "SSE", longpoll: "long poll", jsonp: "JSONP" }[transport] ?? transport}`;
            });
          }
          stop() {
            const { client } = this;
            this.client = null;
            client?.close();
            this.changed("closed");
          }
        }
        """#
}
