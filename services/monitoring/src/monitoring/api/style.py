"""The page's style sheet."""

STYLE = """
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1b2430;--quiet:#68758a;--rule:#e3e7ed;--a:#2b6cb0;--b:#c2571a;
--hot:#c53030;--cool:#2b6cb0;--none:#eceff3;--shade:#eef1f5;--ok:#2f855a;--warn:#b7791f}
@media (prefers-color-scheme:dark){:root{--paper:#12161c;--card:#1a2029;--ink:#e4e9f0;--quiet:#8f9cb0;--rule:#2b3441;--a:#63a4e8;
--b:#f0975a;--hot:#f56565;--cool:#63a4e8;--none:#242c37;--shade:#202833;--ok:#68d391;--warn:#ecc94b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:960px;margin:0 auto;padding:32px 20px 64px}
header{display:flex;justify-content:space-between;align-items:flex-start;gap:16px;margin-bottom:20px}
h1{font-size:26px;margin:0;letter-spacing:-.01em}h2{font-size:16px;margin:0}
p{margin:4px 0}.quiet{color:var(--quiet);font-size:13px}
.card,.tiles{background:var(--card);
border:1px solid var(--rule);border-radius:10px;padding:18px 20px;margin-bottom:16px;overflow-x:auto}
.tiles{display:flex;flex-wrap:wrap;gap:12px 34px}.tiles div{display:flex;flex-direction:column}
.tiles b{font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}.tiles span{color:var(--quiet);font-size:12px}
.notices{margin:0 0 16px;padding:10px 16px 10px 32px;border-left:3px solid var(--warn);background:var(--card);border-radius:6px}
.pill{display:inline-block;white-space:nowrap;padding:2px 10px;border-radius:99px;font-size:12px;font-weight:600;
border:1px solid currentColor;color:var(--quiet)}
.pill.drift{color:var(--hot)}.pill.stable{color:var(--ok)}.pill.in_sample,.pill.not_enough_data{color:var(--quiet);font-weight:400}
svg{display:block;width:100%;height:auto;margin-top:8px}svg.small{width:132px;height:34px;margin:0}
.grid{stroke:var(--rule);stroke-width:1}.tick,.name{fill:var(--quiet);font-size:10px}.name{fill:var(--ink);font-size:11px}
.bar{fill:var(--a)}.bar.soft{fill-opacity:.35}.shade{fill:var(--shade)}.outline{fill:none;stroke:var(--b);stroke-width:1.2}
.line{fill:none;stroke-width:1.8}.line.c0{stroke:var(--a)}.line.c1{stroke:var(--b)}.dot.c0{fill:var(--a)}.dot.c1{fill:var(--b)}
.cell.hot{fill:var(--hot)}.cell.cool{fill:var(--cool)}.cell.none{fill:var(--none)}
.key{font-size:12px;color:var(--quiet);margin-right:16px}.key::before{content:"";display:inline-block;width:12px;height:3px;
border-radius:2px;margin-right:6px;vertical-align:middle;background:var(--a)}.key.k1::before{background:var(--b)}
table{border-collapse:collapse;width:100%;margin-top:10px;font-size:13px;font-variant-numeric:tabular-nums}
th{font-weight:500;color:var(--quiet);text-align:left}th,td{padding:5px 10px 5px 0;border-bottom:1px solid var(--rule)}
"""
