// Fetches the page again and changes only what differs, so that scroll position, focus, selection and
// typed text stay. The server searches, sorts and renders; the script keeps the page up to date and
// shows when it is not.
(() => {
  "use strict";

  const TYPING_MS = 150;
  const TIMEOUT_MS = 10_000;
  const POLLS_KEPT = 2;
  const PARTS = ["icon", "when", "verdict", "connections", "connection", "prefix", "count", "table", "empty", "pages"];

  const byId = (id) => document.getElementById(id);
  const form = document.querySelector("form");
  const [age, alarm, pause] = ["age", "alarm", "pause"].map(byId);
  const script = document.querySelector("script").getAttribute("src");
  const refreshMs = Number(document.body.dataset.refreshSeconds) * 1000;
  const staleMs = 2 * refreshMs + TIMEOUT_MS / 2;

  const heading = () => document.querySelector("#verdict h1");

  let title = document.title;
  let shownHeading = heading().textContent;
  let shownLevel = byId("verdict").className;
  let updatedAt = Date.now();
  let problem = "";
  let paused = false;
  let nextRefresh = 0;
  let typing = 0;
  let request = null;

  // --- applying changes --------------------------------------------------------------------------

  const keyOf = (node) => node.dataset?.key;

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType === Node.TEXT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    }
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
      const same = key === undefined ? reusable(at, child) : known.get(key);
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

  const reusable = (old, fresh) =>
    old && keyOf(old) === undefined && old.nodeName === fresh.nodeName ? old : undefined;

  function show(page) {
    if (page.querySelector("script")?.getAttribute("src") !== script) {
      location.reload(); // another version of the exporter
      return;
    }
    for (const id of PARTS) morph(byId(id), page.getElementById(id));
    title = page.title;
    shownHeading = heading().textContent;
    shownLevel = byId("verdict").className;
  }

  // --- refreshing --------------------------------------------------------------------------------

  function queryString() {
    const pairs = [...new FormData(form)].filter(([, value]) => value);
    return `?${new URLSearchParams(pairs)}`;
  }

  // a search is answered from what is shown now: with thousands of queues, a new verdict takes longer
  async function refresh(maxAge = 0) {
    clearTimeout(nextRefresh);
    request?.abort();
    const own = (request = new AbortController());
    const timeout = setTimeout(() => own.abort(), TIMEOUT_MS);
    try {
      const response = await fetch(queryString(), {
        signal: own.signal,
        cache: "no-store",
        headers: { "cache-control": `max-age=${maxAge}` },
      });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (own !== request) return;
      show(page);
      updatedAt = Date.now() - Number(response.headers.get("age")) * 1000;
      problem = "";
    } catch (error) {
      if (own !== request) return;
      problem = error.message.startsWith("HTTP ") ? error.message : "unreachable";
    } finally {
      clearTimeout(timeout);
      if (own === request) {
        request = null;
        tick();
        if (!paused && !document.hidden) nextRefresh = setTimeout(refresh, refreshMs);
      }
    }
  }

  function applyForm() {
    clearTimeout(typing);
    history.replaceState(null, "", queryString());
    refresh(Math.ceil(POLLS_KEPT * refreshMs / 1000));
  }

  // --- age of the data ---------------------------------------------------------------------------

  function tick() {
    const ms = Date.now() - updatedAt;
    const stale = paused || problem !== "" || ms > staleMs;
    age.textContent = `${Math.round(ms / 1000)} s ago`;
    let text = "";
    if (stale) {
      const shownTime = byId("when").querySelector("time").textContent;
      const why = paused ? "Paused." : `The exporter does not respond (${problem || "no response yet"}).`;
      text = `${why} Showing data as of ${shownTime}.`;
    }
    if (alarm.textContent !== text) alarm.textContent = text;
    document.body.classList.toggle("stale", stale);
    // what was true then is not a verdict about now
    const unknown = paused ? `Paused: ${shownHeading}` : "Unknown: the exporter does not respond";
    setHeading(stale ? unknown : shownHeading, stale ? "starting" : shownLevel);
    const wanted = stale ? "? Not up to date - bullmq-exporter" : title;
    if (document.title !== wanted) document.title = wanted;
  }

  function setHeading(text, level) {
    if (heading().textContent !== text) heading().textContent = text;
    if (byId("verdict").className !== level) byId("verdict").className = level;
  }

  // --- user actions ------------------------------------------------------------------------------

  const plainClick = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);

  // a link to the same queues, sorted otherwise or on another page
  function follow(link) {
    const parameters = new URL(link.href).searchParams;
    for (const name of ["sort", "order", "page"]) form.elements[name].value = parameters.get(name) ?? "";
    applyForm();
  }

  form.addEventListener("input", () => {
    form.elements.page.value = "";
    clearTimeout(typing);
    typing = setTimeout(applyForm, TYPING_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    applyForm();
  });
  byId("table").addEventListener("click", (event) => {
    const link = event.target.closest("thead a");
    if (!link || !plainClick(event)) return;
    event.preventDefault();
    follow(link);
  });
  byId("pages").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || !plainClick(event)) return;
    event.preventDefault();
    follow(link);
    byId("queues").focus({ preventScroll: true });
    byId("queues").scrollIntoView();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    if (paused) clearTimeout(nextRefresh);
    else refresh();
    tick();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(nextRefresh);
    else if (!paused) {
      tick();
      refresh();
    }
  });

  // without this script, a search begins at the first page, so the field is empty
  form.elements.page.value = new URLSearchParams(location.search).get("page") ?? "";
  document.querySelector("form button").hidden = true;
  age.hidden = pause.hidden = false;
  setInterval(tick, 1000);
  tick();
  nextRefresh = setTimeout(refresh, refreshMs);
})();
