// The page's few moving parts: it swaps in the HTML that the server sends and reports what the person does.
"use strict";

const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const regions = new Map();
const modal = find("#modal-dialog");
const confirmation = find("#confirm-dialog");
const pane = find("#conversation");
const sides = find(".sides"); // two windows like this one, each in a frame
const framed = parent !== window;
let stream = null;

// --- what the server sends

function listen() {
  if (here().get("tab") === "home") send("home", {});
  if (framed) parent.remember(window.name, location.search);
  stream?.close();
  stream = new EventSource("stream" + location.search);
  stream.addEventListener("fragments", (event) => {
    find("#offline").togglePopover(false);
    for (const [name, html] of Object.entries(JSON.parse(event.data))) take(name, html);
  });
  stream.addEventListener("toast", (event) => toast(JSON.parse(event.data)));
  stream.addEventListener("error", () => find("#offline").togglePopover(true));
}

// What is under a finger stays until it is lifted: where it is replaced meanwhile, the browser makes no click of it.
const news = new Map();
let finger = null;

function take(name, html) {
  news.set(name, html);
  if (!finger) showNews();
}

function showNews() {
  clearTimeout(finger);
  finger = null;
  for (const [name, html] of news) show(name, html);
  news.clear();
}

addEventListener("pointerdown", () => { finger ??= setTimeout(showNews, 1000); }, true); // some are never seen to lift
for (const lifted of ["pointerup", "pointercancel"]) addEventListener(lifted, () => setTimeout(showNews), true);

function show(name, html) {
  if (name === "title") {
    document.title = fragment(html).textContent;
    return;
  }
  const region = find(`[data-region="${name}"]`);
  if (!region) {
    if (window.name === "left") parent.take(name, html); // one of two tells what stands behind both
    return;
  }
  if (regions.get(name) === html) return;
  const first = !regions.has(name);
  regions.set(name, html);
  patch(region, html, first);
  if (name === "conversation") {
    settle(place !== location.search);
    place = location.search;
  }
  if (name === "composer") {
    if (toWrite) field()?.focus();
    if (popup() && region.contains(document.activeElement)) suggest();
  }
  if (name === "modal") showModal();
  if (name === "clock") tick();
}

function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

// Replaces only the children whose HTML differs, and carries over what a person typed and where they are.
function patch(region, html, first) {
  const old = new Map([...region.children].map((node) => [node.dataset.key, node]));
  const held = hold(region);
  [...fragment(html).children].forEach((node, index) => {
    const source = node.outerHTML;
    let kept = old.get(node.dataset.key);
    old.delete(node.dataset.key);
    if (kept?.source !== source && !(first && kept?.outerHTML === source)) {
      node.classList.toggle("fresh", !first);
      kept?.replaceWith(node);
      kept = node;
    }
    kept.source = source;
    if (region.children[index] !== kept) region.insertBefore(kept, region.children[index] ?? null);
  });
  old.forEach((node) => node.remove());
  held();
}

const drafts = new Map(); // what is written and not sent, by person and conversation

function hold(region) {
  const active = region.contains(document.activeElement) ? document.activeElement.id : null;
  const scrolled = find(".modal-body", region)?.scrollTop ?? 0;
  const fields = all(":is(input, select, textarea)[data-kind]", region).map((field) => [field.id, field, field.value]);
  const ticked = all(".choices input", region).map((box) => [box.name, box.value, box.checked]);
  const writing = find("#composer-text", region);
  if (writing) drafts.set(writing.form.dataset.key, writing.value);
  return () => {
    const written = find("#composer-text", region);
    if (written && written !== writing) {
      written.value = drafts.get(written.form.dataset.key) ?? "";
      grow();
    }
    for (const [id, field, value] of fields) {
      const now = document.getElementById(id);
      if (now && now !== field && region.contains(now)) now.value = value;
    }
    for (const [name, value, checked] of ticked) {
      const box = all(".choices input", region).find((each) => each.name === name && each.value === value);
      if (box) box.checked = checked;
    }
    if (active !== null) refocus(active, region);
    if (find(".modal-body", region)) find(".modal-body", region).scrollTop = scrolled;
  };
}

