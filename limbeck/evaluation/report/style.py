"""The CSS of all pages: for screens, light and dark, for phones, and for print.

All text colours, including those of the arms, have a contrast of at least 4.5 to their background.
"""

LIGHT = {
    "page": "#ffffff",
    "card": "#f5f6f8",
    "line": "#d9dde2",
    "ink": "#1b1f24",
    "soft": "#58616c",
    "good": "#14713f",
    "bad": "#b3261e",
    "link": "#1f5fa8",
    "student": "#a94f08",
    "control": "#1f5fa8",
    "teacher": "#5b6470",
}
DARK = {
    "page": "#14171b",
    "card": "#1e2328",
    "line": "#3a424b",
    "ink": "#e8ebef",
    "soft": "#a7b0bb",
    "good": "#6fd09b",
    "bad": "#f5968c",
    "link": "#8fbcf3",
    "student": "#f4a35c",
    "control": "#8fbcf3",
    "teacher": "#b6bec8",
}


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


STYLE = (
    f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
"""
    + """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; text-size-adjust: 100%; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 68rem; padding: 3rem clamp(1rem, 4vw, 2.5rem) 5rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere; }
a { color: var(--link); text-underline-offset: .2em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 3px; border-radius: 3px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: 1rem; z-index: 9; padding: .5rem 1rem; background: var(--page); }
.eyebrow { margin: 0; color: var(--soft); font-weight: 600; }
h1 { margin: .5rem 0 1rem; max-width: 26em; font-size: clamp(1.55rem, 1rem + 2.4vw, 2.5rem); line-height: 1.2; font-weight: 680;
  letter-spacing: -.012em; text-wrap: balance; }
h2 { margin: 0 0 .75rem; font-size: 1.4rem; line-height: 1.3; font-weight: 650; letter-spacing: -.005em; }
h3 { margin: 0 0 .5rem; font-size: 1.05rem; font-weight: 620; }
h4, figure h3 { margin: 0 0 .25rem; font-size: .98rem; font-weight: 620; }
.group + .group { margin-top: 2.5rem; }
section { margin-top: 3.75rem; scroll-margin-top: 1rem; }
p { margin: 0 0 1rem; }
section > p { max-width: 44rem; }
.soft, caption, figcaption, summary { color: var(--soft); font-size: .9rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.nowrap { white-space: nowrap; }
.mark { font-weight: 620; }

.key { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 12.5rem), 1fr)); gap: 1.5rem 2rem;
  margin: 2.25rem 0 0; padding: 1.5rem 0 0; border-top: 1px solid var(--line); }
.key div { display: flex; flex-direction: column; }
.key dt { order: 2; color: var(--soft); font-size: .9rem; }
.key dd { margin: 0; font-size: 2rem; line-height: 1.2; font-weight: 650; font-variant-numeric: tabular-nums;
  letter-spacing: -.01em; white-space: nowrap; }
.key dd + dd { order: 3; white-space: normal; font-size: .85rem; font-weight: 400; letter-spacing: 0; color: var(--soft); }
nav { margin-top: 2rem; font-size: .92rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .35rem 1.1rem; margin: 0; padding: 0; list-style: none; }
nav a { display: inline-block; padding: .2rem 0; text-decoration: none; } nav a:hover { text-decoration: underline; }

.scroll { overflow-x: auto; max-width: 100%; margin: 0 0 1rem; }
.tall { max-height: 30rem; overflow-y: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; line-height: 1.35; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .5rem .8rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
td { white-space: nowrap; }
td.text, th.text { white-space: normal; text-align: left; } td.text { min-width: 10rem; }
th { font-weight: 600; }
thead th { color: var(--soft); vertical-align: bottom; background: var(--page); border-bottom: 2px solid var(--line); }
.tall thead th { position: sticky; top: 0; z-index: 1; } .tall thead th:first-child { z-index: 2; }
th:first-child { text-align: left; padding-left: 0; position: sticky; left: 0; background: var(--page); max-width: 15rem; }
td small { display: block; color: var(--soft); font-size: .88em; }

.grid { display: grid; gap: 2.5rem 2rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr));
  align-items: start; }
.two { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; min-width: 0; max-width: 27rem; }
figure > svg { display: block; width: 100%; height: auto; margin: .35rem 0 .25rem; }
figure > svg.plot text { stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; paint-order: stroke; }
figure svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif !important; }
@media (min-width: 56rem) { figure.wide { max-width: none; display: grid; grid-template-columns: 26rem minmax(0, 1fr);
  grid-template-rows: auto auto 1fr; column-gap: 3rem; }
  figure.wide > * { grid-column: 2; } figure.wide > :first-child { grid-column: 1 / 3; }
  figure.wide > svg { grid-column: 1; grid-row: 2 / 4; } }
