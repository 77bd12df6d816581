/*
 * page_style.c - how a page looks.
 *
 * Colours are variables, once for light and once for dark. Text has a contrast of 4.5 to 1 at least
 * to what is behind it, lines of plots of 3 to 1. The colours of plots, --c0 to --c7, were chosen
 * so that the first three, then the first five, are far apart to every kind of colour sight.
 */
#include "tests/compare/page.h"

#include <stddef.h>

static const char colours[] =
    ":root{color-scheme:light dark;--bg:#fff;--ink:#1b2129;--dim:#576170;--faint:#e6e9ed;"
    "--line:#c5cbd3;--card:#f5f6f8;--link:#1250c0;--good:#1a7032;--goodbg:#e3f3e7;--bad:#b3202b;"
    "--badbg:#fdeaea;--warn:#855600;--warnbg:#fbf0d9;--span:#8793a1;--shade:#1b212938;"
    "--c0:#1250c0;--c1:#b8440b;--c2:#3a9a86;--c3:#713573;--c4:#a67f06;--c5:#393d45;--c6:#7a0001;"
    "--c7:#40099d}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#11151b;--ink:#e3e8ee;--dim:#9aa6b4;"
    "--faint:#262d36;--line:#46505c;--card:#1a2028;--link:#8ab4ff;--good:#56d364;--goodbg:#15301c;"
    "--bad:#ff8178;--badbg:#3b191b;--warn:#e0b341;--warnbg:#33280e;--span:#7d8997;--shade:#000c;"
    "--c0:#7ba9ff;--c1:#e2590f;--c2:#5ce6c4;--c3:#b5689e;--c4:#e0bb33;--c5:#adb2bc;--c6:#f97466;"
    "--c7:#9c69f3}}\n";

static const char text[] =
    "*{box-sizing:border-box}html{-webkit-text-size-adjust:100%;text-size-adjust:100%}\n"
    "body{margin:0 auto;padding:0 20px 72px;max-width:1080px;background:var(--bg);"
    "color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',"
    "'Liberation Sans','DejaVu Sans',sans-serif;overflow-wrap:break-word}\n"
    "header{padding-top:44px}h1{font-size:2rem;line-height:1.2;letter-spacing:-.015em;"
    "margin:0 0 12px;text-wrap:balance}.lead{font-size:1.125rem;color:var(--dim);margin:0}\n"
    "p,.lead,.fold>div>p{max-width:44rem;text-wrap:pretty}p{margin:0 0 14px}\n"
    "section{margin-top:56px}section section{margin-top:36px}\n"
    "h2{font-size:1.4rem;line-height:1.3;letter-spacing:-.01em;margin:0 0 12px;padding-top:18px;"
    "border-top:1px solid var(--line)}h2 a{color:inherit;text-decoration:none}"
    "h2 a:hover{text-decoration:underline}\n"
    "h3{font-size:1.08rem;line-height:1.35;margin:32px 0 8px}\n"
    "a{color:var(--link);text-underline-offset:.18em}:focus-visible{outline:2px solid var(--link);"
    "outline-offset:2px;border-radius:3px}\n"
    "nav{margin-top:28px}nav ul{list-style:none;margin:0;padding:0;columns:17rem;"
    "column-gap:32px}nav li{padding:2px 0;break-inside:avoid}nav a{text-decoration:none}"
    "nav a:hover{text-decoration:underline}\n"
    "code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',"
    "'DejaVu Sans Mono',monospace;font-size:.8125rem}\n"
    ".command{background:var(--card);border-radius:6px;margin:0 0 16px;padding:10px 14px;"
    "overflow-x:auto;line-height:1.5}"
    ".command::before{content:'$ ';color:var(--dim)}\n"
    ".badge{display:inline-block;padding:1px 10px;margin:0 6px 8px 0;border-radius:11px;"
    "background:var(--card);font-size:.875rem;font-weight:600;white-space:nowrap}"
    ".badge.good{color:var(--good);background:var(--goodbg)}"
    ".badge.bad{color:var(--bad);background:var(--badbg)}"
    ".badge.warn{color:var(--warn);background:var(--warnbg)}.badge.quiet{color:var(--dim)}\n"
    ".note{color:var(--dim);font-size:.875rem;line-height:1.45;margin:8px 0 0}\n"
    "details{font-size:.875rem}summary{cursor:pointer;color:var(--dim);padding:3px 0;"
    "width:fit-content}summary:hover{color:var(--ink)}.fold{font-size:1rem;margin:18px 0}"
    ".fold>summary{color:var(--link)}.fold>div{padding:4px 0 4px 16px;"
    "border-left:2px solid var(--faint)}\n"
    ".more{margin-top:6px}.more dl{margin:6px 0 0;padding:12px 14px;max-height:22rem;"
    "overflow:auto;background:var(--card);border-radius:6px}.more dt{font-weight:600}"
    ".more dt:not(:first-child){margin-top:10px}.more dd{margin:2px 0 6px}"
    ""
    ".more dd>span,.more code{display:block}.more code{white-space:pre;overflow-x:auto}"
    ".details{color:var(--dim)}\n";