// Who was at what is drawn anew or gone goes on at the same thing, else at another.
function refocus(id, other) {
  if (document.activeElement === document.body) (document.getElementById(id) ?? other)?.focus({ preventScroll: true });
}

// The newest message stays in sight for whom it was, whatever comes, and however large the pane is. A Home stays.
let place = location.search;
let low = true;
const isLow = () => pane.scrollHeight - pane.scrollTop - pane.clientHeight < 60;

function settle(moved) {
  const home = find(".home", pane);
  if (moved || (low && !home)) pane.scrollTop = home ? 0 : pane.scrollHeight;
  low = isLow();
}

pane?.addEventListener("scroll", () => { low = isLow(); });
if (pane) new ResizeObserver(() => settle(false)).observe(pane);

// --- modals

let shown = "";
let errors = "";
let opener = ""; // the id of what opened it
let left = ""; // the view that is closed here, of which the sandbox has yet to hear

function showModal() {
  const form = find(".modal-form", modal);
  if (form?.dataset.view !== left) left = "";
  if (!form || left) {
    if (modal.open) {
      document.activeElement.blur(); // it would stay in what nobody sees any more
      modal.close();
      refocus(opener, field());
    }
    shown = errors = "";
    return;
  }
  if (!modal.open) {
    opener = document.activeElement.id;
    modal.showModal();
    raise();
  }
  const wrong = all(".wrong", form).map((field) => field.dataset.input).join();
  const lost = !form.contains(document.activeElement);
  if (wrong && (wrong !== errors || lost)) focusWrong(form);
  else if (shown !== form.dataset.view || lost) focusFirst(form);
  shown = form.dataset.view;
  errors = wrong;
}

function focusFirst(form) {
  const field = find("[autofocus]", form) ?? find(".modal-body :is(input, select, textarea)", form);
  (field ?? find("[data-submit]", form) ?? find("footer button", form)).focus();
  field?.select?.();
}

function focusWrong(form) {
  find(".wrong :is(input, select, textarea)", form)?.focus();
  find(".wrong", form).scrollIntoView({ block: "nearest" }); // with what is said of it
}

modal?.addEventListener("cancel", (event) => { event.preventDefault(); closeView(false); });

async function closeView(everything) {
  const { view, above } = find(".modal-form", modal).dataset;
  if (everything || above === undefined) {
    left = view;
    showModal();
  }
  const said = await send("close", { all: everything, view });
  if (!said.problem) return;
  left = "";
  showModal();
}

// --- what the person does

// Its answer has a "problem" when it came to nothing, which is shown already.
async function send(what, body, busy) {
  busy?.setAttribute("aria-busy", "true");
  const said = await ask(what, body).catch(() => ({ problem: "The sandbox is not answering." }));
  busy?.removeAttribute("aria-busy");
  if (said.problem) toast(said.problem);
  return said;
}

async function ask(what, body) {
  const answer = await fetch("do/" + what, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ as: here().get("as") ?? (sides ?? find(".person.current")).dataset.user, ...body }),
  });
  return answer.json();
}

const here = () => new URLSearchParams(location.search);
const channel = () => find(".line.current")?.dataset.channel;

function surface(node) {
  const view = node.closest("[data-view]");
  if (view) return { view: view.dataset.view, values: values(view) };
  const message = node.closest("[data-message]");
  return { channel: message.dataset.channel, message: message.dataset.message, values: values(message) };
}

// What stands in the fields: {block id: {action id: text or list of chosen option values}}.
function values(root) {
  const found = {};
  for (const field of all("[data-kind]", root)) {
    const { kind, block, action } = field.dataset;
    if (["button", "overflow"].includes(kind)) continue;
    (found[block] ??= {})[action] = valueOf(field);
  }
  return found;
}

