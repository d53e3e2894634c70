extension DevPage {
    /// What the lanes have in common: sending, the verdict, the story of a killed server.
    static let boardScript = #"""
        const board = {
          tag: random(),
          get user() { return `demo-${this.tag}`; },
          run: random(),
          lanes: [],
          begun: new Map(),    // number → when its publish began
          stored: new Map(),   // number → when the server had said that it is stored
          others: new Map(),   // id of a message that somebody else published → its number here
          next: 1,
          outbox: [],
          repeats: 0,
          isRunning: false,
          outage: null,

          build() {
            this.lanes.push(new ClientLane("martlet-js", { name: "martlet.js", says: "The client for apps: picks the best of these by itself, resumes, filters what comes twice." },
              `import { Martlet } from "${location.origin}/martlet.js"`));
            for (const [key, about] of Object.entries(transports)) this.lanes.push(new TransportLane(key, about, curlOf(key, this.user)));
            $("sent").textContent = "0";
            setInterval(() => this.tick(), 1000);
          },

          start() {
            if (this.isRunning) return;
            this.isRunning = true;
            for (const lane of this.lanes) if (!lane.isCut) lane.start();
            note("elsewhere-text", "");
            $("elsewhere").hidden = true;
          },

          stop(why) {
            if (this.isRunning) for (const lane of this.lanes) lane.stop();
            this.isRunning = false;
            this.keep(false);
            note("elsewhere-text", why);
            $("elsewhere").hidden = false;
          },

          // ------------------------------------------------ sending

          send(count, priority) {
            if (!this.isRunning) return;
            const numbers = [];
            for (let index = 0; index < count; index += 1) {
              const number = this.next;
              this.next += 1;
              numbers.push(number);
              for (const lane of this.lanes) lane.expect(number, priority);
            }
            this.outbox.push({ numbers, priority });
            this.count();
            this.pump();
          },

          async pump() {
            if (this.isPumping) return;
            this.isPumping = true;
            while (this.outbox.length) {
              const { numbers, priority } = this.outbox[0];
              const lines = numbers.map((number) => JSON.stringify({
                to: { user: this.user }, type: "demo", data: { run: this.run, number }, priority, ttl: 600, idempotencyKey: `${this.run}-${number}`,
              }));
              const begin = () => { for (const number of numbers) this.begun.set(number, performance.now()); };
              begin();
              try {
                const ids = await publishSurely(lines, () => { this.repeats += 1; this.count(); begin(); });
                for (const number of numbers) this.stored.set(number, performance.now());
                delivery.follow(ids[ids.length - 1], `message ${numbers[numbers.length - 1]}`);
              } catch (error) {
                this.tell(`Not published: ${error.message}`, "bad");
              }
              this.outbox.shift();
              this.count();
            }
            this.isPumping = false;
          },

          keep(isOn) {
            clearInterval(this.ticker);
            $("keep").setAttribute("aria-pressed", isOn);
            if (!isOn) return;
            const one = () => { if (!document.hidden) this.send(1, checked("lane-priority")); };
            one();
            this.ticker = setInterval(one, 1000);
          },

          /// What others send to the same user has a place among ours, but nobody knows how many there should be.
          numberOf({ id, at, data, priority }) {
            if (data?.run === this.run) return data.number;
            if (!this.others.has(id)) {
              this.others.set(id, this.next);
              this.begun.set(this.next, performance.now() - Math.max(0, Date.now() - at));
              for (const lane of this.lanes) lane.expect(this.next, priority);
              this.next += 1;
            }
            return this.others.get(id);
          },

          // ------------------------------------------------ counting

          /// Once a frame is enough.
          soon(key, work) {
            this.waiting ??= new Map();
            if (!this.waiting.size) {
              requestAnimationFrame(() => {
                const all = [...this.waiting.values()];
                this.waiting.clear();
                for (const one of all) one();
              });
            }
            this.waiting.set(key, work);
          },

          tick() {
            for (const lane of this.lanes) lane.show();
            this.count();
            if (this.outage) this.showOutage();
          },

          get up() { return this.lanes.filter((lane) => lane.state === "open"); },
          arrived() { this.count(); },

          count() {
            this.soon(this, () => {
              const waiting = this.outbox.reduce((sum, { numbers }) => sum + numbers.length, 0);
              const sum = (of) => this.lanes.reduce((total, lane) => total + of(lane), 0);
              const received = sum((lane) => lane.own);
              const twice = sum((lane) => lane.twice);
              const lost = sum((lane) => lane.lost);
              const disorder = sum((lane) => lane.disorder);
              const due = this.stored.size * this.lanes.filter((lane) => lane.state !== "stopped").length;
              $("sent").textContent = this.stored.size;
              $("waiting").textContent = waiting;
              $("waiting").parentElement.hidden = !waiting;
              $("up").textContent = `${this.up.length}/${this.lanes.length}`;
              $("received").textContent = received;
              $("twice").textContent = twice;
              $("lost").textContent = lost;
              $("lost").parentElement.classList.toggle("bad", lost > 0);
              const isWhole = due > 0 && received >= due && !waiting;
              $("verdict").dataset.whole = isWhole;
              const text = !this.stored.size ? "Send a message: it goes to one user, who has a device on each lane."
                : lost || disorder ? `${lost} lost, ${disorder} out of order. That should not be: please report it.`
                : isWhole ? `Every lane has ${this.stored.size === 1 ? "the message" : `all ${this.stored.size} messages, in order`}${twice ? `; ${twice} came twice and were filtered` : ""}. Nothing lost.`
                : `${plural(due - received, "delivery", "deliveries")} on the way or kept for a lane that is away.`;
              if ($("verdict").textContent !== text) $("verdict").textContent = text;
              if (isWhole) this.completed();
            });
          },

          // ------------------------------------------------ the story

          tell(text, kind = "") {
            const item = element("li", kind);
            item.append(element("time", "", new Date().toLocaleTimeString()), element("span", "", text));
            $("story").prepend(item);
            $("story-empty").hidden = true;
            while ($("story").children.length > 60) $("story").lastElementChild.remove();
          },

          changed(lane, before, detail) {
            this.count();
            if (lane.state === before || !this.isRunning) return;
            if (lane.isCut && lane.state === "closed") { this.tell(`You cut ${lane.name}. What is sent meanwhile is kept for it.`); return; }
            if (lane.state === "stopped") { this.tell(`${lane.name} stopped: ${detail}.`, "bad"); return; }
            const all = this.lanes.filter((one) => !one.isCut && one.state !== "stopped");
            const known = all.filter((one) => one.wasOpen);
            if (before === "open" && lane.state === "waiting") {
              const away = known.filter((one) => one.state !== "open");
              // One lane may break by itself; when several do at once, it is the server.
              if (this.outage || away.length < 4) return;
              this.outage = { began: performance.now(), stored: this.stored.size };
              this.tell("Disconnected: the server is gone. Every lane tries again by itself, with its cursor in hand.", "bad");
              this.showOutage();
            } else if (lane.state === "open" && this.outage) {
              if (!this.outage.backAt) {
                this.outage.backAt = performance.now();
                this.tell(`The server is back after ${milliseconds(this.outage.backAt - this.outage.began)}. ${lane.name} was first.`);
              }
              if (known.every((one) => one.state === "open")) {
                this.outage.isResumed = true;
                this.outage.resumedIn = performance.now() - this.outage.backAt;
                this.count();
              }
              this.showOutage();
            } else if (lane.state === "open" && !this.wasUp && all.every((one) => one.state === "open")) {
              this.wasUp = true;
              this.tell(`All ${all.length} lanes are connected, each as a device of its own of the user ${this.user}.`);
              this.send(1, "medium");
            }
          },

          /// Everything that is stored is on every lane: if the server was away, that is the end of the story.
          completed() {
            const { outage } = this;
            if (!outage?.isResumed || outage.isTold) return;
            outage.isTold = true;
            const meanwhile = this.stored.size - outage.stored;
            const twice = this.lanes.reduce((total, lane) => total + lane.twice, 0);
            const lanes = this.lanes.filter((lane) => lane.state === "open").length;
            outage.text = `${lanes} lanes resumed. ${plural(this.stored.size, "message")} sent, ${this.stored.size} on each lane (${meanwhile} from the outage), ${twice} twice, 0 lost.`;
            this.tell(`Resumed, nothing lost: ${outage.text}`, "good");
            this.showOutage();
            this.outage = null;
          },

          showOutage() {
            const { outage } = this;
            const banner = $("outage");
            banner.hidden = false;
            $("verdict").hidden = !outage.isTold;
            banner.dataset.phase = outage.isTold ? "resumed" : outage.backAt ? "resuming" : "gone";
            const known = this.lanes.filter((one) => !one.isCut && one.state !== "stopped" && one.wasOpen);
            const up = known.filter((lane) => lane.state === "open").length;
            const waiting = this.outbox.reduce((sum, { numbers }) => sum + numbers.length, 0);
            $("outage-title").textContent = outage.isTold ? "Resumed, nothing lost" : outage.backAt ? "Resuming" : "Disconnected, waiting";
            $("outage-text").textContent = outage.isTold ? outage.text
              : outage.backAt ? `The server is back: ${up} of ${known.length} lanes have resumed at their cursors.`
              : `The server has been gone for ${Math.round((performance.now() - outage.began) / 1000)} s. ${waiting ? `${plural(waiting, "message waits", "messages wait")} here to be sent. ` : ""}Start it again: the lanes come back by themselves.`;
          },
        };
        """#
}
