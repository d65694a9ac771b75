"use strict";
// Live parts, hotkeys, uploads with progress. Every page works without this file.
(() => {
  const POLL = 5000; // milliseconds between two looks where no stream can be had

  // One stream a tab; a hidden tab has none. Where the stream fails, the part is fetched instead.
  const part = document.querySelector("[data-live]");
  let stream = null, timer = null, shown = part && part.innerHTML;

  // What is shown may be old: say so above it, until something comes again.
  const notice = document.createElement("p");
  notice.className = "alerts late";
  notice.setAttribute("role", "status");

  function late(is) {
    if (is && !notice.textContent) notice.textContent = `Not up to date since ${new Date().toISOString().slice(11, 19)} UTC: the platform or its database does not answer. This page asks again.`;
    if (!is) notice.textContent = "";
  }

  function show(html) {
    late(false);
    if (html === shown) return;
    shown = html;
    const focused = document.activeElement && part.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...part.querySelectorAll("details[open][id]")].map((one) => one.id);
    part.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus();
  }

  function stop() {
    stream?.close();
    clearTimeout(timer);
    stream = timer = null;
  }

  async function poll() {
    try {
      const answer = await fetch(part.dataset.live, { headers: { "X-Part": "1" } });
      if (answer.headers.get("HX-Refresh")) return location.reload();
      if (answer.ok) show(await answer.text());
      else late(true);
    } catch { late(true); }
    timer = setTimeout(poll, POLL);
  }

  function begin() {
    stop();
    if (!window.EventSource) return void poll();
    stream = new EventSource(part.dataset.live);
    stream.onmessage = (event) => show(JSON.parse(event.data));
    stream.addEventListener("ended", stop);
    stream.addEventListener("signed-out", () => location.reload());
    stream.addEventListener("late", () => late(true));
    stream.addEventListener("refused", () => { stop(); late(true); });
    stream.onerror = () => {
      if (stream?.readyState === EventSource.CLOSED) { stop(); poll(); }
      else late(true); // and the browser tries again
    };
  }

  if (part) {
    part.before(notice);
    document.addEventListener("visibilitychange", () => (document.hidden ? stop() : begin()));
    window.addEventListener("pagehide", stop);
    if (!document.hidden) begin();
  }

  // htmx asks for a part of a page; where the answer is an error, the whole page tells of it.
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.requestConfig.verb === "get") location.assign(event.detail.pathInfo.responsePath || event.detail.pathInfo.finalRequestPath);
  });

  // Hotkeys, which the help can turn off (WCAG 2.1.4).
  const help = document.getElementById("help"), choice = document.getElementById("hotkeys");
  const opener = document.querySelector("[data-help]");
  const stored = () => { try { return localStorage.getItem("hotkeys"); } catch { return null; } };
  opener.hidden = false;
  opener.addEventListener("click", () => help.showModal());
  choice.checked = stored() !== "off";
  choice.addEventListener("change", () => { try { localStorage.setItem("hotkeys", choice.checked ? "on" : "off"); } catch { /* for this page only */ } });

  const typing = (target) => target.closest?.("input, select, textarea, [contenteditable]");
  let going = 0;

  function step(by) {
    const links = [...document.querySelectorAll("table.rows tbody th a")];
    const at = links.indexOf(document.activeElement);
    links[Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
  }

  document.addEventListener("keydown", (event) => {
    if (!choice.checked || help.open || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (Date.now() - going < 1500) {
      going = 0;
      const link = document.querySelector(`[data-hotkey="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); location.assign(link.href); }
      return;
    }
    if (event.key === "g") going = Date.now();
    else if (event.key === "?") help.showModal();
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/") {
      event.preventDefault();
      document.querySelector("main input:not([type=hidden]), main select, main textarea")?.focus();
    }
  });

  // A file of any size goes as it is, with its progress.
  const TYPES = { csv: "text/csv", tsv: "text/tab-separated-values", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson" };
  const form = document.querySelector("form[data-upload]");

  function send(file) {
    const bar = form.querySelector("progress"), problem = form.querySelector(".problem");
    const type = TYPES[file.name.split(".").pop().toLowerCase()];
    problem.textContent = type ? "" : `${file.name} is no .csv, .tsv, .ndjson or .jsonl file.`;
    if (!type) return;
    const request = new XMLHttpRequest();
    request.open("POST", form.dataset.upload);
    request.setRequestHeader("Content-Type", type);
    request.setRequestHeader("X-Part", "1");
    request.upload.onprogress = (event) => { bar.hidden = false; if (event.lengthComputable) bar.value = event.loaded / event.total; };
    request.onload = () => {
      if (request.getResponseHeader("HX-Refresh")) return location.reload();
      if (request.status === 200) return location.assign(request.responseText);
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      problem.textContent = page.querySelector("main p")?.textContent || `The file was refused (${request.status}).`;
      bar.hidden = true;
    };
    request.onerror = () => { problem.textContent = "The connection was lost; send the file again."; bar.hidden = true; };
    request.send(file);
  }

  if (form) {
    form.addEventListener("submit", (event) => { event.preventDefault(); send(form.querySelector("input").files[0]); });
    form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
    form.addEventListener("dragleave", () => form.classList.remove("over"));
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      form.classList.remove("over");
      if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
    });
  }

  if (navigator.clipboard) {
    for (const code of document.querySelectorAll("pre.copied")) {
      const button = document.createElement("button");
      button.type = "button"; button.className = "copy"; button.textContent = "Copy";
      button.addEventListener("click", async () => { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; });
      code.previousElementSibling.append(button);
    }
  }
})();