function valueOf(field) {
  if (field.matches(".choices")) return all("input:checked", field).map((box) => box.value);
  if (field.matches("select")) return [...field.selectedOptions].map((option) => option.value).filter(Boolean);
  return field.value;
}

async function press(node, value) {
  if (!(await agreed(node))) return;
  const { action, kind } = node.dataset;
  await send("press", { ...surface(node), action, kind, value: value || null }, node.matches(".button") ? node : null);
}

// Asks first when the bot wants the act confirmed.
function agreed(node) {
  if (!node.dataset.confirm) return true;
  const template = document.getElementById(node.dataset.confirm);
  confirmation.replaceChildren(template.content.cloneNode(true));
  confirmation.returnValue = "deny";
  confirmation.showModal();
  raise();
  find("button[value=confirm]", confirmation).focus();
  return new Promise((decide) => {
    confirmation.addEventListener("close", () => {
      refocus(node.id, field());
      decide(confirmation.returnValue === "confirm");
    }, { once: true });
  });
}

confirmation?.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) confirmation.close(button.value);
});

document.addEventListener("click", (event) => {
  const at = (selector) => event.target.closest(selector);
  const link = at("a[data-go]");
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
    event.preventDefault();
    toWrite = event.pointerType === "mouse";
    go(link.getAttribute("href"));
  } else if (at("[data-press]")) press(at("[data-press]"), at("[data-press]").dataset.value);
  else if (at("[data-option]")) {
    const holder = at("details");
    holder.open = false;
    press(holder, at("[data-option]").dataset.option);
  } else if (at("[data-close-view]")) closeView(false);
  else if (at("[data-close-all]")) closeView(true);
  else if (at("[data-wind]")) send("wind", { seconds: Number(at("[data-wind]").dataset.wind) }, at("[data-wind]"));
  else if (at("[data-shortcut]")) {
    at("details").open = false;
    const { channel, message } = at("[data-message]")?.dataset ?? {};
    send("shortcut", { callback_id: at("[data-shortcut]").dataset.shortcut, channel, message });
  } else if (at("[data-slash]")) {
    field().value = "/";
    field().focus();
    suggest();
  } else if (at("[data-command]")) choose(at("[data-command]"));
  for (const open of all("details.overflow[open]")) if (!open.contains(event.target)) open.open = false;
});

document.addEventListener("change", (event) => {
  const { target } = event;
  if (target.matches("[data-language]")) change(target, "language", { locale: target.value });
  if (target.matches("[data-wallet]")) change(target, "card", { customer: target.dataset.wallet, card: target.value });
  const live = target.closest("[data-live=on_change]");
  if (live) press(live, valueOf(live));
});

async function change(select, what, body) {
  const said = await send(what, body);
  if (said.problem) for (const option of select.options) option.selected = option.defaultSelected;
}

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.matches("[data-composer]")) say();
  if (form.matches("[data-studio]")) send("use", Object.fromEntries(new FormData(form)), find("button", form));
  if (!form.matches(".modal-form")) return;
  const button = find("[data-submit]", form);
  if (!button || button.hasAttribute("aria-busy")) return;
  await send("submit", surface(form), button);
  if (!form.isConnected) return;
  errors = ""; // what is wrong again is not drawn again, and yet to be seen
  showModal();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const open of all("details.overflow[open]")) { open.open = false; find("summary", open).focus(); }
  if (event.target.id === "composer-text") composerKey(event);
  if (event.target.matches("input[data-live~=on_enter_pressed]") && event.key === "Enter") {
    event.preventDefault();
    press(event.target, event.target.value);
  }
  if (event.target.matches("[role=menuitem]") && ["ArrowDown", "ArrowUp"].includes(event.key)) {
    event.preventDefault();
    const items = all("[role=menuitem]", event.target.parentElement);
    items[(items.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length].focus();
  }
});

