"use strict";
// The triage desk by keyboard: what comes next is loaded ahead, and a decision waits for no answer. Each is kept in the
// browser until the handler has stored it, and sent again after a lost connection: repeated, it changes nothing.
(() => {
  const desk = document.getElementById("desk");
  if (!desk) return;
  const AGAIN = 2000; // milliseconds until a request is sent again
  const { path, query } = desk.dataset, kept = `triage ${path} `;
  const note = document.getElementById("note"), begin = document.getElementById("begin");
  const articles = () => [...desk.querySelectorAll("article")];
  const leaseOf = (article) => article.dataset.lease;
  const known = new Set(), loadedAt = new Map(), decided = [], queue = [];
  let current = null, shown = null, sending = false;

  const storage = (use, where = "localStorage") => { try { return use(window[where]); } catch { return null; } };

  function say(words, bad = false) {
    note.textContent = words;
    note.classList.toggle("bad", bad);
  }

  function add(action, body) {
    const entry = { action, body, key: `${kept}${Date.now()} ${action} ${body.lease ?? ""}` };
    if (action !== "shown" && action !== "next") storage((all) => all.setItem(entry.key, JSON.stringify({ action, body })));
    queue.push(entry);
    send();
  }

  async function send() {
    if (sending) return;
    sending = true;
    while (queue.length) {
      const one = queue[0];
      if (one.action === "undo") known.delete(one.body.lease);
      const body = new URLSearchParams({ ...one.body, have: [...known].slice(-900).join(",") });
      const answer = await fetch(`${path}/${one.action}${query}`, { method: "POST", headers: { "X-Part": "1" }, body, keepalive: true }).catch(() => null);
      if (answer?.headers.get("HX-Refresh")) return location.reload(); // what is kept is sent by the new page, after signing in where that has ended
      if (!answer || answer.status >= 500 || answer.status === 429) {
        const waiting = queue.filter((entry) => entry.action === "decide").length;
        say(`The handler does not answer. ${waiting ? `${waiting} of your decisions are kept here, and sent again.` : "It is asked again."}`, true);
        sending = false;
        return void setTimeout(send, AGAIN);
      }
      queue.shift();
      storage((all) => all.removeItem(one.key));
      take(await answer.text(), one, answer.ok);
    }
    sending = false;
    if (!current) rest();
  }

  function take(html, one, ok) {
    const page = new DOMParser().parseFromString(html, "text/html"), part = page.getElementById("desk");
    if (!ok) return say(`Not stored: ${page.querySelector("main p")?.textContent ?? "the handler refused it."}`, true);
    if (!part) return;
    if (part.dataset.stale) return location.reload();
    say(part.querySelector("#note").textContent);
    document.getElementById("last").replaceWith(part.querySelector("#last"));
    for (const article of part.querySelectorAll("article")) {
      if (known.has(leaseOf(article))) continue;
      article.hidden = true;
      const again = one.action === "undo" && leaseOf(article) === one.body.lease;
      if (again) desk.insertBefore(article, current ?? articles()[0] ?? null); else desk.append(article); // what it interrupts comes next
      arrived(article);
      if (again) display(article);
    }
    if (!current && articles().length) display(articles()[0]);
  }

  function arrived(article) {
    known.add(leaseOf(article));
    loadedAt.set(leaseOf(article), performance.now());
  }

  function display(article, focus = true) {
    if (current) current.hidden = true;
    current = article;
    begin.hidden = true;
    article.hidden = false;
    if (explained) article.querySelector(".parts")?.setAttribute("open", "");
    if (focus) article.querySelector("h2").focus({ preventScroll: true });
    if (focus) desk.scrollIntoView({ block: "nearest" });
    storage((tab) => tab.setItem(kept, leaseOf(article)), "sessionStorage");
    seen();
  }

  // Only what stands before somebody's eyes counts as shown. What was shown last is open when the page is loaded again.
  function seen() {
    if (!current || document.hidden || shown === leaseOf(current)) return;
    shown = leaseOf(current);
    add("shown", { lease: shown });
  }

  function rest() {
    begin.hidden = false;
    document.getElementById("nothing").hidden = false;
    begin.querySelector("button").textContent = "Look again";
  }

  // The time of a decision is the handler's, and the browser's clock says only how long ago that was.
  function decidedAt(article) {
    const passed = performance.now() - loadedAt.get(leaseOf(article));
    return new Date(Date.parse(article.querySelector("[name=decided_at]").value) + passed).toISOString();
  }

  function leave(action, body) {
    const all = articles(), at = all.indexOf(current), next = all[at + 1] ?? all[at - 1] ?? null, left = current;
    const entry = { lease: leaseOf(left), ...body, decided_at: decidedAt(left) };
    if (action === "decide") decided.push(entry);
    current = null;
    left.remove();
    add(action, entry);
    if (next) display(next);
  }

  function undo() {
    const last = document.getElementById("last"), entry = decided.pop();
    const [lease, decided_at] = entry ? [entry.lease, entry.decided_at] : ["lease", "decided_at"].map((name) => last.elements[name]?.value);
    if (!lease) return say("There is nothing to take back.");
    shown = null;
    add("undo", { lease, decided_at });
  }

  let explained = false; // stays as it is from one report to the next
  function explain() {
    const parts = current?.querySelector(".parts");
    if (!parts) return say("Nobody has computed what this score is made of, or the score is hidden.");
    explained = parts.open = !parts.open;
  }

  function walk(by) {
    const all = articles(), next = all[all.indexOf(current) + by];
    if (current && next) display(next);
  }

  desk.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (event.target.id === "last") undo();
    else if (button?.classList.contains("pass")) leave("skip", {});
    else if (button?.name === "outcome") leave("decide", { outcome: button.value });
    else leave("decide", { value: event.target.elements.value.value });
  });

  const help = document.getElementById("help"), choice = document.getElementById("hotkeys");
  help.querySelector("dl").prepend(...document.getElementById("desk-keys").children);
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (!choice.checked || help.open || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, select, textarea")) return;
    if (Date.now() - going < 1500) return void (going = 0);
    if (event.key === "g") going = Date.now();
    else if (event.key === "u") undo();
    else if (event.key === "e") explain();
    else if (event.key === "j") walk(1);
    else if (event.key === "k") walk(-1);
    else if (event.key === "s" && current) leave("skip", {});
    else if (/^[1-9]$/.test(event.key)) {
      const button = current?.querySelector(`[data-key="${event.key}"]`);
      if (button) leave("decide", { outcome: button.value });
    }
  });

  // Who comes back to a tab sees the report again: its lease begins anew, or has ended.
  document.addEventListener("visibilitychange", () => { shown = null; seen(); });
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());

  // What an earlier page could not send goes first; what it was about is not shown again.
  for (const key of storage((all) => Object.keys(all).filter((one) => one.startsWith(kept)).sort()) ?? []) {
    queue.push({ ...JSON.parse(localStorage.getItem(key)), key });
  }
  const waiting = new Set(queue.filter((one) => one.action !== "undo").map((one) => one.body.lease));
  for (const article of articles()) {
    arrived(article);
    if (waiting.has(leaseOf(article))) article.remove();
  }
  if (articles().length) {
    // This tab knows what it showed, also where the handler has not heard of it yet.
    const before = storage((tab) => tab.getItem(kept), "sessionStorage");
    const again = articles().find((one) => leaseOf(one) === before) ?? articles().find((one) => !one.hidden) ?? articles()[0];
    for (const one of articles()) one.hidden = true;
    display(again, false);
    add("next", {});
  } else if (queue.length) send();
})();