figcaption { margin-bottom: .35rem; }
figure + .scroll { margin-top: 2rem; }
.beside { display: grid; gap: 1.5rem 3rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr));
  align-items: start; margin-bottom: 1.5rem; }
.sign { display: inline-block; width: .72em; height: .72em; margin-right: .4em; border: 2px solid currentColor; }
.sign.student { color: var(--student); background: var(--student); border-radius: 50%; }
.sign.control { color: var(--control); border-radius: 50%; }
.sign.further { color: var(--soft); transform: rotate(45deg) scale(.8); }
.sign.teacher { color: var(--teacher); background: var(--teacher); }

.gallery { display: grid; gap: 1.75rem 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr));
  margin: 0 0 2.5rem; padding: 0; list-style: none; }
.item { display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); gap: .9rem; align-items: start; font-size: .88rem; }
.gallery.made { grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem; }
li.made img { image-rendering: pixelated; border-radius: 4px; margin-right: .35rem; object-fit: contain; }
li.made p { margin: .25rem 0 0; font-size: .8rem; }
.item.reading { grid-template-columns: minmax(0, 1fr); gap: .5rem; align-content: start; }
.item img { width: 5.5rem; height: 5.5rem; object-fit: contain; background: var(--card); border-radius: 4px; display: block;
  image-rendering: pixelated; }
.item blockquote { margin: 0; padding: .6rem .8rem; background: var(--card); border-radius: 4px;
  white-space: pre-line; }
.item blockquote p { margin: 0 0 .35rem; font-size: inherit; }
.item mark { background: none; color: inherit; font-weight: 650; text-decoration: underline; text-underline-offset: .2em; }
.item .unseen { color: var(--soft); padding: .6rem; background: var(--card); border-radius: 4px; min-height: 5.5rem; }
.item p { margin: .25rem 0 0; font-size: .8rem; }
.item dl { display: grid; grid-template-columns: auto auto auto; justify-content: start; gap: 0 .7rem; margin: 0;
  font-variant-numeric: tabular-nums; line-height: 1.45; }
.item dl.wordy { grid-template-columns: auto minmax(0, 1fr) auto; }
.item dd.sure { text-align: right; color: var(--soft); }
.item dt { color: var(--soft); } .item dd { margin: 0; }
.texts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }

details { margin: 0 0 .75rem; }
summary { cursor: pointer; padding: .3rem 0; width: fit-content; }
details > summary:hover { color: var(--ink); }
details[open] > summary { margin-bottom: .4rem; }
pre { margin: 0; padding: 1rem 1.2rem; background: var(--card); border-radius: 6px; overflow-x: auto; white-space: pre-wrap;
  font: .84rem/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.columns { column-width: 19rem; column-gap: 2rem; }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .88rem; }

@media (max-width: 34rem) {
  body { padding-top: 1.75rem; }
  section { margin-top: 3rem; }
  .key { grid-template-columns: 1fr 1fr; gap: 1.25rem 1rem; } .key dd { font-size: 1.55rem; }
  table { font-size: .84rem; } th, td { padding: .45rem .4rem; } tbody th { max-width: 6.5rem; }
  td small { white-space: normal; max-width: 4rem; margin-left: auto; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print {
  @page { margin: 16mm 14mm; }
  :root { color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .skip, details:not([open]) { display: none; }
  .key { grid-template-columns: repeat(4, 1fr); gap: 12pt; } .key dd { font-size: 16pt; } .key dd + dd { font-size: 8pt; }
  h1 { font-size: 20pt; } section { margin-top: 22pt; }
  h2, h3, h4, caption { break-after: avoid; }
  figure, tr, .item, .key { break-inside: avoid; }
  .scroll, .tall, pre { overflow: visible; max-height: none; }
  table { font-size: 8.5pt; } th, td { padding: 3pt 6pt; } td { white-space: normal; }
  .grid, .two, .beside { grid-template-columns: 1fr 1fr; gap: 16pt 20pt; }
  figure.wide { display: block; max-width: 27rem; } .scroll th:first-child { position: static; }
  .gallery { grid-template-columns: 1fr 1fr 1fr; }
  a { color: inherit; text-decoration: none; }
}
"""
)
