// The dialog in which the user writes an event for the local program.

import { $, call, config, inline, milliseconds, toast } from "./dom.js";

const dialog = $("send");
const body = $("send-body");
const problem = $("send-problem");

// unable says why no event can be signed and sent, or is empty.
export const unable = !config.forward ? "Start the command with -forward URL to send events" : config.signing !== "true" ? "Set GEMINI_WEBHOOK_SECRET to sign events" : "";

// compose opens the dialog with a text or, without one, with an example of the type.
export async function compose(text) {
  $("send-title").textContent = text === undefined ? "Send a test event" : "Edit and resend";
  $("send-kind").hidden = text !== undefined;
  problem.hidden = true;
  body.value = text ?? "";
  dialog.showModal();
  if (text === undefined) await example();
  body.focus();
  body.setSelectionRange(0, 0);
}

async function example() {
  const type = $("send-type").value;
  try {
    const response = await fetch("/api/example?type=" + encodeURIComponent(type));
    if (response.ok && type === $("send-type").value) body.value = await response.text();
  } catch {
    // the user can write one
  }
}

function complain(text) {
  problem.textContent = inline(text);
  problem.hidden = false;
}

$("send-type").addEventListener("change", example);

dialog.querySelector("form").addEventListener("submit", async (event) => {
  if (event.submitter?.value !== "send") return; // closes the dialog
  event.preventDefault();
  try {
    JSON.parse(body.value);
  } catch (error) {
    return complain("This is not JSON: " + error.message);
  }
  event.submitter.disabled = true;
  const result = await call("/api/send", { body: body.value });
  event.submitter.disabled = false;
  if (!result) return complain($("toast").textContent);
  dialog.close();
  location.hash = result.number;
  toast(`Sent: ${result.status} in ${milliseconds(result.elapsed_ms)}. ${result.note}`, result.status >= 300);
});

const open = $("new");
open.disabled = unable !== "";
open.title = unable || "Write an event, sign it, and send it to " + config.forward;
open.addEventListener("click", () => compose());
