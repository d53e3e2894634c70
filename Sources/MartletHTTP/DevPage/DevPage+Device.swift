extension DevPage {
    /// This browser as a device of anybody's, over any transport, and the list of what it received.
    static let deviceScript = #"""
        const shown = new Map();   // id → its list item, oldest first
        const sentAt = new Map();  // id → when this page published it, for the round trip
        let total = 0;
        const mostShown = 200;

        function show(message, skew) {
          total += 1;
          $("count").textContent = total;
          $("empty").hidden = true;
          const elapsed = sentAt.has(message.id) ? performance.now() - sentAt.get(message.id) : Math.max(0, Date.now() + skew - message.at);
          const item = element("li", "fresh");
          item.dataset.id = message.id;
          const top = element("div", "top");
          top.append(element("strong", "", message.type || "message"));
          if (message.topic !== undefined) top.append(element("span", "badge topic", message.topic));
          if (message.priority) top.append(element("span", `badge ${message.priority}`, message.priority));
          if (message.retained) top.append(element("span", "badge", "retained"));
          if (message.seq !== undefined) top.append(element("span", "badge", `seq ${message.seq}`));
          top.append(element("span", "badge latency", elapsed < 10000 ? milliseconds(elapsed) : `${Math.round(elapsed / 1000)} s old`));
          if (message.redelivered) top.append(element("span", "badge warn", "redelivered"));
          item.append(top);
          if (message.notification) {
            const { title = "", body = "" } = message.notification;
            item.append(element("div", "", [title, body].filter(Boolean).join(": ")));
          }
          const body = message.dataBase64 !== undefined ? `${message.contentType || "binary"}: ${message.dataBase64}` : message.data;
          if (body !== undefined) item.append(element("pre", "", typeof body === "string" ? body : JSON.stringify(body, null, 1)));
          item.append(element("div", "id", `${message.id} · ${new Date(message.at).toLocaleTimeString()}`));
          $("messages").prepend(item);
          shown.delete(message.id);
          shown.set(message.id, item);
          while ($("messages").children.length > mostShown) $("messages").lastElementChild.remove();
          while (shown.size > mostShown) shown.delete(shown.keys().next().value);
        }

        function showAcked(ids) {
          for (const id of ids) {
            const item = shown.get(id);
            if (item && !item.dataset.acked) {
              item.dataset.acked = "yes";
              item.querySelector(".top").append(element("span", "badge good", "acked"));
            }
          }
        }

        $("clear").addEventListener("click", () => {
          $("messages").replaceChildren();
          shown.clear();
          total = 0;
          $("count").textContent = "0";
          $("empty").hidden = false;
        });

        let session = null;

        /// The topics that are asked for, as the query names them: a comma within a name is not possible here.
        const topics = () => $("topics").value.split(",").map((name) => name.trim()).filter(Boolean).map((name) => name.replaceAll("%", "%25")).join(",");

        function connectDevice() {
          const { Type, name } = transports[$("transport").value];
          $("session").hidden = true;
          const link = session = new Type({
            user: $("user").value, device: $("device").value, topics: topics(), acks: $("acks").checked, heartbeat: 25,
            on: {
              state: (state, detail) => {
                if (link !== session) return;
                $("state").dataset.state = state;
                $("state").textContent = { open: `connected by ${name}`, connecting: "connecting", waiting: "reconnecting", stopped: "stopped", closed: "not connected" }[state];
                $("connect").textContent = state === "closed" || state === "stopped" ? "Connect" : "Disconnect";
                if (state === "waiting") note("notice", `Connection lost (${detail}); trying again.`);
                else if (state === "stopped") note("notice", `Stopped: ${detail}.`, true);
                else if (state === "open") note("notice", "");
              },
              welcome: (welcome) => {
                if (!welcome.session) return;
                $("session").hidden = false;
                $("session-id").textContent = welcome.session;
                $("session-ack").textContent = welcome.ack;
                $("session-heartbeat").textContent = `${welcome.heartbeatMs / 1000} s`;
                $("session-window").textContent = `${welcome.window.messages} messages, ${Math.round(welcome.window.bytes / 1024)} KiB`;
              },
              moved: (cursor) => { $("session-cursor").textContent = cursor; },
              message: (message) => show(message, link.skew),
              acked: (ids) => { if (link.acks) showAcked(ids); },
              gap: (gap) => note("notice", `Gap in the ${gap.topic === undefined ? `${gap.scope}'s messages` : `topic ${gap.topic}`}: ${gap.reason}.`, true),
              error: (error) => note("notice", error.message, true),
            },
          });
          link.open();
        }

        const isConnected = () => session && session.state !== "closed" && session.state !== "stopped";

        $("subscriber").addEventListener("submit", (event) => {
          event.preventDefault();
          if (isConnected()) session.stop();
          else connectDevice();
        });
        $("transport").append(...Object.entries(transports).map(([key, { name }]) => Object.assign(element("option", "", name), { value: key })));
        $("transport").addEventListener("change", () => {
          if (!isConnected()) return;
          session.stop();
          connectDevice();
        });

        // Each tab is a device of its own and stays the same one when it is loaded again.
        try {
          $("device").value = sessionStorage.getItem("device") || `browser-${random()}`;
          sessionStorage.setItem("device", $("device").value);
        } catch {
          $("device").value = `browser-${random()}`;
        }
        """#
}