static const char tables[] =
    ".table{margin:24px 0 30px}.scroll{overflow-x:auto;max-width:100%}\n"
    "table{border-collapse:collapse;font-size:.875rem;line-height:1.4;"
    "font-variant-numeric:tabular-nums lining-nums}\n"
    "caption{text-align:left;padding:0 0 8px;font-weight:600;font-size:1rem}"
    "caption span{position:sticky;left:0;display:inline-block;"
    "max-width:min(100%,calc(100vw - 40px))}\n"
    "th,td{padding:5px 12px;text-align:left;vertical-align:baseline;white-space:nowrap}"
    "thead th{font-weight:600;color:var(--dim);vertical-align:bottom;"
    "border-bottom:1.5px solid var(--line);padding-top:2px}"
    "tbody th{font-weight:500}tbody tr{border-bottom:1px solid var(--faint)}"
    "tbody tr:last-child{border-bottom:1.5px solid var(--line)}"
    "th:first-child{padding-left:2px;position:sticky;left:0;background:var(--bg);z-index:1}"
    "tr>:last-child{padding-right:2px}tbody tr:hover>*{background:var(--card)}\n"
    ".table .scroll{background:linear-gradient(to left,var(--bg) 35%,transparent) 100% 0/44px 100% "
    "no-repeat local,linear-gradient(to left,var(--shade),transparent) 100% 0/16px 100% no-repeat "
    "scroll}\n"
    ".n{text-align:right}td[title]{cursor:help;text-decoration:underline dotted var(--line) 1px;"
    "text-underline-offset:.25em}\n"
    "tbody .good{color:var(--good)}tbody .bad{color:var(--bad);font-weight:600}"
    "tbody .warn{color:var(--warn)}tbody .quiet{color:var(--dim)}\n";

static const char plots[] =
    ".plot{margin:28px 0 34px;max-width:860px}.plot figcaption{font-size:1rem;line-height:1.4}\n"
    ".legend{list-style:none;margin:6px 0 8px;padding:0;display:flex;flex-wrap:wrap;gap:2px 20px;"
    "font-size:.875rem}.legend li{display:flex;align-items:center;gap:6px}"
    ".legend .empty{color:var(--dim)}.key{flex:none}\n"
    ".plot .scroll>svg{display:block;width:100%;min-width:640px;height:auto}\n"
    ".plot text{font-family:inherit;font-size:12px;fill:var(--dim);"
    "font-variant-numeric:tabular-nums lining-nums}.plot .axis,.plot .name{fill:var(--ink)}"
    ".plot .value{font-size:11px;fill:var(--ink);paint-order:stroke;stroke:var(--bg);"
    "stroke-width:3px;stroke-linejoin:round}"
    ".plot .label{font-size:11px;fill:var(--ink);paint-order:stroke;stroke:var(--bg);"
    "stroke-width:3px;stroke-linejoin:round}\n"
    ".k0{--k:var(--c0)}.k1{--k:var(--c1)}.k2{--k:var(--c2)}.k3{--k:var(--c3)}.k4{--k:var(--c4)}"
    ".k5{--k:var(--c5)}.k6{--k:var(--c6)}.k7{--k:var(--c7)}\n"
    ".grid{stroke:var(--faint);fill:none}.tick,.base{stroke:var(--dim);fill:none}"
    ".line{fill:none;stroke:var(--k);stroke-width:2;stroke-linejoin:round;stroke-linecap:butt}"
    ".band{fill:var(--k);fill-opacity:.16}.bar{fill:var(--k)}"
    ".bar.hollow{fill-opacity:.16;stroke:var(--k);stroke-width:1.4;stroke-dasharray:4 2.5}"
    ".mark{fill:var(--k);stroke:var(--bg);stroke-width:1}"
    ".mark.hollow{fill:var(--bg);stroke:var(--k);stroke-width:1.6}.sign{fill:var(--bg)}"
    ".scatter .mark{fill-opacity:.72;stroke-width:.7}"
    ".halo{fill:none;stroke:var(--bg);stroke-width:3.6;stroke-opacity:.75}"
    ".whisker{fill:none;stroke:var(--ink);stroke-width:1.3}"
    ".span{fill:var(--span);fill-opacity:.17}.moment{stroke:var(--span);stroke-width:1.2;"
    "stroke-dasharray:3 2.5;fill:none}\n";

static const char media[] =
    "@media(max-width:600px){body{padding:0 16px 48px}header{padding-top:28px}"
    "h1{font-size:1.6rem}section{margin-top:40px}th,td{padding:5px 9px}"
    "caption span{max-width:calc(100vw - 32px)}}\n"
    "@media(min-width:1120px){.table .scroll{max-width:calc(50vw + 500px);width:max-content}}\n"
    "@media(prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}\n"
    "@media(forced-colors:active){.plot svg{forced-color-adjust:none}}\n"
    "@media print{:root{color-scheme:light;--bg:#fff;--ink:#000;--dim:#444;--faint:#ddd;"
    "--line:#999;--card:#f5f6f8;--link:#000;--good:#1a7032;--goodbg:#fff;--bad:#b3202b;"
    "--badbg:#fff;--warn:#855600;--warnbg:#fff;--span:#8793a1;--c0:#1250c0;--c1:#b8440b;"
    "--c2:#3a9a86;--c3:#713573;--c4:#a67f06;--c5:#393d45;--c6:#7a0001;--c7:#40099d}"
    "body{max-width:none;padding:0;font-size:10pt}nav{display:none}"
    "table{font-size:8pt}.scroll{overflow:visible}.plot .scroll>svg{min-width:0}"
    "figure,tr,.command{break-inside:avoid}h2,h3,caption,figcaption{break-after:avoid}"
    ".more{display:none}th:first-child{position:static}*{print-color-adjust:exact}}\n";

const char *const page_style[] = {colours, text, tables, plots, media, NULL};
