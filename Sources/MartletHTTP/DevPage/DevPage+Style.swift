extension DevPage {
    static let style = #"""
        :root {
          --ground: #f6f5f1; --card: #fff; --ink: #1d2421; --quiet: #66716c; --line: #dedcd3; --field: #fbfaf7;
          --accent: #0f766e; --on-accent: #fff; --high: #b42318; --medium: #0f766e; --low: #66716c; --warn: #96590a;
          --good: #1a7f4b; --shade: 0 1px 2px rgb(20 30 25 / .06), 0 6px 20px rgb(20 30 25 / .05);
          --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #121614; --card: #1a201d; --ink: #e6ebe8; --quiet: #95a29c; --line: #2e3733; --field: #141917;
            --accent: #4cc2b2; --on-accent: #06231f; --high: #ff8a7a; --medium: #4cc2b2; --low: #95a29c; --warn: #e8b25c;
            --good: #6cd39b; --shade: none;
          }
        }
        * { box-sizing: border-box; }
        [hidden] { display: none !important; }
        html { -webkit-text-size-adjust: 100%; }
        body {
          margin: 0; background: var(--ground); color: var(--ink);
          font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
        }
        header, main, footer { max-width: 1120px; margin: 0 auto; padding: 0 20px; }
        header { display: flex; align-items: center; gap: 12px; padding-top: 22px; padding-bottom: 14px; flex-wrap: wrap; }
        header svg { width: 34px; height: 34px; color: var(--accent); flex: none; }
        h1 { font-size: 21px; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
        header p { margin: 0; color: var(--quiet); flex: 1 1 220px; }
        h2 { font-size: 15px; margin: 0; }
        main { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); gap: 18px; align-items: start; }
        .side { display: grid; gap: 18px; }
        .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; box-shadow: var(--shade); padding: 16px 18px 18px; }
        .card > .head { display: flex; align-items: center; justify-content: space-between; gap: 10px; margin-bottom: 12px; min-height: 30px; }
        .grid { display: grid; grid-template-columns: 1fr 1fr; gap: 10px 12px; }
        .wide { grid-column: 1 / -1; }
        label > span, legend { display: block; font-size: 12.5px; color: var(--quiet); margin-bottom: 3px; padding: 0; }
        input, select, textarea {
          width: 100%; font: inherit; color: inherit; background: var(--field); border: 1px solid var(--line);
          border-radius: 8px; padding: 7px 10px; min-height: 38px;
        }
        textarea { font: 13.5px/1.5 var(--mono); resize: vertical; min-height: 76px; display: block; }
        input[type=checkbox] { width: auto; min-height: 0; accent-color: var(--accent); margin: 0; }
        :is(input, select, textarea, button, summary):focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
        [aria-invalid=true] { border-color: var(--high); }
        fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
        .choice { display: flex; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; background: var(--field); }
        .choice label { flex: 1; position: relative; }
        .choice input { position: absolute; opacity: 0; inset: 0; min-height: 0; }
        .choice b { display: block; font-weight: 500; text-align: center; padding: 7px 4px; min-height: 36px; cursor: pointer; }
        .choice label + label b { border-left: 1px solid var(--line); }
        .choice input:checked + b { background: var(--accent); color: var(--on-accent); }
        .choice input:focus-visible + b { outline: 2px solid var(--accent); outline-offset: -3px; }
        .check { display: flex; align-items: center; gap: 8px; align-self: end; min-height: 38px; }
        .check span { margin: 0; font-size: 14px; color: inherit; }
        button {
          font: inherit; font-weight: 550; border: 1px solid var(--line); background: var(--field); color: var(--ink);
          border-radius: 8px; padding: 7px 14px; min-height: 38px; cursor: pointer;
        }
        button.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
        button:hover { filter: brightness(1.06); }
        button:disabled { opacity: .55; cursor: default; }
        button.small { min-height: 28px; padding: 2px 10px; font-size: 13px; font-weight: 500; }
        .row { display: flex; align-items: center; gap: 10px; flex-wrap: wrap; }
        .state { display: inline-flex; align-items: center; gap: 7px; font-size: 13.5px; font-weight: 550; white-space: nowrap; }
        .state::before { content: ""; width: 9px; height: 9px; border-radius: 50%; background: var(--low); }
        .state[data-state=open]::before { background: var(--good); }
        .state[data-state=connecting]::before, .state[data-state=draining]::before { background: var(--warn); animation: blink 1.1s infinite; }
        .state[data-state=stopped]::before { background: var(--high); }
        @keyframes blink { 50% { opacity: .25; } }
        dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 14px 0 0; font-size: 13px; }
        dt { color: var(--quiet); } dd { margin: 0; font-family: var(--mono); font-size: 12.5px; overflow-wrap: anywhere; }
        .note { font-size: 13.5px; margin: 12px 0 0; color: var(--quiet); overflow-wrap: anywhere; }
        .note.bad { color: var(--high); }
        ol { list-style: none; margin: 0; padding: 0; }
        #messages { max-height: 66vh; overflow: auto; margin: 0 -18px -18px; border-radius: 0 0 12px 12px; }
        #messages li { padding: 10px 18px; border-top: 1px solid var(--line); }
        #messages li.fresh { animation: arrive 1.4s ease-out; }
        @keyframes arrive { from { background: color-mix(in srgb, var(--accent) 22%, transparent); } }
        @media (prefers-reduced-motion: reduce) { *, *::before { animation: none !important; } }
        .top { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; }
        .top strong { font-weight: 600; margin-right: 4px; overflow-wrap: anywhere; }
        .badge { font-size: 12px; line-height: 1.55; padding: 0 8px; border-radius: 99px; border: 1px solid var(--line); color: var(--quiet); white-space: nowrap; }
        .badge.high { color: var(--high); border-color: currentColor; } .badge.medium { color: var(--medium); border-color: currentColor; }
        .badge.warn { color: var(--warn); border-color: currentColor; } .badge.good { color: var(--good); border-color: currentColor; }
        pre { margin: 6px 0 0; font: 13px/1.5 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; }
        #messages pre { max-height: 180px; overflow: auto; }
        #messages .id { font: 11.5px var(--mono); color: var(--quiet); margin-top: 4px; overflow-wrap: anywhere; }
        .empty { padding: 26px 18px 30px; text-align: center; color: var(--quiet); margin: 0; }
        #status { margin-top: 12px; padding-top: 12px; border-top: 1px solid var(--line); }
        #status .row { justify-content: space-between; }
        #status ol { margin-top: 8px; display: flex; flex-wrap: wrap; gap: 6px; }
        code { font-family: var(--mono); font-size: .92em; }
        .room-name { flex: 0 1 200px; margin-right: auto; } .room-name input { min-height: 30px; padding: 2px 10px; }
        #room-messages { max-height: 240px; overflow: auto; margin-bottom: 10px; }
        #room-messages li { padding: 3px 0; overflow-wrap: anywhere; } #room-messages strong { margin-right: 8px; }
        #say-form { flex-wrap: nowrap; }
        .commands { display: grid; gap: 12px; }
        .commands .head { display: flex; justify-content: space-between; align-items: center; font-size: 13px; color: var(--quiet); }
        .commands pre { background: var(--field); border: 1px solid var(--line); border-radius: 8px; padding: 9px 11px; margin-top: 5px; font-size: 12.5px; }
        .page-wide { grid-column: 1 / -1; }
        footer { color: var(--quiet); font-size: 13px; padding-top: 18px; padding-bottom: 30px; }
        @media (max-width: 820px) {
          main { grid-template-columns: minmax(0, 1fr); gap: 14px; padding: 0 12px; }
          header, footer { padding-left: 14px; padding-right: 14px; }
          .side { gap: 14px; } .card { padding: 14px; } #messages { max-height: none; margin: 0 -14px -14px; } #messages li { padding: 10px 14px; }
          input, select, textarea, button { font-size: 16px; }
        }
        """#
}
