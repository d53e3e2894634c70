extension DevPage {
    /// What all parts of the page use.
    static let basicsScript = #"""
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
        const sleep = (ms, signal) => new Promise((done, fail) => {
          const timer = setTimeout(done, ms);
          signal?.addEventListener("abort", () => { clearTimeout(timer); fail(new Error("aborted")); });
        });
        const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
        const milliseconds = (ms) => ms < 10 ? `${ms.toFixed(1)} ms` : ms < 10000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
        const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
        const random = () => Math.random().toString(36).slice(2, 7).padEnd(5, "0");

        // A browser gives one server six connections, and six more to requests without credentials: the lanes need both.
        const ask = (path, options = {}) => fetch(path, { credentials: "omit", cache: "no-store", ...options });

        async function answered(answer) {
          const body = await answer.json().catch(() => null);
          if (answer.ok) return body;
          const error = new Error(body?.error ? `${answer.status} ${body.error.code}: ${body.error.message}` : `status ${answer.status}`);
          error.status = answer.status;
          throw error;
        }

        // Published until the server has said that it is stored; the idempotency key makes a repeat harmless.
        async function publishSurely(lines, onRetry) {
          for (let attempt = 1; ; attempt += 1) {
            try {
              if (lines.length === 1) {
                return [(await answered(await ask("/v1/messages", { method: "POST", headers: { "Content-Type": "application/json" }, body: lines[0] }))).id];
              }
              const answer = await ask("/v1/messages", { method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body: lines.join("\n") });
              if (!answer.ok) await answered(answer);
              const results = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
              const refused = results.find((result) => result.error);
              if (refused) throw Object.assign(new Error(refused.error.message), { status: refused.error.code === "bad_request" ? 400 : 503 });
              return results.map((result) => result.id);
            } catch (error) {
              if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
              onRetry?.(attempt);
              await sleep(400);
            }
          }
        }

        document.addEventListener("click", async (event) => {
          const button = event.target.closest("[data-copy]");
          if (!button) return;
          const source = $(button.dataset.copy);
          try {
            await navigator.clipboard.writeText(source.textContent);
            button.textContent = "Copied";
          } catch {
            getSelection().selectAllChildren(source);
            button.textContent = "Selected";
          }
          setTimeout(() => { button.textContent = "Copy"; }, 1500);
        });

        /// A command with a button that copies it.
        function command(id, text) {
          const box = element("div", "command");
          const button = element("button", "small", "Copy");
          button.type = "button";
          button.dataset.copy = id;
          const line = element("pre", "", text);
          line.id = id;
          box.append(line, button);
          return box;
        }
        """#
}
