// The delivery that is selected.

import { $, badge, call, config, copy, count, el, icon, inline, milliseconds, silent, status, toast, visible, when } from "./dom.js";
import { selected, summary } from "./list.js";
import { compose, unable } from "./send.js";

const panel = $("detail");
const hint = panel.firstElementChild;
let shown = null; // the delivery
let chosen = 0; // the cursor of the attempt that is shown, or 0 for the latest
let tab = "pretty";
let loading = false;

// show loads the selected delivery, and loads it again if it has changed since.
export async function show(number) {
  if (number !== shown?.number) chosen = 0;
  if (!number) {
    shown = null;
    panel.replaceChildren(hint);
    return;
  }
  if (loading) return;
  loading = true;
  let missing = "This delivery has been forgotten.";
  try {
    const response = await fetch("/api/deliveries/" + number);
    shown = response.ok ? await response.json() : null;
  } catch {
    shown = null;
    missing = silent;
  }
  loading = false;
  if (selected() !== number) return show(selected());
  if (!shown) return panel.replaceChildren(back(), el("p", { class: "hint" }, missing));
  render();
  if ((summary(number)?.changed ?? 0) > shown.changed) return show(number);
}

// stale reports whether the list knows something newer about the selected delivery,
// which could not be loaded if nothing is shown.
export const stale = () => selected() !== 0 && summary(selected())?.changed !== shown?.changed;

const back = () => el("a", { class: "back", href: "#", "aria-label": "Back to the deliveries" }, icon("back"), "Deliveries");

function render() {
  const d = shown;
  const attempt = d.history.find((a) => a.cursor === chosen) ?? d.history.at(-1);
  const scroll = panel.scrollTop;
  const focus = document.activeElement?.dataset?.key;
  panel.replaceChildren(
    back(),
    el("header", {}, el("h2", {}, inline(d.type) || "no type"), badge(d), d.cleared_after ? el("span", { class: "tag good" }, "cleared after " + d.cleared_after) : ""),
    verdict(d, attempt),
    actions(d, attempt),
    facts(d),
    history(d, attempt),
    tabs(d, attempt),
  );
  panel.scrollTop = scroll;
  if (focus) panel.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

function verdict(d, attempt) {
  if (d.verified) {
    const sent = Number(attempt.headers.find(([name]) => name === "Webhook-Timestamp")?.[1]);
    return el("p", { class: "verdict good" }, "Signed ", el("code", {}, inline(d.scheme)), " with ", el("code", {}, inline(d.key)),
      sent ? [", sent ", when(new Date(sent * 1000).toISOString())] : "", ".");
  }
  return el("div", { class: "verdict bad" }, d.reasons.map((r) => el("p", {}, inline(r))),
    el("p", { class: "dim" }, "It was not forwarded. Its type and its id are what the sender claims."));
}

function actions(d, attempt) {
  const from = `/api/deliveries/${d.number}/copy/`;
  const of = "?attempt=" + attempt.cursor;
  const why = !d.verified ? "A delivery that was not accepted cannot be replayed" : !config.forward ? "Start the command with -forward URL to replay deliveries" : "";
  const fresh = why || (d.scheme !== "v1" ? "Only Google can sign a dynamic delivery again" : config.signing !== "true" ? "No secret is configured" : "");
  const edit = fresh || unable || (d.cut_off ? "The body is too long" : "");
  const take = (form, what) => async () => {
    try {
      copy(await (await fetch(from + form + of)).text(), what);
    } catch {
      toast(silent, true);
    }
  };
  return el("div", { class: "actions" },
    el("button", { type: "button", class: "main", "data-key": "replay", disabled: why !== "", title: why || "Send the same bytes to " + config.forward, onclick: () => replay("same") }, "Replay", el("kbd", { "aria-hidden": "true" }, "r")),
    el("button", { type: "button", "data-key": "fresh", disabled: fresh !== "", title: fresh || "Sign the same body with the current time and send it", onclick: () => replay("fresh") }, "Sign again and replay", el("kbd", { "aria-hidden": "true" }, "R")),
    d.verified ? el("button", { type: "button", "data-key": "edit", disabled: edit !== "", title: edit || "Change the body, sign it, and send it as a new event", onclick: () => compose(d.pretty || d.body) }, "Edit and resend") : "",
    el("span", { class: "takes" },
      el("a", { class: "button", "data-key": "http", href: from + "http" + of, download: true, title: "A file for geminihook verify and geminihook send -file" }, "Download"),
      el("button", { type: "button", "data-key": "curl", onclick: take("curl", "the curl command") }, "Copy as curl"),
      el("button", { type: "button", "data-key": "go", onclick: take("go", "the Go test") }, "Copy as Go test")),
    why ? el("p", { class: "why" }, why + ".") : "",
  );
}

// replay sends the selected delivery to the local program again.
export async function replay(mode) {
  if (!shown) return;
  if (!shown.verified) return toast("A delivery that was not accepted cannot be replayed.", true);
  const result = await call(`/api/deliveries/${shown.number}/replay`, { mode, attempt: chosen });
  if (result) toast(`Replayed: ${result.status} in ${milliseconds(result.elapsed_ms)}. ${result.note}`, result.status >= 300);
}

function facts(d) {
  const fact = (name, value) => (value ? el("div", {}, el("dt", {}, name), el("dd", {}, inline(value))) : "");
  return el("dl", { class: "facts" }, fact("webhook-id", d.id), fact("data.id", d.job));
}

// history lists the attempts. The one that is pressed shows its headers below.
function history(d, current) {
  const older = d.attempts + d.replays - d.history.length;
  let received = d.attempts - d.history.filter((a) => !a.replay).length;
  const row = (a) => {
    const name = a.replay ? { fresh: "replay, signed again", test: "test event" }[a.replay] ?? "replay" : "attempt " + ++received + (a.duplicate ? ", duplicate" : "");
    return el("li", {}, el("button", { type: "button", "data-key": "attempt" + a.cursor, "aria-pressed": String(a === current), onclick: () => { chosen = a.cursor; render(); } },
      status(a.status), el("span", { class: "name" }, name), when(a.at),
      el("span", { class: "took" }, a.status ? milliseconds(a.elapsed_ms) : ""),
      a.note ? el("span", { class: "note" }, inline(a.note)) : "",
      a.response.trim() && a.status >= 300 ? el("code", { class: "note" }, inline(a.response.trim())) : ""));
  };
  return el("section", { class: "history", "aria-labelledby": "history-title" },
    el("h3", { id: "history-title" }, "Attempts"),
    older > 0 ? el("p", { class: "dim" }, count(older, "older attempt is", "older attempts are") + " not shown.") : "",
    el("ol", {}, d.history.map(row)));
}

const forms = { pretty: "Pretty", raw: "Raw", decoded: "Go", headers: "Headers", response: "Response" };

function tabs(d, attempt) {
  const pick = (name) => { tab = name; render(); panel.querySelector(`[data-key="tab-${name}"]`).focus({ preventScroll: true }); };
  const names = Object.keys(forms);
  const move = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) pick(names[(names.indexOf(tab) + by + names.length) % names.length]);
  };
  return el("section", { class: "content", "aria-label": "Content" },
    el("div", { role: "tablist", "aria-label": "Form of the content", onkeydown: move }, names.map((name) =>
      el("button", { type: "button", role: "tab", id: "tab-" + name, "data-key": "tab-" + name, "aria-selected": String(name === tab), "aria-controls": "content", tabindex: name === tab ? "0" : "-1", onclick: () => pick(name) }, forms[name])),
      el("span", { class: "size" }, d.bytes + " bytes")),
    el("div", { role: "tabpanel", id: "content", "aria-labelledby": "tab-" + tab, tabindex: "0" }, content(d, attempt)));
}

