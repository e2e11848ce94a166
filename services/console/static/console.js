// Live pages, keys, and copying. Without this file everything works; it only is not live.
"use strict";

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("viox", { createHTML: (text) => text })
  : { createHTML: (text) => text };

// -- live: the stream says that something changed; the page is fetched again, and what differs is put in its place --------

const stream = document.body.dataset.live !== undefined;
let busy = false;
let again = false;

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "follow" });
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) {
      location.assign(answer.url);
      return;
    }
    if (answer.ok) {
      // Text of a page of ours, parsed without running anything; elements are moved, never strings.
      apply(new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html"));
    }
  } catch {
    // the next change tries again
  } finally {
    busy = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

function apply(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const made = fresh.getElementById(part.id);
    if (!made || same(part, made)) continue;
    if (part.dataset.part === "list") list(part, made);
    else if (!held(part)) swap(part, made);
  }
}

const bare = (node) => node.outerHTML.replace(/ class="arrived"| open=""|>[^<]*<\/time>/g, "");
const same = (one, other) => bare(one) === bare(other);

// What somebody types in, has opened, or points at stays as it is until they are done.
function held(part) {
  const typing = part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
  return typing || part.querySelector("dialog[open], details.act[open]") !== null;
}

function swap(part, made) {
  const opened = [...part.querySelectorAll("details[open][id]")].map((one) => one.id);
  const focused = part.contains(document.activeElement) ? document.activeElement.id || document.activeElement.getAttribute("href") : null;
  part.replaceWith(made);
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused) {
    const found = document.getElementById(focused) || made.querySelector(`[href="${CSS.escape(focused)}"]`);
    found?.focus({ preventScroll: true });
  }
}

// Rows that are there are replaced in their places; new ones wait behind a button, so that nothing moves under a pointer.
function list(part, made) {
  const known = new Map([...part.children].map((row) => [row.id, row]));
  let fresh = 0;
  for (const row of made.children) {
    const old = known.get(row.id);
    if (!old) fresh += 1;
    else if (!same(old, row)) old.replaceWith(document.importNode(row, true));
  }
  const button = document.getElementById("fresh");
  if (!button || !fresh) return;
  button.hidden = false;
  button.textContent = `${fresh} new`;
  button.onclick = () => {
    button.hidden = true;
    swap(part, made);
  };
}

function connect() {
  const { live, of } = document.body.dataset;
  const mark = document.getElementById("livemark");
  const source = new EventSource(`/events?of=${encodeURIComponent(of)}&after=${encodeURIComponent(live)}`);
  source.addEventListener("open", () => say(mark, "live", false));
  source.addEventListener("error", () => say(mark, "not live", true));
  source.addEventListener("changed", refresh);
  source.addEventListener("over", () => location.reload());
  return source;
}

function say(mark, text, off) {
  if (!mark) return;
  mark.textContent = text;
  mark.classList.toggle("off", off);
  mark.hidden = false;
}

if (stream) {
  let source = connect();
  document.addEventListener("visibilitychange", () => {
    source.close(); // six connections a host: hidden pages give theirs back
    if (!document.hidden) {
      source = connect();
      refresh();
    }
  });
}

// -- copying ----------------------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-of]");
  if (!button) return;
  event.preventDefault();
  const of = button.dataset.copyOf;
  const text = of ? document.getElementById(of).textContent : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
    button.classList.add("copied");
    const told = button.textContent;
    button.textContent = "copied";
    setTimeout(() => {
      button.textContent = told;
      button.classList.remove("copied");
    }, 1200);
  } catch {
    getSelection()?.selectAllChildren(of ? document.getElementById(of) : button);
  }
});

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button?.getAttribute("aria-disabled")) event.preventDefault();
  else button?.setAttribute("aria-disabled", "true"); // not twice; `disabled` would lose the focus
});

for (const select of document.querySelectorAll(".filters select, .filters input[type=checkbox]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// On a phone the navigation is a row that is longer than the screen.
document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// -- keys -------------------------------------------------------------------------------------------------------------------

const items = () => [...document.querySelectorAll("[data-item]")];

function move(by) {
  const all = items();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const open = (id) => {
  const found = document.getElementById(id);
  if (!found) return;
  if (found.tagName === "DETAILS") {
    found.open = true;
    found.querySelector("textarea, input:not([type=hidden])")?.focus();
  } else found.focus();
};

const keys = {
  "/": () => document.getElementById("search")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  a: () => open("act-approve"),
  e: () => open("act-edit"),
  r: () => open("act-reject"),
  "?": () => document.getElementById("keys")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (!document.querySelector("dialog[open]") && document.body.dataset.up) location.assign(document.body.dataset.up);
    return;
  }
  if (typing || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
