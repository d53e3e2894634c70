extension DevPage {
    /// The lanes, the scenes, the lists.
    static let stageStyle = #"""
        .controls { display: flex; flex-wrap: wrap; gap: 10px; align-items: center; }
        .controls fieldset { margin-left: auto; display: flex; align-items: center; gap: 10px; }
        .controls .choice { flex: 1; }
        #keep[aria-pressed=true]::before { content: ""; display: inline-block; width: 9px; height: 9px; border-radius: 50%; background: currentColor; margin-right: 8px; animation: blink 1s infinite; }
        .totals { display: flex; flex-wrap: wrap; gap: 4px 26px; margin: 16px 0 4px; }
        .totals div { display: flex; flex-direction: column-reverse; }
        .totals dd { margin: 0; font-size: 24px; line-height: 1.15; font-weight: 600; font-variant-numeric: tabular-nums; letter-spacing: -.02em; }
        .totals dt { font-size: 12.5px; color: var(--quiet); }
        .totals .bad dd { color: var(--high); }
        .card > .verdict { margin: 6px 0 12px; color: var(--quiet); min-height: 1.5em; }
        .verdict[data-whole=true] { color: var(--good); }
        .verdict[data-whole=true]::before { content: "✓ "; }
        .outage { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; border-radius: 8px; padding: 9px 13px; margin: 0 0 12px; border-left: 4px solid; }
        .outage[data-phase=gone] { background: var(--bad-tint); border-color: var(--high); }
        .outage[data-phase=resuming] { background: var(--warn-tint); border-color: var(--warn); }
        .outage[data-phase=resumed] { background: var(--tint); border-color: var(--good); }
        .elsewhere { background: var(--warn-tint); border-radius: 8px; padding: 10px 14px; margin-bottom: 12px; display: flex; gap: 12px; align-items: center; }
        .elsewhere p { margin: 0; flex: 1; }
        .lane {
          display: grid; grid-template-columns: 148px minmax(0, 1fr) auto 66px 62px; gap: 2px 14px; align-items: center;
          border-top: 1px solid var(--line); padding: 3px 0;
        }
        .lane-title { min-width: 0; } .lane-title .state { font-size: 12.5px; max-width: 100%; }
        .strip { display: flex; gap: 2px; height: 34px; align-items: stretch; overflow: hidden; }
        .strip .blank { opacity: .45; }
        .strip i {
          flex: 0 0 calc((100% - 94px) / 48); min-width: 3px; border-radius: 2px; background: color-mix(in srgb, var(--line) 55%, transparent);
          position: relative; overflow: hidden;
        }
        .strip i.here::after, .key i::after { content: ""; position: absolute; left: 0; right: 0; bottom: 0; height: var(--height, 100%); background: var(--tone); }
        .high { --tone: var(--high); } .medium { --tone: var(--medium); } .low { --tone: var(--low); }
        .strip i.late::after, .key i.late::after { background: repeating-linear-gradient(135deg, var(--tone) 0 3px, transparent 3px 5px); }
        .lane:is([data-state=waiting], [data-state=closed], [data-state=stopped]) .strip { opacity: .62; }
        .figures { display: grid; grid-template-columns: 66px 74px 60px 42px 38px; margin: 0; text-align: right; }
        .figures div { display: flex; flex-direction: column-reverse; }
        .figures dd { margin: 0; font-size: 13.5px; font-variant-numeric: tabular-nums; }
        .figures dt { font-size: 11px; line-height: 1.3; color: var(--quiet); }
        .figures .last dd { font-weight: 650; }
        .figures .bad dd { color: var(--high); font-weight: 650; }
        details { font-size: 13.5px; } summary { cursor: pointer; color: var(--accent); padding: 4px; border-radius: 6px; width: max-content; }
        .lane details[open] { grid-column: 1 / -1; } details p { margin: 4px 0; }
        .key { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 12.5px; color: var(--quiet); margin: 10px 0 0 !important; }
        .key i { display: inline-block; position: relative; width: 9px; height: 13px; border-radius: 2px; margin-right: 6px; vertical-align: -2px; overflow: hidden; }
        .key .late { --tone: var(--medium); } .key .none { background: var(--line); } .key .none::after { display: none; }
        #story { max-height: 216px; overflow: auto; font-size: 14px; }
        #story li { padding: 5px 0; border-top: 1px solid var(--line); display: flex; gap: 12px; }
        #story li:first-child { border: 0; } #story time { color: var(--quiet); white-space: nowrap; font-variant-numeric: tabular-nums; }
        #story .bad span { color: var(--high); } #story .good span { color: var(--good); font-weight: 550; }
        .arrivals { flex-wrap: wrap; height: auto; gap: 3px; min-height: 24px; }
        .arrivals i { flex: 0 0 calc((100% - 120px) / 41); height: 24px; }
        .arrivals i.high { outline: 2px solid var(--high); outline-offset: 1px; overflow: visible; }
        .track { position: relative; height: 24px; margin: 0 12px; }
        .track::before { content: ""; position: absolute; left: -12px; right: -12px; top: 10px; height: 4px; border-radius: 2px; background: var(--line); }
        .track b, .track i { position: absolute; left: var(--at, 0%); border-radius: 50%; transform: translateX(-50%); }
        .track b { width: 20px; height: 20px; top: 2px; }
        .track i { width: 6px; height: 6px; top: 9px; background: var(--accent); opacity: .6; }
        #truth { border: 2px dashed var(--quiet); } #car { background: var(--accent); transition: left .12s ease-out; }
        dl#session { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 14px 0 0; font-size: 13px; }
        #session dt { color: var(--quiet); } #session dd { margin: 0; font-family: var(--mono); font-size: 12.5px; overflow-wrap: anywhere; }
        #messages { max-height: 62vh; overflow: auto; margin: 0 -18px -18px; border-radius: 0 0 12px 12px; }
        #messages li { padding: 10px 18px; border-top: 1px solid var(--line); }
        #messages li.fresh { animation: arrive 1.4s ease-out; }
        @keyframes arrive { from { background: color-mix(in srgb, var(--accent) 22%, transparent); } }
        .top { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; }
        .top strong { font-weight: 600; margin-right: 4px; overflow-wrap: anywhere; }
        #messages pre { max-height: 180px; overflow: auto; }
        #messages .id { font: 11.5px var(--mono); color: var(--quiet); margin-top: 4px; overflow-wrap: anywhere; }
        #status p { margin: 0 0 8px; }
        #status-devices { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 0 22px; font-size: 13.5px; margin-bottom: 12px; }
        #status-devices li { display: flex; justify-content: space-between; gap: 10px; padding: 2px 0; border-bottom: 1px solid var(--line); --tone: var(--warn); }
        #status-devices strong { font-weight: 500; min-width: 0; overflow-wrap: anywhere; } #status-devices span { color: var(--tone); text-align: right; white-space: nowrap; }
        #status-devices .delivered { --tone: var(--good); } #status-devices .sent { --tone: var(--medium); } #status-devices .queued { --tone: var(--quiet); }
        .room-name { flex: 0 1 200px; margin-right: auto; } .room-name input { min-height: 34px; padding: 2px 10px; }
        #room-messages { max-height: 220px; overflow: auto; margin: 8px 0 10px; }
        #room-messages li { padding: 3px 0; overflow-wrap: anywhere; } #room-messages strong { margin-right: 8px; }
        #say-form { flex-wrap: nowrap; }
        @media (max-width: 820px) {
          .controls { gap: 8px; } .controls button { flex: 1 1 auto; padding: 7px 3px; font-size: 15px; } .controls fieldset { flex: 1 1 100%; margin: 0; }
          .totals { display: grid; grid-auto-flow: column; justify-content: space-between; gap: 4px; } .totals dd { font-size: 19px; }
          .lane { grid-template-columns: minmax(0, 1fr) auto auto; gap: 5px 8px; padding: 8px 0; }
          .lane-title { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 10px; }
          .lane .strip, .figures { grid-column: 1 / -1; grid-row: auto; }
          .lane-title { grid-area: 1 / 1; } .cut { grid-area: 1 / 2; } .lane details { grid-area: 1 / 3; } .lane details[open] { grid-area: 4 / 1 / auto / -1; }
          .lane .strip { grid-row: 2; height: 30px; } .figures { grid-row: 3; grid-template-columns: 1.2fr 1.2fr 1fr .8fr .8fr; text-align: left; }
          .strip i { flex-basis: calc((100% - 46px) / 24); }
          .arrivals i { flex-basis: calc((100% - 60px) / 21); height: 20px; }
          .elsewhere { flex-wrap: wrap; }
          #messages { max-height: none; margin: 0 -14px -14px; } #messages li { padding: 10px 14px; }
        }
        """#
}
