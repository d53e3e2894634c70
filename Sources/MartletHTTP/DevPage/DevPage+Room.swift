extension DevPage {
    /// A room: a topic that everybody with this page open subscribes and publishes to, over one WebSocket.
    static let roomScript = #"""
        const room = {
          socket: null,
          failures: 0,
          get topic() { return `room/${$("room").value.trim() || "lobby"}`; },

          open() {
            clearTimeout(this.again);
            const old = this.socket;
            this.socket = null;
            old?.close();
            $("room-state").dataset.state = "connecting";
            const topic = this.topic;
            const names = topic.replaceAll("%", "%25").replaceAll(",", "%2C");
            const socket = this.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/ws?${query({ topics: names, since: "last:20" })}`);
            socket.onmessage = (event) => {
              if (socket !== this.socket) return;
              const frame = JSON.parse(event.data);
              if (frame.welcome) this.welcomed(topic);
              else if (frame.message) this.heard(frame.message);
              else if (frame.error) this.add("server", frame.error.message);
            };
            socket.onclose = (event) => {
              if (socket !== this.socket) return;
              $("room-state").dataset.state = "closed";
              $("room-count").textContent = "";
              this.failures += 1;
              if (event.code < 4500) this.again = setTimeout(() => this.open(), Math.min(10000, 1000 * this.failures) * (0.5 + Math.random()));
            };
          },

          async welcomed(topic) {
            this.failures = 0;
            $("room-messages").replaceChildren();
            $("room-state").dataset.state = "open";
            try {
              const info = await (await fetch(`/v1/topics/${topic.split("/").map(encodeURIComponent).join("/")}`)).json();
              if (topic === this.topic) $("room-count").textContent = `${info.subscribers} here`;
            } catch { /* only the number is missing */ }
          },

          heard(message) {
            const { from, text } = message.data ?? {};
            if (typeof text === "string") this.add(typeof from === "string" ? from : "somebody", text);
            else this.add(message.type || "message", JSON.stringify(message.data ?? message.dataBase64 ?? null));
          },

          add(from, text) {
            const item = element("li");
            item.append(element("strong", "", from), element("span", "", text));
            $("room-messages").append(item);
            while ($("room-messages").children.length > 100) $("room-messages").firstElementChild.remove();
            item.scrollIntoView({ block: "nearest" });
          },

          say(text) {
            if (this.socket?.readyState !== WebSocket.OPEN) return false;
            this.socket.send(JSON.stringify({ publish: { topic: this.topic, data: { from: $("device").value || "somebody", text } } }));
            return true;
          },
        };

        $("say-form").addEventListener("submit", (event) => {
          event.preventDefault();
          if ($("say").value && room.say($("say").value)) $("say").value = "";
        });
        $("room-form").addEventListener("submit", (event) => event.preventDefault());
        $("room").addEventListener("change", () => room.open());
        room.open();
        """#
}
