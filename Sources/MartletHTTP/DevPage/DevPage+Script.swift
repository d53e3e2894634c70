extension DevPage {
    /// The form, the list, the delivery status and the curl lines.
    static let script = #"""
        "use strict";
        const $ = (id) => document.getElementById(id);
        const element = (name, className, text) => {
          const node = document.createElement(name);
          if (className) node.className = className;
          if (text !== undefined) node.textContent = text;
          return node;
        };
        const checked = (name) => document.querySelector(`input[name=${name}]:checked`).value;
        const query = (values) => {
          const result = new URLSearchParams();
          for (const [key, value] of Object.entries(values)) if (value !== "" && value != null) result.set(key, value);
          return result.toString();
        };
        const note = (id, text, bad = false) => {
          $(id).textContent = text;
          $(id).hidden = !text;
          $(id).classList.toggle("bad", bad);
        };

        // ---------------------------------------------------------------- messages

        const shown = new Map();   // id → its list item, oldest first
        const sentAt = new Map();  // id → when this page published it, for the round trip
        let total = 0;
        const mostShown = 200;

        function show(message, skew) {
          total += 1;
          $("count").textContent = total;
          $("empty").hidden = true;
          const now = performance.now();
          const elapsed = sentAt.has(message.id) ? now - sentAt.get(message.id) : Math.max(0, Date.now() + skew - message.at);
          const item = element("li", "fresh");
          item.dataset.id = message.id;
          const top = element("div", "top");
          top.append(element("strong", "", message.type || "message"));
          if (message.topic !== undefined) top.append(element("span", "badge topic", message.topic));
          if (message.priority) top.append(element("span", `badge ${message.priority}`, message.priority));
          if (message.retained) top.append(element("span", "badge", "retained"));
          if (message.seq !== undefined) top.append(element("span", "badge", `seq ${message.seq}`));
          top.append(element("span", "badge latency", elapsed < 10000 ? `${elapsed.toFixed(elapsed < 10 ? 1 : 0)} ms` : `${Math.round(elapsed / 1000)} s old`));
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

        // ---------------------------------------------------------------- publishing

        function draft() {
          const target = $("target").value;
          const message = { to: target === "all" ? { all: true } : { [target]: $("name").value } };
          if ($("type").value) message.type = $("type").value;
          const text = $("data").value;
          // Kept as typed: numbers beyond JavaScript's and the order of keys reach the devices unchanged.
          let data = JSON.stringify(text);
          try { JSON.parse(text); data = text.trim(); } catch { /* a string then */ }
          if ($("ttl").value !== "") message.ttl = Number($("ttl").value);
          if (target === "topic") {
            if ($("retain").checked) message.retain = true;
          } else {
            if (checked("priority") !== "medium") message.priority = checked("priority");
            if ($("collapse").value) message.collapseKey = $("collapse").value;
          }
          const json = JSON.stringify(message);
          return text === "" ? json : `${json.slice(0, -1)},"data":${data}}`;
        }

        $("publisher").addEventListener("submit", async (event) => {
          event.preventDefault();
          $("publish").disabled = true;
          const begin = performance.now();
          try {
            const answer = await fetch("/v1/messages", { method: "POST", headers: { "Content-Type": "application/json" }, body: draft() });
            const body = await answer.json();
            if (!answer.ok) throw new Error(`${answer.status} ${body.error.code}: ${body.error.message}`);
            sentAt.set(body.id, begin);
            while (sentAt.size > mostShown) sentAt.delete(sentAt.keys().next().value);
            note("published", `Stored in ${(performance.now() - begin).toFixed(1)} ms (${answer.status}).`);
            if ($("target").value === "topic") {
              following?.abort();
              $("status").hidden = true;
            } else {
              follow(body.id);
            }
          } catch (error) {
            note("published", `Not published: ${error.message}`, true);
          }
          $("publish").disabled = false;
        });

        let following = null;  // the one message whose delivery is shown; a browser has few connections to give
        const settled = new Set(["delivered", "expired", "collapsed", "recalled", "failed"]);

        async function follow(id) {
          following?.abort();
          const stop = following = new AbortController();
          $("status").hidden = false;
          $("status-id").textContent = id;
          $("status-devices").replaceChildren(element("li", "badge", "waiting"));
          lines();
          let tag = null;
          for (let failures = 0; failures < 20 && !stop.signal.aborted;) {
            try {
              const answer = await fetch(`/v1/messages/${id}${tag ? "?wait=20" : ""}`, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", signal: stop.signal });
              if (answer.status === 304) continue;
              if (!answer.ok) throw new Error(answer.status);
              tag = answer.headers.get("ETag");
              const status = await answer.json();
              showStatus(status);
              failures = 0;
              const states = (status.devices || []).map((device) => device.state);
              if (status.recalled || (states.length && states.every((state) => settled.has(state)))) return;
            } catch (error) {
              if (stop.signal.aborted) return;
              failures += 1;
              await new Promise((done) => setTimeout(done, 1000));
            }
          }
        }

        function showStatus(status) {
          const devices = (status.devices || []).map((device) => {
            const state = device.state === "delivered" ? "good" : device.state === "sent" ? "medium" : device.state === "queued" ? "" : "warn";
            let text = `${device.device}: ${device.state}`;
            if (device.reason) text += ` (${device.reason})`;
            if (device.deliveredAt) text += ` after ${Math.max(0, device.deliveredAt - status.at)} ms`;
            return element("li", `badge ${state}`, text);
          });
          if (!devices.length) devices.push(element("li", "badge", status.recalled ? "recalled" : "no device known yet"));
          if (status.next) devices.push(element("li", "badge", "and more"));
          $("status-devices").replaceChildren(...devices);
        }

        $("recall").addEventListener("click", async () => {
          const answer = await fetch(`/v1/messages/${$("status-id").textContent}`, { method: "DELETE" });
          const body = await answer.json();
          note("published", answer.ok ? `Taken back: ${body.state}.` : body.error.message, !answer.ok);
        });

        // ---------------------------------------------------------------- curl

        /// The topics that are asked for, as the query names them: a comma within a name is not possible here.
        const topics = () => $("topics").value.split(",").map((name) => name.trim()).filter(Boolean).map((name) => name.replaceAll("%", "%25")).join(",");

        const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

        function lines() {
          const target = $("target").value;
          $("name").disabled = target === "all";
          const isTopic = target === "topic";
          $("name-label").textContent = isTopic ? "Topic" : target === "device" ? "Device" : "User";
          $("priorities").disabled = $("priorities").hidden = $("collapses").hidden = isTopic;
          $("retains").hidden = !isTopic;
          const who = topics() ? { topics: topics() } : { user: $("user").value, device: "curl" };
          $("curl-subscribe").textContent = `curl -N ${quoted(`${location.origin}/v1/sse?${query(who)}`)}`;
          const path = $("name").value.split("/").map(encodeURIComponent).join("/");
          $("curl-publish").textContent = isTopic
            ? `curl ${quoted(`${location.origin}/v1/topics/${path}`)} -H 'Content-Type: application/json' -d ${quoted($("data").value)}`
            : `curl ${location.origin}/v1/messages -d ${quoted(draft())}`;
          $("curl-status").textContent = `curl '${location.origin}/v1/messages/${$("status-id").textContent || "ID"}?wait=25'`;
        }
        for (const kind of ["input", "change"]) document.addEventListener(kind, lines);

        for (const button of document.querySelectorAll("[data-copy]")) {
          button.addEventListener("click", async () => {
            try {
              await navigator.clipboard.writeText($(button.dataset.copy).textContent);
              button.textContent = "Copied";
            } catch {
              getSelection().selectAllChildren($(button.dataset.copy));
              button.textContent = "Selected";
            }
            setTimeout(() => { button.textContent = "Copy"; }, 1500);
          });
        }
        """#
}
