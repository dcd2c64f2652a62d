// What every part of the page uses. Nothing here or elsewhere turns a string
// into markup: the Content-Security-Policy forbids it.

export const config = document.documentElement.dataset;
export const $ = (id) => document.getElementById(id);

// el makes an element. Attributes that are null or false are left out; "on…"
// are functions. Children are elements or strings.
export function el(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== ""));
  return e;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", "#i-" + name);
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

// visible shows an escape in place of every character that has no shape or
// changes the order of others: a delivery that was not accepted is a stranger's.
export function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => (c === "\n" || c === "\t" ? c : "\\u{" + c.codePointAt(0).toString(16) + "}"));
}

// inline is visible for a text in one line.
export const inline = (text) => visible(text).replace(/[\n\t]/g, (c) => (c === "\n" ? "\\n" : "\\t"));

const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat("en", { month: "short", day: "numeric" });

// when returns an element with the time of day, and the day if it is not today.
export function when(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return el("time", { datetime: iso, title: at.toISOString() }, (today ? "" : day.format(at) + " ") + clock.format(at));
}

// ago returns an element with the time that has passed, which goes on.
export function ago(iso) {
  const at = new Date(iso);
  return el("time", { datetime: iso, title: at.toISOString(), "data-ago": true }, passed(at));
}

function passed(at) {
  const seconds = Math.floor((Date.now() - at) / 1000);
  if (seconds < 5) return "now";
  if (seconds < 60) return seconds + " s ago";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min ago";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h ago";
  return day.format(at) + " " + clock.format(at);
}

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = passed(new Date(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
}, 1000);

export const count = (n, one, several = one + "s") => n + " " + (n === 1 ? one : several);

export function milliseconds(ms) {
  if (ms >= 1000) return (ms / 1000).toFixed(1) + " s";
  return (ms >= 10 ? Math.round(ms) : ms.toFixed(1)) + " ms";
}

// badge shows the verdict.
export const badge = (d) =>
  el("span", { class: "badge " + (d.verified ? "good" : "bad") }, icon(d.verified ? "ok" : "no"), d.verdict);

// status shows a status, or that there is none yet.
export function status(code) {
  if (!code) return el("span", { class: "status wait", title: "in progress" }, "…");
  const kind = code < 300 ? "good" : code < 500 ? "warn" : "bad";
  return el("span", { class: "status " + kind }, String(code));
}

// silent is the message when a request gets no response.
export const silent = "The command does not respond. Is it running?";

// call sends a request that changes something, and returns the response.
export async function call(path, body) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Geminihook-Token": config.token },
      body: JSON.stringify(body ?? {}),
    });
    const text = await response.text();
    if (response.ok) return JSON.parse(text);
    toast(text.startsWith("{") ? JSON.parse(text).error : text, true);
  } catch {
    toast(silent, true);
  }
  return null;
}

let hide;

// toast shows a message for a while, and announces it to a screen reader.
export function toast(text, bad) {
  const t = $("toast");
  t.textContent = inline(text);
  t.classList.toggle("bad", Boolean(bad));
  t.hidden = false;
  announce(text);
  clearTimeout(hide);
  hide = setTimeout(() => (t.hidden = true), 4000);
}

export const announce = (text) => ($("announce").textContent = inline(text));

// copy copies a text or, if the browser does not let it, shows it.
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied " + what + ".");
  } catch {
    const dialog = $("copy");
    const area = dialog.querySelector("textarea");
    area.value = text;
    dialog.showModal();
    area.select();
  }
}