document.addEventListener("toggle", (event) => {
  if (event.target.matches?.("details.overflow[open]")) find("[role=menuitem]", event.target)?.focus();
}, true);

// Where each side is stands in the address of both, so that loading it again leads there.
function remember(side, place) {
  const address = here();
  address.set(side, place);
  history.replaceState(null, "", "?" + address);
}

let toWrite = false; // whoever goes somewhere by the mouse goes on with the keyboard: in the message field, as in Slack

function go(href) {
  history.pushState(null, "", href);
  listen();
}
if (!sides) addEventListener("popstate", listen);

// --- the message field

const field = () => find("#composer-text");
const popup = () => find("#commands");
const offered = () => all("[role=option]:not([hidden])", popup());

function suggest() {
  const typed = field().value;
  const asking = /^\/\S*$/.test(typed);
  for (const option of all("[role=option]", popup())) option.hidden = !asking || !option.dataset.command.startsWith(typed);
  mark(offered().length ? 0 : -1);
}

function mark(index) {
  const options = offered();
  popup().hidden = index < 0;
  field().setAttribute("aria-expanded", String(index >= 0));
  all("[role=option]", popup()).forEach((option) => option.setAttribute("aria-selected", String(option === options[index])));
  if (index < 0) field().removeAttribute("aria-activedescendant");
  else field().setAttribute("aria-activedescendant", options[index].id);
}

function choose(option) {
  field().value = option.dataset.command + " ";
  field().focus();
  mark(-1);
}

function composerKey(event) {
  const options = offered();
  const index = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  const open = !popup().hidden && index >= 0;
  const finished = open && options[index].dataset.command === field().value;
  if (open && ["ArrowDown", "ArrowUp"].includes(event.key)) {
    event.preventDefault();
    mark((index + (event.key === "ArrowDown" ? 1 : options.length - 1)) % options.length);
  } else if (open && event.key === "Escape") mark(-1);
  else if (open && (event.key === "Tab" || (event.key === "Enter" && !finished))) {
    event.preventDefault();
    choose(options[index]);
  } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    say();
  }
}

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-live~=on_character_entered]")) press(event.target, event.target.value);
  if (event.target.id !== "composer-text") return;
  if (popup()) suggest();
  grow();
});

function grow() {
  field().style.height = "auto";
  field().style.height = `${Math.min(field().scrollHeight, 180)}px`;
}

async function say() {
  const text = field().value;
  const { key } = field().form.dataset;
  if (!text.trim()) return;
  field().value = "";
  grow();
  mark(-1);
  pane.scrollTop = pane.scrollHeight; // where it, or the answer, will be
  const said = await send("say", { channel: channel(), text });
  if (said.problem) putBack(key, text);
}

function putBack(key, text) {
  if (field()?.form.dataset.key !== key) drafts.set(key, text);
  else if (!field().value) {
    field().value = text;
    grow();
  }
}

// --- time and notices

function tick() {
  const clock = find("[data-clock]");
  if (!clock) return;
  const { ahead, zone, locale } = clock.dataset;
  const options = { timeZone: zone, weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const now = new Date(Date.now() + ahead * 1000);
  clock.textContent = new Intl.DateTimeFormat(locale, options).format(now);
  clock.dateTime = now.toISOString();
}

function toast(text) {
  const note = document.createElement("div");
  note.className = "toast";
  note.textContent = text;
  find("#toasts").append(note);
  setTimeout(() => note.remove(), 6000);
}

// Notices lie above what was opened last.
function raise() {
  for (const notice of all("[popover]:popover-open")) {
    notice.hidePopover();
    notice.showPopover();
  }
}

find("#toasts").showPopover();
tick();
setInterval(tick, 1000);
if (!sides) {
  settle(true);
  showModal();
  listen();
}
