extension DevPage {
    /// The publish form, the curl lines, and what begins when the page is there.
    static let publishScript = #"""
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
            const answer = await ask("/v1/messages", { method: "POST", headers: { "Content-Type": "application/json" }, body: draft() });
            const { id } = await answered(answer);
            sentAt.set(id, begin);
            while (sentAt.size > mostShown) sentAt.delete(sentAt.keys().next().value);
            note("published", `Stored in ${milliseconds(performance.now() - begin)} (${answer.status}).`);
            if ($("target").value !== "topic") delivery.follow(id, $("type").value || "your message", true);
          } catch (error) {
            note("published", `Not published: ${error.message}`, true);
          }
          $("publish").disabled = false;
        });

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
        }
        for (const kind of ["input", "change"]) document.addEventListener(kind, lines);

        // ---------------------------------------------------------------- the lanes' buttons

        $("send-one").addEventListener("click", () => board.send(1, checked("lane-priority")));
        $("send-many").addEventListener("click", () => board.send(50, checked("lane-priority")));
        $("keep").addEventListener("click", () => board.keep($("keep").getAttribute("aria-pressed") !== "true"));
        $("take-over").addEventListener("click", () => runLanes(true));

        /// A browser has too few connections for the lanes of two tabs: one at a time.
        function runLanes(steals = false) {
          if (!navigator.locks) return board.start();
          navigator.locks.request("martlet-lanes", steals ? { steal: true } : { ifAvailable: true }, (lock) => {
            if (!lock) return board.stop("The lanes run in another tab of this browser. A browser opens few connections to one server, so one tab at a time has them.");
            board.start();
            return new Promise(() => {});
          }).catch(() => board.stop("The lanes went on in another tab of this browser."));
        }

        $("curl-lanes").textContent = `curl ${location.origin}/v1/messages -d ${quoted(JSON.stringify({ to: { user: board.user }, data: "hello", priority: "high" }))}`;
        $("curl-kill").textContent = `kill -9 $(pgrep -nf "martlet serve"); sleep 5; make run${location.port === "8080" ? "" : ` PORT=${location.port}`}`;
        board.build();
        lines();
        connectDevice();
        room.open();
        // Not before: a page that waits for a frame or a script would never be loaded.
        if (document.readyState === "complete") runLanes();
        else addEventListener("load", () => setTimeout(runLanes));
        """#
}
