extension DevPage {
    /// A room: a topic that everybody with this page open subscribes and publishes to, over one WebSocket, with who is there.
    static let roomScript = #"""
        const room = {
          link: null,
          members: new Map(),
          get topic() { return `room/${$("room").value.trim() || "lobby"}`; },
          get path() { return `/v1/topics/${this.topic.split("/").map(encodeURIComponent).join("/")}`; },

          /// Rooms know who is there and keep what was said, unless somebody has decided otherwise.
          async prepare() {
            try {
              const { set, configured } = await answered(await ask("/v1/namespaces/room"));
              if (set || configured) return;
              await answered(await ask("/v1/namespaces/room", { method: "PUT", body: JSON.stringify({ presence: true, history: { messages: 100 }, subscribe: "all", publish: "all" }) }));
            } catch { /* then a room without */ }
          },

          async open() {
            this.link?.stop();
            this.link = null;
            this.members.clear();
            this.seen = new Set();
            this.count = undefined;
            $("room-messages").replaceChildren();
            this.showMembers();
            const topic = this.topic;
            await this.prepare();
            if (topic !== this.topic || this.link) return;
            const me = $("device").value || "somebody";
            const link = this.link = new WebSocketLink({
              user: me, device: `room-${me}`, topics: topic.replaceAll("%", "%25").replaceAll(",", "%2C"), more: { since: "last:20", presence: 1 },
              on: {
                state: (state, detail) => {
                  if (link !== this.link) return;
                  $("room-state").dataset.state = state;
                  $("room-state").textContent = { open: "", connecting: "connecting", waiting: "waiting", stopped: `stopped: ${detail}`, closed: "" }[state];
                  if (state !== "open") { this.members.clear(); this.count = undefined; this.showMembers(); }
                },
                welcome: () => this.whoIsThere(),
                message: (message) => { if (link === this.link) this.heard(message); },
                presence: (event) => { if (link === this.link) this.came(event); },
                error: (error) => this.add("server", error.message),
              },
            });
            link.open();
          },

          async whoIsThere() {
            const { link } = this;
            try {
              const { count, members } = await answered(await ask(`${this.path}/presence?limit=30`));
              if (link !== this.link) return;
              this.members = new Map(members.map((member) => [member.device, member.user]));
              this.count = count;
              this.showMembers();
            } catch { /* the room goes without */ }
          },

          came({ count, joined, left }) {
            for (const { device, user } of joined) this.members.set(device, user);
            for (const { device } of left) this.members.delete(device);
            this.count = count;
            this.showMembers();
          },

          showMembers() {
            $("room-count").textContent = this.count === undefined ? "" : `${this.count} here`;
            $("room-members").replaceChildren(...[...this.members.values()].slice(0, 30).map((user) =>
              element("li", "badge good", user === $("device").value ? `${user} (you)` : user)));
          },

          heard(message) {
            if (this.seen.has(message.id)) return;
            this.seen.add(message.id);
            const { from, text } = message.data ?? {};
            if (typeof text === "string") this.add(typeof from === "string" ? from : "somebody", text);
            else this.add(message.type || "message", JSON.stringify(message.data ?? message.dataBase64 ?? null));
          },

          add(from, text) {
            const list = $("room-messages");
            const item = element("li");
            item.append(element("strong", "", from), element("span", "", text));
            list.append(item);
            while (list.children.length > 100) list.firstElementChild.remove();
            list.scrollTop = list.scrollHeight;
          },

          say(text) {
            return this.link?.send({ publish: { topic: this.topic, data: { from: $("device").value || "somebody", text } } }) ?? false;
          },
        };

        $("say-form").addEventListener("submit", (event) => {
          event.preventDefault();
          if ($("say").value && room.say($("say").value)) $("say").value = "";
        });
        $("room-form").addEventListener("submit", (event) => event.preventDefault());
        $("room").addEventListener("change", () => room.open());
        """#
}