function content(d, attempt) {
  if (tab === "headers") {
    return el("dl", { class: "headers" },
      el("div", {}, el("dt", {}, "path"), el("dd", {}, inline(attempt.path))),
      lines(attempt.headers));
  }
  if (tab === "response") return response(d, attempt);
  const text = { pretty: d.pretty, raw: d.body, decoded: d.decoded }[tab];
  const missing = { pretty: "The body is not JSON, or too long for this form.", raw: "The body is empty.", decoded: "The body is not an event, because it is not a JSON object." }[tab];
  if (!text) return el("p", { class: "dim" }, missing);
  return [
    el("pre", {}, el("code", {}, tab === "raw" || text.length > 20000 ? visible(text) : colored(text))),
    tab === "raw" && d.binary ? el("p", { class: "dim" }, "Some bytes are not UTF-8 and are shown as \ufffd.") : "",
    d.cut_off ? el("p", { class: "dim" }, "This is not the whole body.") : "",
  ];
}

const lines = (headers) => headers.map(([name, value]) => el("div", {}, el("dt", {}, inline(name.toLowerCase())), el("dd", {}, inline(value))));

// response is what the local program responded with.
function response(d, attempt) {
  const none = !d.verified ? "The program was not asked." : !attempt.status ? "There is no response yet." : !config.forward ? "There is no program to ask: start the command with -forward URL." : "";
  if (none) return el("p", { class: "dim" }, none);
  if (!attempt.response_headers.length && !attempt.response) return el("p", { class: "dim" }, "The program sent no response. " + inline(attempt.note));
  return [
    el("dl", { class: "headers" }, el("div", {}, el("dt", {}, "status"), el("dd", {}, String(attempt.status))), lines(attempt.response_headers)),
    attempt.response ? el("pre", {}, el("code", {}, visible(attempt.response))) : el("p", { class: "dim" }, "The body is empty."),
  ];
}

// colored splits JSON or Go into names, strings, and the rest.
function colored(text) {
  const parts = [];
  let end = 0;
  for (const m of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|\b\w+:(?= )|\b(?:true|false|null|-?\d[\d.eE+-]*)\b/g)) {
    parts.push(visible(text.slice(end, m.index)));
    const kind = m[1] !== undefined || !m[0].startsWith('"') && m[0].endsWith(":") ? "name" : m[0].startsWith('"') ? "string" : "atom";
    parts.push(el("span", { class: kind }, visible(m[0])));
    end = m.index + m[0].length;
  }
  return [...parts, visible(text.slice(end))];
}
