// The stream, the tools above the list, and the keyboard.

import { $, call, config, copy, el, icon, toast } from "./dom.js";
import { replay, show, stale } from "./detail.js";
import "./send.js";
import { filter, mark, search, selected, step, update } from "./list.js";

const main = document.querySelector("main");

// Messages are collected and drawn once per frame, however fast they arrive. A
// tab in the background has no frames, but a slow timer.
let waiting = [];
function take(message, reset) {
  if (reset) waiting = [];
  waiting.push([message, reset]);
  if (waiting.length > 1) return;
  requestAnimationFrame(flush);
  setTimeout(flush, 500);
}

function flush() {
  if (waiting.length === 0) return;
  const batch = waiting;
  waiting = [];
  const latest = new Map(batch.flatMap(([m]) => m.deliveries).map((d) => [d.number, d]));
  const last = batch.at(-1)[0];
  update({ ...last, deliveries: [...latest.values()] }, batch[0][1]);
  faultBanner(last.fault);
  if (stale()) show(selected());
  if ($("query").value.trim() !== "") later();
}

function connect() {
  const stream = new EventSource("/api/stream");
  const heard = (reset) => (event) => {
    const message = JSON.parse(event.data);
    if (message.run !== config.run) return location.reload(); // the command was started again
    live("live", "live");
    take(message, reset);
  };
  stream.addEventListener("reset", heard(true));
  stream.addEventListener("change", heard(false));
  stream.onerror = () => {
    live("lost", "reconnecting");
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

function live(state, text) {
  $("live").dataset.state = state;
  $("live").lastElementChild.textContent = text;
}

// The search of the bodies waits until the typing stops.
let timer;
function later() {
  clearTimeout(timer);
  timer = setTimeout(search, 150);
}

$("query").addEventListener("input", () => { filter(); later(); });
$("states").addEventListener("change", filter);
$("type").addEventListener("change", filter);
$("nothing").querySelector("button").addEventListener("click", () => {
  $("query").value = "";
  $("type").value = "";
  document.querySelector("#states input").checked = true;
  search();
});

$("fault").addEventListener("submit", (event) => {
  event.preventDefault();
  const mode = $("mode").value;
  call("/api/fault", { mode, left: Number($("left").value), seconds: mode === "slow" ? 10 : 0 });
});
$("banner").querySelector("button").addEventListener("click", () => call("/api/fault", { mode: "", left: 0, seconds: 0 }));

function faultBanner(fault) {
  $("banner").hidden = fault.mode === "";
  const one = fault.left === 1;
  const who = one ? "The next genuine delivery gets" : `The next ${fault.left} genuine deliveries get`;
  const what = fault.mode === "slow" ? `${one ? "its response" : "their responses"} after a delay of ${fault.seconds} s` : `a ${fault.mode} response and ${one ? "is" : "are"} not forwarded`;
  $("banner").firstElementChild.textContent = `${who} ${what}.`;
}

// On a narrow screen, what is needed less often is behind a button.
$("more").addEventListener("click", () => {
  const open = $("tools").classList.toggle("open");
  $("more").setAttribute("aria-expanded", String(open));
});

// Clear asks once more, in its place.
const clear = $("clear");
let sure;
clear.addEventListener("click", async () => {
  clearTimeout(sure);
  if (clear.textContent === "Clear") {
    clear.textContent = "Forget all?";
    sure = setTimeout(() => (clear.textContent = "Clear"), 4000);
    return;
  }
  clear.textContent = "Clear";
  if (await call("/api/clear")) toast("All deliveries were forgotten. Files are kept.");
  location.hash = "";
});

// Selection is in the address, so that a reload and the back button keep it.
function select() {
  main.dataset.view = selected() ? "detail" : "list";
  mark();
  show(selected());
}
addEventListener("hashchange", select);

addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=radio]), select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (selected()) location.hash = "";
    return;
  }
  if (typing) return;
  const onRow = event.target.closest?.(".row");
  const action = {
    j: () => step(1), k: () => step(-1),
    r: () => replay("same"), R: () => replay("fresh"),
    "/": () => $("query").focus(),
    ...(onRow ? { ArrowDown: () => step(1), ArrowUp: () => step(-1) } : {}),
  }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

$("wait").textContent = `curl '${location.origin}/api/wait?type=batch.succeeded&token=${config.access}'`;
for (const command of document.querySelectorAll(".command")) {
  const text = () => command.querySelector("code").textContent;
  command.append(el("button", { type: "button", "aria-label": "Copy the command", onclick: () => copy(text(), "the command") }, icon("copy")));
}
select();
connect();
