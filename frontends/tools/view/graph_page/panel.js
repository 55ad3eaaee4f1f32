// The panel.
function fact(value, what) {
  const f = html("div", "fact");
  f.append(html("b", "", value), html("span", "", what));
  return f;
}
function go(kind, id, text) {
  const b = html("button", "", text);
  b.type = "button";
  b.onclick = () => select(kind, id, true);
  return b;
}
function section(into, name, rows) {
  if (!rows.length) return;
  into.push(html("h3", "", name));
  const ul = html("ul", "list");
  for (const row of rows) { const li = html("li"); li.append(...row); ul.append(li); }
  into.push(ul);
}
function scopeLine(path) {
  const p = html("div", "path");
  const c = G.byPath.get(path);
  if (c > 0) p.append(go("c", c, path)); else p.textContent = path;
  return p;
}
function verdicts(list) {
  return list.map(r => {
    const v = html("div", "verdict " + r.v);
    v.append(html("b", "", r.v + (r.c ? "  " + r.c : "")), html("div", "", r.t));
    if (r.s) v.append(html("div", "mono", r.s));
    if (r.n) v.append(html("div", "", "Nearest accepted form: " + r.n));
    return v;
  });
}
function nodePanel(n, v, out) {
  out.push(html("h2", "", n.n && n.o !== n.n ? n.o + "  \u201c" + n.n + "\u201d" : n.o));
  if (n.s) out.push(scopeLine(n.s));
  if (n.f) out.push(html("div", "mono", n.f));
  const facts = html("div", "facts"), whole = G.clusters[0];
  if (n.u) facts.append(fact(time(n.u), (G.measured ? "measured, " : "estimated, ") + (100 * n.u / (whole.u || 1)).toFixed(1) + " %"));
  if (n.F) facts.append(fact(count(n.F), "FLOPs"));
  if (n.B) facts.append(fact(bytes(n.B), "results"));
  if (n.p) facts.append(fact(count(n.p), "parameters"));
  out.push(facts);
  if (n.r) { out.push(html("h3", "", "Fusion")); out.push(...verdicts(n.r.map(r => G.records[r]))); }
  section(out, "Results", (n.t || []).map((t, k) => [html("span", "num", "#" + k), html("span", "mono", t)]));
  section(out, "Inputs", (n.in || []).map(i => Array.isArray(i)
    ? [go("n", i[0], label(G.nodes[i[0]]) + (i[1] ? " #" + i[1] : "")), html("span", "mono", (G.nodes[i[0]].t || [])[i[1]] || "")]
    : [html("span", "", i.split(" ")[0]), html("span", "mono", i.split(" ").slice(1).join(" "))]));
  section(out, "Read by", [...new Set(G.readers[v])].slice(0, 40).map(r => [go("n", r, label(G.nodes[r])), html("span", "mono", G.nodes[r].s || "")]));
  section(out, "Attributes", (n.a || []).map(([k, x]) => [html("span", "", k), html("span", "mono", x)]));
  section(out, "Kernels", (n.k || []).map(([k, us]) => [html("span", "", k), html("span", "num", us ? time(us) : "")]));
  out.push(html("h3", "", "Node"), html("div", "mono", "%" + n.i));
}
function heaviest(c) {
  const all = [], walk = [c];
  while (walk.length) for (const item of G.clusters[walk.pop()].c) { if (item >= 0) all.push(item); else walk.push(-1 - item); }
  return all.filter(v => G.nodes[v].u > 0).sort((a, b) => G.nodes[b].u - G.nodes[a].u).slice(0, 10);
}
function clusterPanel(C, out) {
  out.push(html("h2", "", C.id === 0 ? data.functions[fn].name : C.n));
  if (C.id > 0) out.push(html("div", "path", C.s));
  const facts = html("div", "facts");
  facts.append(fact(String(C.N), "operations"));
  if (C.u) facts.append(fact(time(C.u), G.measured ? "measured" : "estimated"));
  if (C.F) facts.append(fact(count(C.F), "FLOPs"));
  if (C.B) facts.append(fact(bytes(C.B), "results"));
  if (C.P) facts.append(fact(count(C.P), "parameters"));
  out.push(facts);
  if (C.id === 0 && G.note) out.push(html("p", "path", G.note));
  if (C.id === 0 && G.records.length) {
    const fused = G.records.filter(r => r.v === "fused").length;
    out.push(html("h3", "", "Fusion: " + fused + " fused, " + (G.records.length - fused) + " refused"));
    out.push(...verdicts(G.records.slice(0, 12).map(r => ({ ...r, t: [r.h, r.t].filter(Boolean).join(": ") }))));
  }
  const top = heaviest(C.id);
  if (!top.length) return;
  out.push(html("h3", "", "Heaviest"));
  const ul = html("ul", "list"), most = G.nodes[top[0]].u;
  for (const v of top) {
    const n = G.nodes[v], li = html("li"), left = html("div"), bar = html("div", "bar"), fill = html("i");
    left.style.flex = "1";
    fill.style.width = 100 * n.u / most + "%";
    bar.append(fill);
    left.append(go("n", v, label(n)), html("div", "path", short(n.s || n.f || "", 44)), bar);
    li.append(left, html("span", "num", time(n.u)));
    ul.append(li);
  }
  out.push(ul);
}
function panel() {
  const out = [];
  if (sel && sel.kind === "n") nodePanel(G.nodes[sel.id], sel.id, out);
  else {
    const C = G.clusters[sel ? sel.id : 0];
    clusterPanel(C, out);
    if (C.id > 0) {
      const b = html("button", "", isOpen(C.id) ? "Close" : "Open");
      b.type = "button"; b.style.marginTop = "14px";
      b.onclick = () => toggle(C.id);
      out.push(b);
    }
  }
  $("panel").replaceChildren(...out);
  $("panel").scrollTop = 0;
}

// Search.
let found = [], cursor = 0;
function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  found = []; cursor = 0;
  if (words.length) G.nodes.forEach((n, v) => {
    const all = [n.o, n.n, n.s, n.f, n.d, ...(n.t || [])].join(" ").toLowerCase();
    if (words.every(w => all.includes(w))) found.push(v);
  });
  hits = new Set(found.slice(0, 400));
  mark();
  $("hits").hidden = !words.length;
  $("hits").replaceChildren(...found.slice(0, 60).map((v, k) => {
    const n = G.nodes[v], li = html("li");
    li.setAttribute("role", "option");
    li.setAttribute("aria-selected", String(k === 0));
    li.append(html("b", "", label(n)), html("span", "", [n.s, n.d].filter(Boolean).join("  ")));
    li.onmousedown = e => { e.preventDefault(); choose(v); };
    return li;
  }));
  if (words.length && !found.length) $("hits").append(html("li", "path", "nothing found"));
}
function choose(v) { $("hits").hidden = true; svg.focus(); select("n", v, true); }
function searchKey(e) {
  const rows = $("hits").children;
  if (e.key === "Escape") { $("search").value = ""; search(""); svg.focus(); }
  else if (e.key === "Enter" && found.length) choose(found[cursor]);
  else if ((e.key === "ArrowDown" || e.key === "ArrowUp") && found.length) {
    const last = Math.min(found.length, 60) - 1;
    rows[cursor].setAttribute("aria-selected", "false");
    cursor = Math.max(0, Math.min(last, cursor + (e.key === "ArrowDown" ? 1 : -1)));
    rows[cursor].setAttribute("aria-selected", "true");
    rows[cursor].scrollIntoView({ block: "nearest" });
    e.preventDefault();
  }
  e.stopPropagation();
}

