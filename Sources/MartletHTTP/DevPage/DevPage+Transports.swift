extension DevPage {
    /// The ways in, each in a few lines: what a client has to do to speak it.
    static let transportsScript = #"""
        class WebSocketLink extends Link {
          ackMs = 0;
          connect(signal) {
            return new Promise((_, fail) => {
              const asked = { ...this.asked, hb: "visible", heartbeat: this.heartbeat, ack: this.acks ? "" : "none" };
              const socket = this.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/ws?${query(asked)}`);
              signal.addEventListener("abort", () => socket.close());
              socket.onmessage = (event) => {
                if (signal.aborted) return;
                const frame = JSON.parse(event.data);
                if (Object.keys(frame).length === 0) socket.send("{}");
                this.frame(frame);
              };
              socket.onclose = ({ code, reason }) => {
                if (code < 4500) fail(new Error(reason || "the connection broke"));
                else fail(final(code === 4500 ? "taken over by another session of this device" : reason));
              };
            });
          }
          send(frame) {
            if (this.socket?.readyState !== WebSocket.OPEN) return false;
            this.socket.send(JSON.stringify(frame));
            return true;
          }
          ack(batch) {
            const last = batch[batch.length - 1].seq;
            if (last !== undefined && !this.send({ ack: last })) throw new Error("closed");
          }
        }

        class EventSourceLink extends Link {
          get url() { return `/v1/sse?${query({ ...this.asked, hb: "visible", heartbeat: this.heartbeat })}`; }
          connect(signal) {
            return new Promise((_, fail) => {
              const source = new EventSource(this.url);
              signal.addEventListener("abort", () => source.close());
              for (const name of ["welcome", "message", "gap", "presence", "drain", "close", "hb"]) {
                source.addEventListener(name, (event) => {
                  if (!signal.aborted) this.frame(name === "hb" ? {} : { [name]: JSON.parse(event.data || "{}") }, event.lastEventId);
                });
              }
              // It would come back by itself, with Last-Event-ID; here the page does, so that all lanes wait alike.
              source.onerror = () => fail(new Error("the connection broke"));
            });
          }
          ack() { return this.ackByCursor(); }
        }

        class RamenLink extends EventSourceLink {
          seq = 0;
          get url() { return `/ramen/receive?${query({ ...this.who, seq: this.seq, hb: "visible", heartbeat: this.heartbeat })}`; }
          moved() {}
          received(message) {
            this.seq = message.seq;
            super.received(message);
          }
          async ack() {
            const answer = await ask(`/ramen/ack?${query({ ...this.who, seq: this.seq })}`);
            if (!answer.ok) throw new Error(answer.status);
          }
        }

        class StreamLink extends Link {
          async read(format, signal, feed) {
            const answer = await ask(`/v1/stream?${query({ ...this.asked, format, hb: "visible", heartbeat: this.heartbeat })}`, { signal });
            if (!answer.ok) await answered(answer);
            const reader = answer.body.getReader();
            for (;;) {
              const { value, done } = await reader.read();
              if (done || signal.aborted) return;
              feed(value);
            }
          }
          ack() { return this.ackByCursor(); }
        }

        class NDJSONLink extends StreamLink {
          connect(signal) {
            const decoder = new TextDecoder();
            let rest = "";
            return this.read("ndjson", signal, (bytes) => {
              const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
              rest = lines.pop();
              for (const line of lines) if (!signal.aborted) this.frame(JSON.parse(line || "{}"));
            });
          }
        }

        class MultipartLink extends StreamLink {
          connect(signal) {
            const decoder = new TextDecoder();
            let bytes = new Uint8Array();
            return this.read("multipart", signal, (more) => {
              bytes = Uint8Array.from([...bytes, ...more]);
              for (;;) {
                // A part's fields are ASCII; its content is as long as they say.
                const text = decoder.decode(bytes);
                const head = text.slice(0, text.indexOf("\r\n\r\n") + 4);
                const length = Number(/content-length: *(\d+)/i.exec(head)?.[1]);
                if (!(bytes.length >= head.length + length)) return;
                const content = decoder.decode(bytes.subarray(head.length, head.length + length));
                bytes = bytes.subarray(head.length + length);
                if (!signal.aborted) this.frame(JSON.parse(content), /martlet-cursor: *(\S+)/i.exec(head)?.[1]);
              }
            });
          }
        }

        let calls = 0;

        class IframeLink extends Link {
          connect(signal) {
            return new Promise((_, fail) => {
              const callback = `martletFrame${calls += 1}`;
              const frame = element("iframe");
              frame.hidden = true;
              frame.title = "The forever-iframe";
              globalThis[callback] = (object) => { if (!signal.aborted) this.frame(object); };
              signal.addEventListener("abort", () => { frame.remove(); delete globalThis[callback]; });
              frame.onload = () => fail(new Error("the frame ended"));
              frame.src = `/v1/stream?${query({ ...this.asked, format: "iframe", callback, hb: "visible", heartbeat: this.heartbeat })}`;
              document.body.append(frame);
            });
          }
          ack() { return this.ackByCursor(); }
        }

        /// Polls and long polls: the next request's cursor acks what the last answer held.
        class PollLink extends Link {
          everyMs = 1000;
          wait = 0;
          silence = 40000;
          async connect(signal) {
            let acking = [];
            let wait = 0;
            for (let isFirst = true; ; isFirst = false) {
              const asked = this.request({ ...this.asked, wait: wait || "" }, signal);
              this.on.acked?.(acking);
              const body = await asked;
              if (signal.aborted) return;
              if (body.error) throw Object.assign(new Error(body.error.message), { isFinal: body.error.code === "forbidden" });
              if (body.takenOver) throw final("taken over by another session of this device");
              if (isFirst) this.welcomed({});
              this.heard();
              for (const gap of body.gaps ?? []) this.on.gap?.(gap);
              for (const event of body.presence ?? []) this.on.presence?.(event);
              acking = body.messages.map((message) => message.id);
              for (const message of body.messages) this.received(message);
              this.moved(body.cursor);
              wait = this.wait;
              if (!wait) await sleep(this.everyMs, signal);
            }
          }
          async request(asked, signal) { return answered(await ask(`/v1/poll?${query(asked)}`, { signal })); }
        }

        class LongPollLink extends PollLink { wait = 25; }

        class ExchangeLink extends PollLink {
          everyMs = 2000;
          async request(_, signal) {
            return answered(await ask(`/v1/exchange?${query(this.who)}`, {
              method: "POST", headers: { "Content-Type": "application/json" }, signal,
              body: JSON.stringify({ ...(this.cursor ? { cursor: this.cursor } : {}), ...(this.topics ? { subscribe: this.topics.split(",").map((name) => name.replaceAll("%25", "%")) } : {}) }),
            }));
          }
        }

        class JSONPLink extends LongPollLink {
          request(asked, signal) {
            return new Promise((done, fail) => {
              const callback = `martletCall${calls += 1}`;
              const script = element("script");
              // One that was given up may still run.
              const forget = () => { script.remove(); globalThis[callback] = () => {}; };
              globalThis[callback] = (body) => { forget(); delete globalThis[callback]; done(body); };
              // Chromium holds scripts of low priority back while others of this page are under way.
              script.fetchPriority = "high";
              script.onerror = () => { forget(); fail(new Error("the script did not load")); };
              signal.addEventListener("abort", forget);
              script.src = `/v1/poll?${query({ ...asked, callback })}`;
              document.head.append(script);
            });
          }
        }

        // `curl` is the same by hand; H stands for the origin, Q for who connects.
        const transports = {
          websocket: { name: "WebSocket", Type: WebSocketLink, says: "Both ways on one connection; acks by number.", curl: "martlet subscribe --url H --user U --device curl" },
          sse: { name: "SSE", Type: EventSourceLink, says: "EventSource: one long answer of text events.", curl: "curl -N 'H/v1/sse?Q'" },
          ramen: { name: "RAMEN", Type: RamenLink, says: "The protocol that Uber describes: SSE with numbers that outlive the connection.", curl: "curl -N 'H/ramen/receive?seq=0&Q'" },
          ndjson: { name: "NDJSON stream", Type: NDJSONLink, says: "fetch with a reader: one JSON object a line.", curl: "curl -N 'H/v1/stream?format=ndjson&Q'" },
          multipart: { name: "Multipart stream", Type: MultipartLink, says: "multipart/x-mixed-replace: one part for each message.", curl: "curl -N 'H/v1/stream?format=multipart&Q'" },
          iframe: { name: "Forever-iframe", Type: IframeLink, says: "A hidden page that never ends and calls a function of this one.", curl: "curl -N 'H/v1/stream?format=iframe&callback=show&Q'" },
          longpoll: { name: "Long poll", Type: LongPollLink, says: "A request that is answered when there is something.", curl: "curl 'H/v1/poll?wait=25&Q'" },
          jsonp: { name: "JSONP", Type: JSONPLink, says: "A long poll as a script tag, where nothing else gets through.", curl: "curl 'H/v1/poll?wait=25&callback=show&Q'" },
          exchange: { name: "Piggyback", Type: ExchangeLink, says: "Messages ride on a request that the app makes anyway, here every 2 s.", curl: "curl 'H/v1/exchange?Q' -d '{}'" },
          poll: { name: "Polling", Type: PollLink, says: "Asks every second. What all the others are better than.", curl: "curl 'H/v1/poll?Q'" },
        };
        const curlOf = (name, user) =>
          transports[name].curl.replace("H", location.origin).replace("Q", query({ user, device: "curl" })).replace("U", user);
        """#
}
