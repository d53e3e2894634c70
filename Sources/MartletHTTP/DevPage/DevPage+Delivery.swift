extension DevPage {
    /// What became of one message, per device, as its publisher sees it.
    static let deliveryScript = #"""
        const settled = new Set(["delivered", "expired", "collapsed", "recalled", "failed"]);

        const delivery = {
          id: "",
          stop: null,
          wanted: null,

          /// One message at a time, because a browser has few connections to give: the newest, when the one before is done with.
          /// - isUrgent: at once.
          follow(id, label, isUrgent = false) {
            this.wanted = { id, label };
            if (isUrgent) this.stop?.abort();
            if (isUrgent || !this.isRunning) this.run();
          },

          async run() {
            const turn = this.turn = (this.turn ?? 0) + 1;
            this.isRunning = true;
            while (this.wanted && turn === this.turn) {
              const { id, label } = this.wanted;
              this.wanted = null;
              const stop = this.stop = new AbortController();
              this.id = id;
              $("status").hidden = false;
              $("delivery-empty").hidden = true;
              $("status-id").textContent = id;
              $("status-label").textContent = label;
              $("curl-status").textContent = `curl '${location.origin}/v1/messages/${id}?wait=25'`;
              await this.watch(id, stop.signal);
            }
            if (turn === this.turn) this.isRunning = false;
          },

          async watch(id, signal) {
            let tag = null;
            const began = performance.now();
            for (let failures = 0; failures < 60 && !signal.aborted;) {
              try {
                const isLate = performance.now() - began > 4000;
                if (isLate && this.wanted) return;
                const answer = await ask(`/v1/messages/${id}${tag ? `?wait=${isLate ? 10 : 2}` : ""}`, { headers: tag ? { "If-None-Match": tag } : {}, signal });
                if (answer.status === 304) continue;
                const status = await answered(answer);
                tag = answer.headers.get("ETag");
                this.show(status);
                failures = 0;
                const states = (status.devices || []).map((device) => device.state);
                if (status.recalled || (states.length && states.every((state) => settled.has(state)))) return;
              } catch (error) {
                if (signal.aborted || error.status === 404) return;
                failures += 1;
                await sleep(1000, signal).catch(() => {});
              }
            }
          },

          show(status) {
            const devices = (status.devices || []).map((device) => {
              const item = element("li", device.state);
              let text = device.reason ? `${device.state} (${device.reason})` : device.state;
              if (device.deliveredAt) text += ` ${milliseconds(Math.max(0, device.deliveredAt - status.at))}`;
              item.append(element("strong", "", board.lanes.find((lane) => lane.device === device.device)?.name ?? device.device), element("span", "", text));
              return item;
            });
            if (!devices.length) devices.push(element("li", "", status.recalled ? "recalled" : "no device known yet"));
            if (status.next) devices.push(element("li", "", "and more"));
            $("status-devices").replaceChildren(...devices);
            $("status-counts").textContent = Object.entries(status.counts ?? {}).map(([state, count]) => `${count} ${state}`).join(", ");
          },

          async recall() {
            try {
              const { state } = await answered(await ask(`/v1/messages/${this.id}`, { method: "DELETE" }));
              note("recalled", `Taken back: ${state}. It is never sent again.`);
            } catch (error) {
              note("recalled", error.message, true);
            }
          },
        };

        $("recall").addEventListener("click", () => delivery.recall());
        """#
}
