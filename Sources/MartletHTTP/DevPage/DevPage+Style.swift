extension DevPage {
    /// Colours, type, controls and cards.
    static let style = #"""
        :root {
          --ground: #f6f5f1; --card: #fff; --ink: #1d2421; --quiet: #5c6762; --line: #dedcd3; --field: #faf9f5;
          --accent: #0f766e; --on-accent: #fff; --high: #b42318; --medium: #0f766e; --low: #6b7671; --warn: #8a4f06;
          --good: #16703f; --tint: #e8f4f1; --bad-tint: #fbeae7; --warn-tint: #fbf1de;
          --shade: 0 1px 2px rgb(20 30 25 / .06), 0 6px 20px rgb(20 30 25 / .05);
          --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #121614; --card: #1a201d; --ink: #e6ebe8; --quiet: #9aa7a1; --line: #2e3733; --field: #141917;
            --accent: #4cc2b2; --on-accent: #06231f; --high: #ff8a7a; --medium: #4cc2b2; --low: #8c9993; --warn: #e8b25c;
            --good: #6cd39b; --tint: #16302b; --bad-tint: #3a1f1b; --warn-tint: #33280f; --shade: none;
          }
        }
        * { box-sizing: border-box; }
        [hidden] { display: none !important; }
        .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
        html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
        body {
          margin: 0; background: var(--ground); color: var(--ink);
          font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
        }
        header, main, footer { max-width: 1200px; margin: 0 auto; padding: 0 20px; }
        header { display: flex; align-items: center; gap: 6px 12px; padding-top: 18px; padding-bottom: 14px; flex-wrap: wrap; }
        header svg { width: 34px; height: 34px; color: var(--accent); flex: none; }
        h1 { font-size: 21px; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
        header p { margin: 0; color: var(--quiet); flex: 1 1 260px; }
        nav { display: flex; gap: 4px 16px; flex-wrap: wrap; font-size: 14px; }
        a { color: var(--accent); text-underline-offset: 3px; }
        h2 { font-size: 17px; line-height: 1.3; margin: 0; letter-spacing: -.005em; scroll-margin-top: 16px; }
        h3 { font-size: 14.5px; margin: 0; }
        .part { margin: 14px 0 -4px; font-size: 19px; }
        main { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 18px; align-items: stretch; }
        .page-wide { grid-column: 1 / -1; }
        .side { display: grid; gap: 18px; min-width: 0; align-content: start; }
        .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; box-shadow: var(--shade); padding: 16px 18px 18px; min-width: 0; }
        .card > p { margin: 0 0 10px; }
        .card > .head { display: flex; align-items: center; justify-content: space-between; gap: 8px 10px; margin-bottom: 12px; min-height: 30px; flex-wrap: wrap; }
        .card > h3 { margin: 14px 0 4px; }
        .grid { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 10px 12px; }
        .wide { grid-column: 1 / -1; }
        label > span, legend { display: block; font-size: 12.5px; color: var(--quiet); margin-bottom: 3px; padding: 0; }
        input, select, textarea {
          width: 100%; font: inherit; color: inherit; background: var(--field); border: 1px solid var(--line);
          border-radius: 8px; padding: 7px 10px; min-height: 38px;
        }
        ::placeholder { color: var(--quiet); opacity: 1; }
        textarea { font: 13.5px/1.5 var(--mono); resize: vertical; min-height: 76px; display: block; }
        input[type=checkbox] { width: 18px; height: 18px; min-height: 0; accent-color: var(--accent); margin: 0; flex: none; }
        :is(input, select, textarea, button, summary, a, [tabindex]):focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
        fieldset { border: 0; margin: 0; padding: 0; min-width: 0; position: relative; }
        .choice { display: flex; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; background: var(--field); }
        .choice label { flex: 1; position: relative; }
        .choice input { position: absolute; opacity: 0; inset: 0; min-height: 0; margin: 0; cursor: pointer; }
        .choice b { display: block; font-weight: 500; text-align: center; padding: 7px 10px; min-height: 36px; }
        .choice label + label b { border-left: 1px solid var(--line); }
        .choice input:checked + b { background: var(--accent); color: var(--on-accent); }
        .choice input:focus-visible + b { outline: 2px solid var(--ink); outline-offset: -4px; border-radius: 8px; }
        .check { display: flex; align-items: center; gap: 8px; align-self: end; min-height: 38px; }
        .check span { margin: 0; font-size: 14px; color: inherit; }
        button {
          font: inherit; font-weight: 550; border: 1px solid var(--line); background: var(--field); color: var(--ink);
          border-radius: 8px; padding: 7px 14px; min-height: 38px; cursor: pointer;
        }
        button.main, button[aria-pressed=true] { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
        button:hover { filter: brightness(1.06); }
        button:disabled { opacity: .6; cursor: default; }
        button.small { min-height: 30px; padding: 2px 10px; font-size: 13px; font-weight: 500; }
        .row { display: flex; align-items: center; gap: 10px; flex-wrap: wrap; }
        .state { display: inline-flex; align-items: center; gap: 7px; font-size: 13px; white-space: nowrap; color: var(--quiet); }
        .state::before { content: ""; width: 9px; height: 9px; border-radius: 50%; background: var(--low); flex: none; }
        .state:empty::before { display: none; }
        .state[data-state=open]::before { background: var(--good); }
        .state:is([data-state=connecting], [data-state=waiting])::before { background: var(--warn); animation: blink 1.1s infinite; }
        .state[data-state=stopped]::before { background: var(--high); border-radius: 2px; }
        #room-state[data-state=open]::before { display: block; }
        @keyframes blink { 50% { opacity: .25; } }
        .note, .quiet { font-size: 13.5px; color: var(--quiet); overflow-wrap: anywhere; }
        .note { margin: 12px 0 0; } .card > .note { margin: 10px 0 4px; }
        .note.bad { color: var(--high); }
        ol { list-style: none; margin: 0; padding: 0; }
        .badge { font-size: 12px; line-height: 1.55; padding: 0 8px; border-radius: 99px; border: 1px solid var(--line); color: var(--quiet); white-space: nowrap; }
        .badge:empty { display: none; }
        .badge.high { color: var(--high); border-color: currentColor; } .badge.medium { color: var(--medium); border-color: currentColor; }
        .badge.warn { color: var(--warn); border-color: currentColor; } .badge.good { color: var(--good); border-color: currentColor; }
        .chips { display: flex; flex-wrap: wrap; gap: 6px; } .chips .badge { font-size: 12.5px; max-width: 100%; overflow: hidden; text-overflow: ellipsis; }
        pre { margin: 6px 0 0; font: 13px/1.5 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; }
        code { font-family: var(--mono); font-size: .86em; overflow-wrap: anywhere; color: var(--quiet); }
        .command { display: flex; align-items: start; gap: 8px; background: var(--field); border: 1px solid var(--line); border-radius: 8px; padding: 7px 8px 7px 11px; margin-top: 6px; }
        .command pre { margin: 4px 0 0; font-size: 12.5px; flex: 1; min-width: 0; }
        .empty { padding: 14px 0; text-align: center; color: var(--quiet); margin: 0; }
        footer { color: var(--quiet); font-size: 13px; padding-top: 18px; padding-bottom: 30px; }
        @media (prefers-reduced-motion: reduce) { *, *::before { animation: none !important; transition: none !important; scroll-behavior: auto !important; } }
        @media (max-width: 820px) {
          main { grid-template-columns: minmax(0, 1fr); gap: 14px; padding: 0 12px; }
          header, footer { padding-left: 14px; padding-right: 14px; }
          .side { gap: 14px; } .card { padding: 14px; }
          input, select, textarea, button { font-size: 16px; }
          button.small { min-height: 36px; font-size: 14px; }
        }
        """#
}
