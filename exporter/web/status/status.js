// Fetches the page anew and changes only what differs, so that scroll, focus, selection and typed text
// stay. The server searches, sorts and writes; here is only what it takes to look alive, or not.
(() => {
  "use strict";

  const TYPING_MS = 150;
  const ANSWER_MS = 10_000;
  const PARTS = ["icon", "when", "verdict", "connections", "connection", "prefix", "count", "table", "empty"];

  const byId = (id) => document.getElementById(id);
  const form = document.querySelector("form");
  const [age, alarm, pause] = ["age", "alarm", "pause"].map(byId);
  const script = document.querySelector("script").getAttribute("src");
  const refreshMs = Number(document.body.dataset.refreshSeconds) * 1000;
  const staleMs = 2 * refreshMs + ANSWER_MS / 2;

  let title = document.title;
  let answeredAt = Date.now();
  let trouble = "";
  let paused = false;
  let next = 0;
  let typing = 0;
  let request = null;

  // --- what differs ------------------------------------------------------------------------------

  const keyOf = (node) => node.dataset?.key;

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType === Node.TEXT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const wanted = new Set([...fresh.children].map(keyOf));
    const known = new Map();
    for (const child of [...old.children]) {
      const key = keyOf(child);
      if (key === undefined) continue;
      if (wanted.has(key)) known.set(key, child);
      else child.remove();
    }
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const key = keyOf(child);
      const same = key === undefined ? like(at, child) : known.get(key);
      if (same === undefined) {
        old.insertBefore(child, at);
        continue;
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      morph(same, child);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  const like = (old, fresh) =>
    old && keyOf(old) === undefined && old.nodeName === fresh.nodeName ? old : undefined;

  function show(page) {
    if (page.querySelector("script")?.getAttribute("src") !== script) {
      location.reload(); // another version of the exporter
      return;
    }
    for (const id of PARTS) morph(byId(id), page.getElementById(id));
    title = page.title;
  }

  // --- asking ------------------------------------------------------------------------------------

  function address() {
    const pairs = [...new FormData(form)].filter(([, value]) => value);
    return `?${new URLSearchParams(pairs)}`;
  }

  async function ask() {
    clearTimeout(next);
    request?.abort();
    const mine = (request = new AbortController());
    const limit = setTimeout(() => mine.abort(), ANSWER_MS);
    try {
      const answer = await fetch(address(), { signal: mine.signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`it answers ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== request) return;
      show(page);
      answeredAt = Date.now();
      trouble = "";
    } catch (error) {
      if (mine !== request) return;
      trouble = error.message.startsWith("it answers") ? error.message : "it cannot be reached";
    } finally {
      clearTimeout(limit);
      if (mine === request) {
        request = null;
        tick();
        if (!paused && !document.hidden) next = setTimeout(ask, refreshMs);
      }
    }
  }

  function choose() {
    clearTimeout(typing);
    history.replaceState(null, "", address());
    ask();
  }

  // --- how old it is -----------------------------------------------------------------------------

  function tick() {
    const ms = Date.now() - answeredAt;
    const stale = paused || trouble !== "" || ms > staleMs;
    age.textContent = `${Math.round(ms / 1000)} s ago`;
    let text = "";
    if (stale) {
      const since = byId("when").querySelector("time").textContent;
      const why = paused ? "Paused." : `The exporter does not answer (${trouble || "no answer yet"}).`;
      text = `${why} What is shown is as of ${since}.`;
    }
    if (alarm.textContent !== text) alarm.textContent = text;
    document.body.classList.toggle("stale", stale);
    const wanted = stale ? "? Not up to date - bullmq-exporter" : title;
    if (document.title !== wanted) document.title = wanted;
  }

  // --- what people do ----------------------------------------------------------------------------

  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(choose, TYPING_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    choose();
  });
  byId("table").addEventListener("click", (event) => {
    const link = event.target.closest("thead a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const wanted = new URL(link.href).searchParams;
    for (const name of ["sort", "order"]) form.elements[name].value = wanted.get(name) ?? "";
    choose();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    if (paused) clearTimeout(next);
    else ask();
    tick();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(next);
    else if (!paused) {
      tick();
      ask();
    }
  });

  document.querySelector("form button").hidden = true;
  age.hidden = pause.hidden = false;
  setInterval(tick, 1000);
  tick();
  next = setTimeout(ask, refreshMs);
})();
