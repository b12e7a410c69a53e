// One accent, tones for outcomes, system fonts; figures are tabular.  Every tone has a shape or a word beside it, so that
// nothing rests on colour alone.  Text meets WCAG AA on its ground in both schemes.  Print is light whatever the screen is.
#include "report/style.hpp"

namespace backfill {

const char *const report_style = R"css(
:root { color-scheme: light dark;
  --ground: #fdfdfc; --raised: #f4f5f6; --ink: #1b1f24; --soft: #59626d; --line: #dfe2e6; --hair: #eceef0;
  --accent: #1d5fad; --accent-soft: #c8dcf3; --good: #1a7f4b; --good-fill: #1a7f4b; --good-soft: #a6d5bb; --warn: #8a5800; --bad: #b3261e;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14171a; --raised: #1c2024; --ink: #e4e7ea; --soft: #a3acb6; --line: #333a41; --hair: #262b30;
  --accent: #82b6f0; --accent-soft: #274a70; --good: #62c78f; --good-fill: #3f9c6b; --good-soft: #2b5a41; --warn: #e3b454; --bad: #ff8f80; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; }
.page { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h3, p, dl, ol, ul, figure, pre { margin: 0; padding: 0; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 680; letter-spacing: -0.02em; overflow-wrap: anywhere; }
h2 { font-size: 1.06rem; font-weight: 650; letter-spacing: -0.005em; margin-bottom: 0.75rem; }
h3 { font-size: 0.87rem; font-weight: 600; overflow-wrap: anywhere; }
section { margin-top: 2.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
.over, .note, caption, figcaption, dt, footer { color: var(--soft); font-size: 0.85rem; }
.over { margin-bottom: 0.3rem; overflow-wrap: anywhere; }
.note { max-width: 44rem; margin-bottom: 0.75rem; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .busy { color: var(--accent); }
.soft { color: var(--soft); }
.lead { margin: 0.5rem 0 0.1rem; max-width: 44rem; overflow-wrap: anywhere; }
.state { display: inline-block; margin-top: 0.7rem; padding: 0.12rem 0.7rem 0.14rem 0.55rem; border: 1px solid currentColor;
  border-radius: 1rem; font-weight: 600; font-size: 0.9rem; }
.state + .soft { margin-left: 0.6rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.9rem 1.5rem; margin-top: 1.5rem; }
.figures dd { margin: 0; font-size: 1.3rem; font-weight: 620; letter-spacing: -0.015em; line-height: 1.3; }
.figures small { display: block; font-size: 0.8rem; font-weight: 400; letter-spacing: 0; color: var(--soft); }
.about { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.25rem 1.25rem; }
.about dt { line-height: 1.75; }
.about dd { margin: 0; overflow-wrap: anywhere; }
pre { font: 0.83rem/1.55 var(--mono); background: var(--raised); border: 1px solid var(--hair); border-radius: 5px;
  padding: 0.65rem 0.85rem; overflow-x: auto; tab-size: 4; }
code { font-family: var(--mono); font-size: 0.86em; } pre code { font-size: inherit; }
.command { user-select: all; border-left: 3px solid var(--accent); white-space: pre-wrap; overflow-wrap: anywhere; }
.next { margin-top: 1.5rem; } .next p { margin-bottom: 0.4rem; }
.strip { list-style: none; display: grid; grid-template-columns: repeat(auto-fill, minmax(9px, 1fr)); gap: 2px; }
.strip.few { grid-template-columns: none; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 3px; }
.strip li, .key i { height: 20px; border-radius: 2px; position: relative; overflow: hidden; border: 1px solid transparent; }
.strip.few li { height: 30px; border-radius: 3px; }
.key i { display: inline-block; width: 12px; height: 12px; vertical-align: -1px; margin-right: 0.4rem; }
.done { background: var(--good-fill); }
.copied { background: var(--good-soft); }
.failed { background: var(--bad); }
.failed::after { content: "\2715"; position: absolute; inset: 0; display: grid; place-items: center; color: var(--ground);
  font: 700 9px/1 sans-serif; }
.few .failed::after { font-size: 14px; }
.strip .running, .key .running { border-color: var(--accent);
  background: repeating-linear-gradient(135deg, var(--accent) 0 3px, var(--accent-soft) 3px 6px); }
.strip .pending, .key .pending { border-color: var(--line); background: var(--raised); }
.strip .skipped, .key .skipped { border: 1px dashed var(--soft); }
.strip .partly, .key .partly { border-color: var(--line);
  background: linear-gradient(to right, var(--good-fill) var(--share, 50%), var(--raised) 0); }
figure + details, .key + figure { margin-top: 1.25rem; } .share + .key { margin-bottom: 1.1rem; }
.key { list-style: none; display: flex; flex-wrap: wrap; gap: 0.2rem 1.25rem; margin-top: 0.6rem; font-size: 0.85rem; color: var(--soft); }
.box { overflow-x: auto; } .box:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 0.87rem; line-height: 1.45; }
caption { text-align: left; padding-bottom: 0.5rem; text-wrap: pretty; }
th, td { text-align: left; vertical-align: top; padding: 0.36rem 1rem 0.36rem 0; border-bottom: 1px solid var(--hair); font-weight: 400; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-size: 0.8rem; white-space: nowrap; border-bottom-color: var(--line); vertical-align: bottom; }
tbody th { font-weight: 550; }
.n { text-align: right; white-space: nowrap; }
.when, .word { white-space: nowrap; }
.wide { min-width: 9rem; } .any { overflow-wrap: break-word; min-width: 7rem; } th small { display: block; font-size: 0.8rem; font-weight: 400; color: var(--soft); } .no { width: 4rem; }
details caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.outcome { white-space: nowrap; font-weight: 600; }
.meter { display: block; width: 100%; height: 5px; margin-top: 2px; } .share-text { font-size: 0.8rem; color: var(--soft); }
.meter .track { fill: var(--hair); } .meter .fill, .bar-busy { fill: var(--accent); }
.share { display: block; width: 100%; height: 16px; border-radius: 3px; }
.share-same { fill: var(--line); } .share-changed { fill: var(--accent); } .share-added { fill: var(--good-fill); } .share-removed { fill: var(--bad); }
.key .share-same { background: var(--line); } .key .share-changed { background: var(--accent); }
.key .share-added { background: var(--good-fill); } .key .share-removed { background: var(--bad); }
details { margin-top: 1.1rem; } summary { cursor: pointer; color: var(--accent); font-size: 0.87rem; }
details[open] summary { margin-bottom: 0.6rem; }
.time { display: grid; grid-template-columns: max-content minmax(0, 1fr) max-content; gap: 0.5rem 1rem; align-items: center; font-size: 0.87rem; }
.time div { display: contents; } .time svg { display: block; width: 100%; overflow: visible; }
.lane { stroke: var(--hair); } .tick { stroke: var(--line); } .axis { fill: var(--soft); font-size: 11px; }
.pause { fill: var(--ground); stroke: none; } .pause-mark { stroke: var(--soft); stroke-dasharray: 2 2; }
.bar-done { fill: var(--accent); } .bar-failed { fill: var(--bad); } .bar-running { fill: var(--accent-soft); stroke: var(--accent); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1.75rem 2rem; }
.plot { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0 0.5rem; margin-top: 0.5rem; }
.plot .y { display: flex; flex-direction: column; justify-content: space-between; text-align: right; }
.plot .x { grid-column: 2; display: flex; justify-content: space-between; gap: 1rem; }
.plot .x, .plot .y { font-size: 11px; line-height: 1.2; color: var(--soft); }
.plot svg { display: block; width: 100%; height: 96px; border-bottom: 1px solid var(--line); border-left: 1px solid var(--line); }
.live, .fresh { fill: none; stroke-width: 1.75px; vector-effect: non-scaling-stroke; stroke-linecap: round; stroke-linejoin: round; }
.live { stroke: var(--soft); stroke-dasharray: 1 5; stroke-width: 2.5px; } .fresh { stroke: var(--accent); }
.hit { fill: transparent; } .hit:hover { fill: var(--hair); }
.key svg { width: 22px; height: 8px; margin-right: 0.4rem; vertical-align: 1px; }
.columns rect.col { fill: var(--accent-soft); } .columns svg { height: 72px; }
.expected { stroke: var(--ink); stroke-width: 1.25px; vector-effect: non-scaling-stroke; }
.failure { border-left: 3px solid var(--bad); padding-left: 1rem; margin-bottom: 1.1rem; }
.failure h3 { font-size: 0.95rem; } .failure pre { margin-top: 0.5rem; } .failure p { overflow-wrap: anywhere; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
@media (max-width: 34rem) {
  .page { padding: 1.5rem 1rem 3rem; } h1 { font-size: 1.5rem; }
  .about { grid-template-columns: minmax(0, 1fr); gap: 0; } .about dd { margin-bottom: 0.5rem; }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .time { display: block; }
  .time div { display: grid; grid-template-columns: minmax(0, 1fr) max-content; margin-bottom: 0.5rem; }
  .time svg { grid-column: 1 / -1; grid-row: 2; }
}
@media print {
  :root { color-scheme: light; --ground: #fff; --raised: #f6f7f8; --ink: #000; --soft: #4a525b; --line: #c9ced4; --hair: #e3e6e9;
    --accent: #1d5fad; --accent-soft: #c8dcf3; --good: #1a7f4b; --good-fill: #1a7f4b; --good-soft: #a6d5bb; --warn: #8a5800; --bad: #b3261e; }
  html { font-size: 78%; } .wide, .any { min-width: 4rem; } th, td { padding-right: 0.7rem; }
  details::details-content { content-visibility: visible; block-size: auto; }
  body { font-size: 1rem; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .page { max-width: none; padding: 0; } section { margin-top: 1.5rem; }
  .box { overflow: visible; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  tr, figure, .failure, .strip li { break-inside: avoid; } h2, h3, caption { break-after: avoid; } thead { display: table-header-group; }
}
)css";

}  // namespace backfill
