// The style of the HTML report: light and dark by the reader's setting, from 390 pixels up, and on paper.
// Colours that stand for something are of Okabe and Ito's set, or of cividis for amounts, so that they stay
// apart for colour-blind readers. Thread rule: a constant.
#pragma once

namespace perjoule::answers {

inline constexpr const char* kReportStyle = R"(
:root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--ink:#18202c;--dim:#505b6b;--edge:#d9dde4;--grid:#e4e7ec;--us:#e9f3ec;--good:#176338;--bad:#b3261e;--node:#3d4756;--lead:#9aa4b2}
@media(prefers-color-scheme:dark){:root{--bg:#0f1319;--card:#181e27;--ink:#e8ecf2;--dim:#a7b1bf;--edge:#313a47;--grid:#2a323e;--us:#1b2f25;--good:#6fd39b;--bad:#ff8a80;--node:#c3ccd8;--lead:#6b7686}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.top{position:sticky;top:0;z-index:1;background:var(--card);border-bottom:1px solid var(--edge)}
.top>div,main,footer{max-width:1180px;margin:0 auto;padding:0 16px}
.top>div{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 12px;padding-top:8px;padding-bottom:8px}
h1{font-size:20px;line-height:1.3;margin:0}
h2{font-size:17px;margin:0 0 8px}
h3{font-size:14px;margin:10px 0 4px}
.sub{color:var(--dim);margin:0;font-size:13px}
.mark{background:#b3261e;color:#fff;font-weight:700;letter-spacing:.06em;font-size:13px;padding:1px 9px;border-radius:4px}
.mark.note{background:#7a4f00}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:10px;margin:14px 0}
.tile,section{background:var(--card);border:1px solid var(--edge);border-radius:8px}
section{padding:14px 16px;margin:0 0 14px}
.tile summary{padding:9px 12px;cursor:pointer;list-style:none;border-radius:8px;height:100%}
.tile summary::-webkit-details-marker{display:none}
.tile b{display:block;font-size:23px;line-height:1.25}
.tile span{display:block;font-size:13px}
.tile .q,.q{color:var(--dim);font-size:12px}
.tile u{text-decoration-style:dotted}
.tile p{margin:0;padding:0 12px 10px;font-size:12px;overflow-wrap:anywhere}
:focus-visible{outline:3px solid #0072b2;outline-offset:2px}
b,table,.amount,svg text{font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-weight:600;color:var(--dim);text-align:left;border-bottom:1px solid var(--edge);padding:4px 12px 4px 0;white-space:nowrap;vertical-align:bottom}
td{padding:4px 12px 4px 0;border-bottom:1px solid var(--grid);white-space:nowrap;vertical-align:top}
th.r,td.r{text-align:right}
tr.us td{font-weight:600;background:var(--us)}
svg{display:block;width:100%;height:auto}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}
svg .u{fill:var(--dim)}svg .o{font-weight:700}
svg .b{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
.g{stroke:var(--grid);stroke-width:1;fill:none}.h{fill:transparent}.lead{stroke:var(--lead);fill:none}
.line{fill:none;stroke-width:2}.dash{stroke-dasharray:6 4}
.n{fill:var(--node)}.band{fill-opacity:.42}
path.n{fill:var(--lead)}
.k0,.s0,.c0{--c:#0072b2}.k1{--c:#56b4e9}.k2{--c:#009e73}.k3{--c:#b9b52c}.k4{--c:#f0e442}.k5{--c:#cc79a7}.k6{--c:#882255}.k7,.s1,.c1{--c:#e69f00}.k8,.s2{--c:#98a1ad}.s3,.c3{--c:#d55e00}.c2{--c:#009e73}.c4{--c:#cc79a7}
@media(prefers-color-scheme:dark){.k0,.s0,.c0{--c:#2f8fd0}.k6{--c:#b8457f}.k8,.s2{--c:#7d8794}}
.k0,.k1,.k2,.k3,.k4,.k5,.k6,.k7,.k8,.s0,.s1,.s2,.s3{fill:var(--c);background:var(--c)}
.line{stroke:var(--c)}.line.c0,.line.c1,.line.c2,.line.c3,.line.c4{fill:none}
i.c0,i.c1,i.c2,i.c3,i.c4{background:var(--c)}
.m0{fill:none}.m1{fill:#e69f00}.m2{fill:#d55e00}.m3{fill:#0072b2}
.m1,.m2,.m3{stroke:var(--card);stroke-width:1.5}.m0{stroke:var(--node);stroke-width:2}
@media(prefers-color-scheme:dark){.m3{fill:#2f8fd0}}
.key{display:flex;flex-wrap:wrap;gap:3px 16px;margin:0 0 8px;padding:0;list-style:none;font-size:13px}
.key i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px}
.key i.dash{background:repeating-linear-gradient(90deg,var(--c) 0 4px,transparent 4px 6px)}
.key svg{display:inline-block;width:15px;height:15px;vertical-align:-2px;margin-right:5px;overflow:visible}
.narrow{display:none}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:14px}.pair section{min-width:0}
.bar{display:flex;height:13px;background:var(--grid);border-radius:3px;overflow:hidden}
.bar i{display:block}
.who{margin:0 0 8px}
.who p{margin:0;display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 10px;font-size:14px}
.who span{overflow-wrap:anywhere}
.amount{color:var(--dim);white-space:nowrap}
.good{color:var(--good);font-weight:650}.bad{color:var(--bad);font-weight:650}
code{font:12.5px ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0;font-size:13px}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
section details{margin:8px 0 0;font-size:13px}section details summary{cursor:pointer;color:var(--dim)}
section details table{font-size:12.5px}
table.heat{table-layout:fixed;border-collapse:separate;border-spacing:2px;font-size:12px}
table.heat th{padding:0 4px 0 0;border:0;font-size:12px;line-height:1.15;white-space:normal;overflow-wrap:anywhere}
table.heat th.n{width:100px}table.heat thead th{text-align:center}
table.heat td,table.heat th{vertical-align:middle}
table.heat td{border:0;border-radius:3px;text-align:center;padding:4px 0}
.h0{background:#00224e;color:#fff}.h1{background:#1b3a6c;color:#fff}.h2{background:#3f4d6d;color:#fff}.h3{background:#575d6d;color:#fff}.h4{background:#6a6d72;color:#fff}.h5{background:#918c78;color:#000}.h6{background:#a99f70;color:#000}.h7{background:#c3b369;color:#000}.h8{background:#e0ca58;color:#000}.h9{background:#fee838;color:#000}
footer{padding-bottom:30px;color:var(--dim);font-size:13px}
p.small{font-size:13px;color:var(--dim);margin:8px 0 0}
@media(max-width:720px){.wide,.opt{display:none}.narrow{display:block}.pair{grid-template-columns:minmax(0,1fr);gap:0}.tiles{grid-template-columns:1fr 1fr}
 .tile b{font-size:19px}h1{font-size:17px}section{padding:12px}td,th{padding-right:6px;white-space:normal;overflow-wrap:break-word}table,section details table{font-size:12px}table.heat th.n{width:66px}table.heat td{font-size:11px}dl{grid-template-columns:1fr}dd{margin-bottom:4px}}
@media print{body{background:#fff}section{break-inside:avoid}.top{position:static}}
)";

}  // namespace perjoule::answers
