extension DevPage {
    /// Two things that are seen on a slow device only: what is urgent overtakes, and of what is replaced only the newest comes.
    static let scenesScript = #"""
        /// A WebSocket with a small window that acks each message a while after it came.
        class SlowLink extends WebSocketLink {
          acks = true;
          handleMs = 60;
          ack(batch) {
            this.toAck = (this.toAck ?? []).concat(batch);
            this.acker ??= setInterval(() => {
              const message = this.toAck.shift();
              if (message) this.send({ ack: [message.seq] });
              if (!this.toAck.length) { clearInterval(this.acker); this.acker = null; }
            }, this.handleMs);
          }
          lost(why) {
            clearInterval(this.acker);
            this.acker = null;
            this.toAck = [];
            super.lost(why);
          }
        }

        const scenes = {
          tag: random(),
          links: {},

          /// One slow device for each scene, connected when it is first shown.
          device(name, handleMs, take) {
            const known = this.links[name];
            if (known) { known.on.message = take; return known.up; }
            const link = this.links[name] = new SlowLink({ user: `${name}-${this.tag}`, device: `slow-${name}-${this.tag}`, more: { window: 4 }, on: { message: take } });
            link.handleMs = handleMs;
            link.up = new Promise((done) => { link.on.state = (state) => { if (state === "open") done(); }; });
            link.open();
            return link.up;
          },

          message(name, run, data, more) {
            return JSON.stringify({ to: { user: `${name}-${this.tag}` }, type: "scene", data: { run, ...data }, ttl: 120, idempotencyKey: `${run}-${Object.values(data)}`, ...more });
          },

          async urgent() {
            const button = $("urgent");
            if (button.disabled) return;
            button.disabled = true;
            const run = random();
            const low = 40;
            const arrived = [];
            $("urgent-strip").replaceChildren(...Array.from({ length: low + 1 }, () => element("i")));
            $("urgent-text").textContent = `${low} low ones, then one high. The device takes one every 60 ms.`;
            let done;
            const all = new Promise((settle) => { done = settle; });
            await this.device("urgent", 60, ({ data, priority }) => {
              if (data?.run !== run || arrived.includes(data.number)) return;
              arrived.push(data.number);
              $("urgent-strip").children[arrived.length - 1].className = `here ${priority}`;
              if (priority === "high") {
                this.place = arrived.length;
                $("urgent-text").textContent = `The high one was published last and arrived as number ${this.place}: it overtook ${low + 1 - this.place}.`;
              }
              if (arrived.length === low + 1) done();
            });
            try {
              await publishSurely(Array.from({ length: low }, (_, index) => this.message("urgent", run, { number: index + 1 }, { priority: "low" })));
              const [id] = await publishSurely([this.message("urgent", run, { number: low + 1 }, { priority: "high" })]);
              delivery.follow(id, "the high one", true);
              await all;
              const lows = arrived.filter((number) => number <= low);
              const isInOrder = lows.every((number, index) => number === index + 1);
              $("urgent-text").textContent += isInOrder ? " The low ones kept their order." : " The low ones lost their order: please report it.";
            } catch (error) {
              $("urgent-text").textContent = `Not published: ${error.message}`;
            }
            button.disabled = false;
          },

          async moving() {
            const button = $("moving");
            if (button.disabled) return;
            button.disabled = true;
            const run = random();
            const steps = 40;
            let shown = 0;
            let published = 0;
            let done;
            const last = new Promise((settle) => { done = settle; });
            const say = () => { $("moving-text").textContent = `${published} positions published, ${shown} shown: the device always sees the newest.`; };
            const place = (id, step) => $(id).style.setProperty("--at", `${Math.round(step * 100 / steps)}%`);
            $("track-seen").replaceChildren();
            await this.device("moving", 350, ({ data }) => {
              if (data?.run !== run) return;
              shown += 1;
              place("car", data.step);
              const mark = element("i");
              mark.style.setProperty("--at", `${Math.round(data.step * 100 / steps)}%`);
              $("track-seen").append(mark);
              say();
              if (data.step === steps) done();
            });
            try {
              const ids = [];
              for (let step = 1; step <= steps; step += 1) {
                ids.push(...await publishSurely([this.message("moving", run, { step }, { collapseKey: "car" })]));
                published = step;
                place("truth", step);
                say();
                await sleep(50);
              }
              await last;
              // The publisher can ask what became of each.
              const states = await Promise.all(ids.slice(0, 12).map(async (id) => (await answered(await ask(`/v1/messages/${id}`))).devices[0]?.state));
              const collapsed = states.filter((state) => state === "collapsed").length;
              $("moving-text").textContent = `${published} positions published, ${shown} shown, ${published - shown} replaced by newer ones before they were sent. The publisher sees: of the first 12, ${collapsed} are "collapsed".`;
            } catch (error) {
              $("moving-text").textContent = `Not published: ${error.message}`;
            }
            button.disabled = false;
          },
        };

        $("urgent-strip").append(...Array.from({ length: 41 }, () => element("i", "blank")));
        $("urgent").addEventListener("click", () => scenes.urgent());
        $("moving").addEventListener("click", () => scenes.moving());
        """#
}
