#include "unlearn/report/style.h"

#include <algorithm>

namespace lethe::report {

Mark forget_mark() { return {"s1", 0, 1}; }
Mark retain_mark() { return {"s0", 0, 0}; }
Mark test_mark() { return {"s2", 0, 2}; }
Mark before_mark() { return {"plain", 4, 5}; }

Mark Marks::of(const std::string& method) {
    if (method == "before") return before_mark();
    auto found = std::find(methods_.begin(), methods_.end(), method);
    if (found == methods_.end()) found = methods_.insert(methods_.end(), method);
    const auto index = static_cast<int>(found - methods_.begin());
    return {"s" + std::to_string(index % colours), index % dashes, index % shapes};
}

// Colours s0 to s7 follow Okabe and Ito's palette ("Color universal design", 2008), darkened on white and lightened on
// black until each has a contrast of 4.5 with the paper, so that they may be text, too.
const char* const style_sheet = R"(
:root{color-scheme:light dark;--ink:#1b1d24;--soft:#565a66;--line:#d4d7de;--faint:#eef0f4;--paper:#fff;--card:#f7f8fa;
--link:#0b57b0;--good:#17683a;--bad:#a32020;
--s0:#0069a6;--s1:#b84700;--s2:#00735a;--s3:#a2407c;--s4:#7d6000;--s5:#5b50c8;--s6:#3d4351;--s7:#0f7488}
@media (prefers-color-scheme:dark){:root{--ink:#e9ebf1;--soft:#a9afbd;--line:#3a3f4b;--faint:#22252d;--paper:#14161b;
--card:#1b1e25;--link:#8fc1ff;--good:#72d39b;--bad:#ff9590;
--s0:#62b8f0;--s1:#ff9457;--s2:#3fcba3;--s3:#ea9fcb;--s4:#e2b93b;--s5:#aea5ff;--s6:#c9cfdb;--s7:#67d0e3}}
*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}
body{font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;color:var(--ink);
background:var(--paper);margin:0 auto;max-width:80rem;padding:0 1.25rem 3rem}
a{color:var(--link)}a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:3px solid var(--link);
outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.3rem .6rem}
header{padding:2.2rem 0 .4rem}h1{font-size:clamp(1.6rem,1.2rem + 2vw,2.3rem);line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.35rem;margin:3rem 0 .7rem;padding-top:.7rem;border-top:2px solid var(--line);line-height:1.3}
h3{font-size:1.08rem;margin:1.6rem 0 .5rem}h4{font-size:1rem;margin:1.3rem 0 .4rem}
h1,h2,h3,h4,figcaption,summary{overflow-wrap:anywhere}
p,ul{margin:.5rem 0}p,li{max-width:48rem}.lead{font-size:1.1rem;color:var(--soft);max-width:none}
nav ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem}nav li{margin:0}
nav a{display:inline-block;padding:.2rem 0}
code{font:.86em ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}small{color:var(--soft);
font-size:.84em}
.note{border-left:4px solid var(--s4);padding:.1rem 0 .1rem .8rem}.warn{border-left-color:var(--bad)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem 1.6rem;align-items:start}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.3rem 1.1rem .8rem;min-width:0}
.halves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.2rem 2.5rem}
.tables{display:flex;flex-wrap:wrap;gap:0 2.5rem}.tables>.scroll{max-width:100%}
.tables table{font-size:.86rem}.tables th,.tables td{padding:.3rem .5rem}
.beside{display:flex;flex-wrap:wrap;gap:0 2.5rem;align-items:start}.beside>.scroll{max-width:100%}
.beside>.grid{flex:1 1 21rem}.card h3{margin-top:.7rem}.verdicts{list-style:none;padding:0}.verdicts li{margin:.55rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;align-content:start;gap:.15rem .9rem;margin:.6rem 0;
font-size:.94rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.tag{font-weight:700;white-space:nowrap}.good{color:var(--good)}.bad{color:var(--bad)}.mid{color:var(--s4)}
.scroll{overflow-x:auto;margin:.8rem 0 1.2rem}
table{border-collapse:collapse;font-size:.93rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:0 0 .4rem;max-width:min(46rem,100vw - 2.5rem)}
th,td{padding:.36rem .65rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{vertical-align:bottom;border-bottom:2px solid var(--line)}th.n,td.n{text-align:right;white-space:nowrap}
td small,th small{display:block;font-weight:400}th small{max-width:15rem}tbody th{font-weight:600}
th[scope=rowgroup]{background:var(--faint);overflow-wrap:anywhere}
tbody tr>th:first-child{position:sticky;left:0;background:var(--paper)}
tbody tr>th[scope=rowgroup]{position:static;background:var(--faint)}
.card tbody tr>th:first-child,details tbody tr>th:first-child{position:static;background:none}
.bar{display:block;height:4px;margin:3px 0 0 auto;border-radius:2px;background:var(--s1);max-width:100%}
figure{margin:.6rem 0 1.2rem;min-width:0}figcaption{font-weight:600;margin-bottom:.3rem}
figcaption small{font-weight:400;display:block}
.chart{display:block;width:100%;height:auto;max-width:31rem}
.chart text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;fill:var(--soft);
font-variant-numeric:tabular-nums}
.chart text.name{fill:var(--ink);font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}
.rule{stroke:var(--line);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}
.zero{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}.curve{fill:none;stroke:var(--c);stroke-width:2;
stroke-linejoin:round}.whisker{stroke:var(--c);stroke-width:1.5;fill:none}
.mark{fill:var(--c);stroke:var(--paper);stroke-width:1}.open{fill:var(--paper);stroke:var(--c);stroke-width:1.6}
.bars{fill:var(--c)}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}.s4{--c:var(--s4)}.s5{--c:var(--s5)}
.s6{--c:var(--s6)}.s7{--c:var(--s7)}.plain{--c:var(--soft)}
.d0{stroke-width:3.2}.thin{stroke-width:1.4}.d1{stroke-dasharray:7 4}.d2{stroke-dasharray:2 3}
.d3{stroke-dasharray:9 3 2 3}.d4{stroke-dasharray:14 4}
.legend{list-style:none;padding:0;margin:.2rem 0 0;font-size:.9rem}.legend li{display:flex;gap:.5rem;
align-items:baseline;
max-width:none}.legend svg{flex:none;width:34px;height:12px}
.store{position:absolute;width:0;height:0}.pixels{image-rendering:pixelated}
.thumbs{display:flex;flex-wrap:wrap;gap:.4rem;margin:.7rem 0}
.thumb{width:3.5rem;height:3.5rem;border-radius:.2rem;background:var(--faint);flex:none}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,15.5rem),1fr));gap:1rem;padding:0;
list-style:none}.sheet>li{display:flex;gap:.8rem;max-width:none;min-width:0}.sheet .thumb{width:6rem;height:6rem}
.sheet p{margin:0 0 .2rem}.sheet ul{list-style:none;padding:0;margin:0;font-size:.9rem;line-height:1.4}
.wide{max-width:100%;height:auto;border:1px solid var(--line);background:#fff}
details{border:1px solid var(--line);border-radius:.4rem;margin:.45rem 0;padding:0 .8rem}
summary{cursor:pointer;padding:.45rem 0;font-weight:600}summary .thumb{width:2rem;height:2rem;vertical-align:middle;
margin-right:.5rem}details[open]{padding-bottom:.4rem}
footer{margin-top:3rem;border-top:2px solid var(--line);padding-top:.6rem;color:var(--soft);font-size:.9rem}
@media (max-width:34rem){body{padding:0 .9rem 2rem}header{padding-top:1.2rem}th,td{padding:.34rem .55rem}
table{font-size:.86rem}th small{max-width:8rem}.card{padding:.1rem .8rem .6rem}}
@media print{:root{--ink:#000;--soft:#333;--line:#aaa;--faint:#f1f1f1;--paper:#fff;--card:#fff;--good:#000;--bad:#000;
--s0:#0069a6;--s1:#b84700;--s2:#00735a;--s3:#a2407c;--s4:#7d6000;--s5:#5b50c8;--s6:#3d4351;--s7:#0f7488}
body{font-size:10pt;max-width:none;padding:0}nav,.skip{display:none}h2,h3,h4,summary,caption{break-after:avoid}
tr,figure,.sheet>li,.beside>.scroll,.tables>.scroll{break-inside:avoid}.scroll{overflow:visible}table{font-size:8.5pt}
h2{margin-top:1.6rem}details table{font-size:7.5pt}details th,details td{padding:.12rem .4rem}@page{margin:15mm}
details::details-content{content-visibility:visible;display:block;height:auto}a{color:inherit}}
)";

}  // namespace lethe::report
