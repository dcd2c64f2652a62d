// The list: a row per webhook-id, the one with the latest attempt first.

import { $, ago, announce, badge, count, el, inline, status } from "./dom.js";

const rows = new Map(); // by number: { d, li, link }
const list = $("rows");
let found = null; // the numbers that the search of the bodies has found, for this query
let known = ""; // the types in the menu

// update takes a message of the stream.
export function update(message, reset) {
  const held = document.activeElement;
  if (reset) {
    const kept = new Set(message.deliveries.map((d) => d.number));
    for (const number of [...rows.keys()]) if (!kept.has(number)) remove(number);
  }
  for (const { d } of [...rows.values()]) {
    if (d.cursor < (d.verified ? message.genuine_floor : message.refused_floor)) remove(d.number);
  }
  const fresh = [];
  for (const d of message.deliveries.sort((a, b) => a.cursor - b.cursor)) {
    const old = rows.get(d.number);
    if (old && old.d.changed === d.changed) continue;
    const row = old ?? { li: el("li") };
    if (!old || old.d.cursor !== d.cursor) {
      list.prepend(row.li); // it is the newest: they are sorted
      fresh.push(d);
    }
    row.d = d;
    draw(row);
    rows.set(d.number, row);
  }
  // Moving an element takes the focus from it.
  if (held?.isConnected && held !== document.activeElement) held.focus({ preventScroll: true });
  if (!reset && fresh.length === 1) announce(`${fresh[0].type || "delivery without a type"}, ${fresh[0].verdict}`);
  if (!reset && fresh.length > 1) announce(count(fresh.length, "delivery", "deliveries"));
  $("probes").hidden = !message.probes;
  $("probes").textContent = `${count(message.probes, "request")} other than POST got 405: browsers and monitors, not deliveries.`;
  filter();
  return fresh;
}

function remove(number) {
  rows.get(number).li.remove();
  rows.delete(number);
}

// draw shows a row. It keeps the link, which may have the focus.
function draw(row) {
  const { d } = row;
  if (!row.link) {
    row.link = el("a", { href: "#" + d.number, class: "row", tabindex: "-1" });
    row.li.append(row.link);
  }
  const tags = [];
  if (d.attempts > 1) tags.push(el("span", { class: "tag" }, count(d.attempts, "attempt")));
  if (d.duplicates) tags.push(el("span", { class: "tag" }, count(d.duplicates, "duplicate")));
  const made = d.attempts === 0; // on the page, which counts as a replay
  if (made) tags.push(el("span", { class: "tag" }, "test event"));
  if (d.replays > made) tags.push(el("span", { class: "tag" }, count(d.replays - made, "replay")));
  if (d.cleared_after) tags.push(el("span", { class: "tag good" }, "cleared after " + d.cleared_after));
  row.link.replaceChildren(
    badge(d),
    el("span", { class: "type" }, inline(d.type) || "no type"),
    status(d.status),
    el("span", { class: "what" }, d.job ? el("span", { class: "job" }, inline(d.job)) : "", el("span", { class: "id" }, inline(d.id) || "no webhook-id")),
    el("span", { class: "tags" }, tags),
    ago(d.at),
  );
}

const matches = {
  all: () => true,
  genuine: (d) => d.verified,
  refused: (d) => !d.verified,
  failed: (d) => d.verified && d.status >= 300,
  cleared: (d) => d.cleared_after > 0,
};

// filter shows the rows that match the query, the state, and the type.
export function filter() {
  const query = $("query").value.trim().toLowerCase();
  const state = document.querySelector("#states input:checked").value;
  const type = $("type").value;
  const counts = { all: 0, genuine: 0, refused: 0, failed: 0, cleared: 0 };
  const types = new Set();
  let shown = 0;
  for (const { d, li } of rows.values()) {
    for (const name in counts) if (matches[name](d)) counts[name]++;
    if (d.verified) types.add(d.type);
    const text = query === "" || found?.has(d.number) || [d.id, d.type, d.job, d.reason].some((s) => s.toLowerCase().includes(query));
    li.hidden = !(text && matches[state](d) && (type === "" || d.type === type));
    if (!li.hidden) shown++;
  }
  for (const input of document.querySelectorAll("#states input")) {
    const n = input.nextElementSibling.querySelector("b");
    if (n.textContent !== String(counts[input.value])) n.textContent = counts[input.value];
  }
  menu([...types].sort(), type);
  $("nothing").hidden = shown > 0 || rows.size === 0;
  $("empty").hidden = rows.size > 0;
  document.body.classList.toggle("is-empty", rows.size === 0);
  mark();
}

// menu lists the types that have arrived.
function menu(types, chosen) {
  if (chosen && !types.includes(chosen)) types.push(chosen);
  if (types.join("\n") === known) return;
  known = types.join("\n");
  $("type").replaceChildren(
    el("option", { value: "" }, "Every type"),
    ...types.map((t) => el("option", { value: t, selected: t === chosen }, inline(t) || "no type")),
  );
}

// search asks the command which bodies have the query.
export async function search() {
  const query = $("query").value.trim();
  if (query === "") {
    found = null;
    return filter();
  }
  try {
    const response = await fetch("/api/deliveries?q=" + encodeURIComponent(query));
    const all = await response.json();
    if (query === $("query").value.trim()) found = new Set(all.map((d) => d.number));
  } catch {
    // the ids and types are searched anyway
  }
  filter();
}

export const selected = () => Number(location.hash.slice(1)) || 0;
export const summary = (number) => rows.get(number)?.d;
const visibleRows = () => [...list.children].filter((li) => !li.hidden);

// mark shows which row is selected. Only one row can be reached with Tab: j and
// k, or the arrows, go to the others.
export function mark() {
  const number = selected();
  let one = rows.get(number);
  for (const row of rows.values()) {
    const current = row === one ? "true" : null;
    if (row.link.getAttribute("aria-current") !== current) {
      if (current) row.link.setAttribute("aria-current", current);
      else row.link.removeAttribute("aria-current");
    }
    if (row.link.tabIndex === 0 && row !== one) row.link.tabIndex = -1;
  }
  const reachable = one && !one.li.hidden ? one.link : visibleRows()[0]?.firstChild;
  if (reachable) reachable.tabIndex = 0;
}

// step selects the next (1) or the previous (-1) row.
export function step(direction) {
  const all = visibleRows();
  const at = all.findIndex((li) => li === rows.get(selected())?.li);
  const next = all[at < 0 ? 0 : Math.min(Math.max(at + direction, 0), all.length - 1)];
  if (!next) return;
  location.hash = next.firstChild.getAttribute("href");
  next.firstChild.focus();
  next.scrollIntoView({ block: "nearest" });
}
