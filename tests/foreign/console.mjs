// The console in Chromium: `node console.mjs URL CHROMIUM FOLDER TASK IMAGE [KEY]` uses every page and prints what is wrong.
// CHROMIUM is the browser's program; screenshots go to FOLDER; TASK is the id of a task that has succeeded, IMAGE of one with an image.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [url, executablePath, folder, task, image, key] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const REPORT = "abuse_type,report_text_len,profile_rating,popularity,lifetime_matches_created\nMSG,120,4.2,3,57\nPRF,1,1,9,1\n";
const file = { name: "reports.csv", mimeType: "text/csv", buffer: Buffer.from(REPORT) };
const PAGES = {
  now: "/", tasks: "/console/tasks", task: `/console/task/${task}`, images: `/console/task/${image}`, models: "/console/models", model: "/console/models/report_scorer",
  try: "/console/try/report_scorer", image: "/console/try/image_classifier", workers: "/console/workers", keys: "/console/keys",
  triage: "/console/triage/report_scorer", lead: "/console/triage/report_scorer/lead", error: "/console/task/0",
};
const wrong = [];
const note = (where, what) => wrong.push(`${where}: ${what}`);
const expect = (where, fact) => fact || note(where, "is not so");

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function visit(options, use) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.on("console", (said) => /Content Security Policy|Uncaught/.test(said.text()) && note(page.url(), said.text()));
  page.on("pageerror", (error) => note(page.url(), error.message));
  page.on("dialog", (dialog) => { note(page.url(), `a stored text ran: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => request.url().startsWith(url) || note(page.url(), `asks another host: ${request.url()}`));
  await page.goto(url);
  if (key) {
    await page.fill("#key", key);
    await Promise.all([page.waitForURL((to) => !to.pathname.includes("login")), page.keyboard.press("Enter")]);
  }
  try { await use(page); } catch (error) { note(page.url(), error.message); }
  await context.close();
}

const accessible = async (page, where) => {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  for (const one of found.violations) note(where, `axe ${one.id}: ${one.help}: ${one.nodes[0].html.slice(0, 160)}`);
};

for (const scheme of ["light", "dark"])
  await visit({ colorScheme: scheme }, async (page) => {
    for (const [name, path] of Object.entries(PAGES)) {
      await page.goto(url + path);
      if (name === "now") await page.waitForTimeout(2500);
      await accessible(page, `${name} ${scheme}`);
      if (name === "images") {
        const drawn = () => [...document.querySelectorAll(".thumb img")].some((one) => one.complete && one.naturalWidth > 0);
        expect("an image is drawn", await page.waitForFunction(drawn, null, { timeout: 5000 }).catch(() => false));
      }
      await page.screenshot({ path: `${folder}/${name}-${scheme}.png` });
    }
    await page.goto(`${url}/console/try/report_scorer`);
    await page.fill("[name=popularity]", "9");
    await Promise.all([page.waitForNavigation(), page.click("text=Score it")]);
    await accessible(page, `refused ${scheme}`);
    await page.fill("[name=popularity]", "3");
    await Promise.all([page.waitForNavigation(), page.click("text=Score it")]);
    await accessible(page, `scored ${scheme}`);
    await page.screenshot({ path: `${folder}/scored-${scheme}.png` });
  });

// The triage desk: by keyboard, with what comes next loaded ahead, and no decision lost with the connection.
async function atDesk(page, name) {
  await page.goto(`${url}/console/triage/report_scorer`);
  if (await page.locator("#reviewer").count()) {
    await page.fill("#reviewer", name);
    await Promise.all([page.waitForURL("**/triage/report_scorer"), page.click("text=Go to the desk")]);
  }
  if (!(await page.locator("article:visible").count())) await page.click("text=Start reviewing");
  await page.waitForSelector("article:visible");
}
const open = (page) => page.locator("article:visible").getAttribute("data-lease");
const stored = (page, words) => page.waitForSelector(`#last:has-text("${words}")`, { timeout: 10000 });

for (const colorScheme of ["light", "dark"])
  await visit({ colorScheme }, async (page) => {
    await atDesk(page, `browser-${colorScheme}`);
    await page.waitForFunction(() => document.querySelectorAll("article").length >= 3);
    await accessible(page, `desk ${colorScheme}`);
    await page.screenshot({ path: `${folder}/desk-${colorScheme}.png` });
    while (!(await page.locator("article:visible .score strong").count())) await page.keyboard.press("j"); // not a blind one
    await page.keyboard.press("e");
    expect("e shows what the score is made of", await page.locator("article:visible .parts[open] td").first().isVisible());
    await accessible(page, `explained ${colorScheme}`);
    await page.screenshot({ path: `${folder}/explained-${colorScheme}.png` });
    const first = await open(page);
    await page.keyboard.press("1");
    const second = await open(page);
    expect("a decision leads to the next one at once", second && second !== first);
    await stored(page, "abuse");
    await page.keyboard.press("j");
    expect("j leads on", (await open(page)) !== second);
    const third = await open(page);
    await page.reload();
    expect("a reload shows the one that was led to", (await open(page)) === third);
    await page.route("**/shown?*", () => {}); // the handler never hears of it
    await page.route("**/shown", () => {});
    await page.keyboard.press("k");
    await page.reload();
    expect("a reload shows the same one though the handler has not heard of it", (await open(page)) === second);
    await page.unroute("**/shown?*");
    await page.unroute("**/shown");
    await page.reload();
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    expect("k leads back", (await open(page)) === second);
    await page.keyboard.press("u");
    await page.waitForSelector(`article[data-lease="${first}"]:visible`);
    await page.keyboard.press("3");
    await stored(page, "unclear");
    await page.reload();
    expect("a reload shows the same one", (await open(page)) === second);
    await page.context().setOffline(true);
    await page.keyboard.press("2");
    await page.waitForSelector("#note.bad:has-text('kept here')");
    await page.context().setOffline(false);
    await stored(page, "not abuse");
    await page.keyboard.press("?");
    expect("the help has the desk's keys", (await page.textContent("#help")).includes("take the last decision back"));
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 320, height: 700 });
    await accessible(page, `desk ${colorScheme} at 320 px`);
    expect("the desk fits a phone", (await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)) <= 0);
    await page.screenshot({ path: `${folder}/desk-${colorScheme}-phone.png`, fullPage: true });
    await page.keyboard.press("s");
    for (const width of [1280, 320]) {
      await page.setViewportSize({ width, height: 800 });
      await page.goto(`${url}/console/triage/report_scorer/list`);
      await accessible(page, `list ${colorScheme} at ${width} px`);
      expect("the list fits", (await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)) <= 0);
      expect("the list has reports", (await page.locator("tbody tr").count()) > 1);
      await page.screenshot({ path: `${folder}/list-${colorScheme}-${width}.png` });
    }
  });

// One decision a second: how long the next report takes to stand before the reviewer, in ms, is printed.
await visit({}, async (page) => {
  await atDesk(page, "browser-fast");
  const took = [];
  for (let n = 0; n < 20 && (await page.locator("article:visible").count()); n++) {
    await page.waitForTimeout(1000);
    took.push(await page.evaluate((key) => new Promise((done) => {
      const began = performance.now(), before = document.querySelector("article:not([hidden])");
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const look = () => document.querySelector("article:not([hidden]):not([data-lease='" + before.dataset.lease + "'])")
        || !document.getElementById("begin").hidden ? done(performance.now() - began) : requestAnimationFrame(look);
      requestAnimationFrame(look);
    }), String(1 + (n % 3))));
  }
  took.sort((a, b) => a - b);
  console.log(JSON.stringify({ took: took.map(Math.round) }));
});

await visit({ javaScriptEnabled: false }, async (page) => {
  await atDesk(page, "browser-plain");
  const first = await open(page);
  await page.click("article:visible button[value=not_abuse]");
  await stored(page, "not abuse");
  expect("a decision leads on without script", (await open(page)) !== first);
  await page.click("text=Undo");
  await page.waitForSelector(`article[data-lease="${first}"]:visible`);
  await page.click("article:visible .pass");
});

// 320 px, and 200 % of 1280 px: nothing is cut off, and no page scrolls sideways.
for (const width of [320, 640])
  await visit({ viewport: { width, height: 700 }, deviceScaleFactor: 2 }, async (page) => {
    for (const [name, path] of Object.entries(PAGES)) {
      await page.goto(url + path);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (over > 0) note(`${name} at ${width} px`, `is ${over} px too wide`);
      if (width === 320) {
        await accessible(page, `${name} at 320 px`);
        if (["now", "task"].includes(name)) await page.screenshot({ path: `${folder}/${name}-phone.png` });
      }
    }
  });

// By keyboard alone: skip link, hotkeys, rows, help.
await visit({}, async (page) => {
  await page.goto(`${url}/`);
  await page.keyboard.press("Tab");
  expect("the skip link is the first", (await page.evaluate(() => document.activeElement.className)) === "skip");
  await page.keyboard.press("Enter");
  expect("it leads to the content", (await page.evaluate(() => document.activeElement.id)) === "main");
  await page.keyboard.press("g");
  await Promise.all([page.waitForURL("**/console/tasks"), page.keyboard.press("t")]);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await Promise.all([page.waitForURL("**/console/task/*"), page.keyboard.press("Enter")]);
  await page.keyboard.press("?");
  expect("? opens the help", await page.evaluate(() => document.getElementById("help").open));
  await page.uncheck("#hotkeys");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  expect("hotkeys can be turned off", !(await page.evaluate(() => document.getElementById("help").open)));
});

// Filters without a reload, and a file that is dropped: its page follows it to the end.
await visit({ acceptDownloads: true }, async (page) => {
  await page.goto(`${url}/console/tasks`);
  await page.evaluate(() => { window.kept = true; });
  await page.selectOption("[name=status]", "REVOKED");
  await page.waitForURL("**status=REVOKED**");
  expect("a filter loads a part only", await page.evaluate(() => window.kept));
  await page.goto(`${url}/console/try/report_scorer`);
  await page.setInputFiles("#file", file);
  await Promise.all([page.waitForURL("**/console/job/*"), page.click("text=Score the file")]);
  await page.waitForSelector("text=Download scored CSV", { timeout: 30000 });
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("text=Download scored CSV")]);
  const scored = readFileSync(await download.path(), "utf8").trim().split("\n");
  expect("the scored file has the valid row", scored.length === 2 && scored[0].startsWith("row,"));
  await page.goto(`${url}/console/try/report_scorer`);
  await page.setInputFiles("#file", { ...file, name: "reports.exe" });
  await page.click("text=Score the file");
  await page.waitForSelector("text=is no .csv");
});

// One stream a tab, none while it is hidden; where there is no stream, the part is fetched.
await visit({}, async (page) => {
  await page.addInitScript(() => {
    window.streams = [];
    const Own = window.EventSource;
    window.EventSource = class extends Own { constructor(...given) { super(...given); window.streams.push(this); } };
    window.hide = (hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
      return window.streams.filter((one) => one.readyState !== 2).length;
    };
  });
  await page.goto(`${url}/`);
  await page.waitForFunction(() => window.streams.length === 1 && window.streams[0].readyState === 1);
  expect("a hidden tab has no stream", (await page.evaluate(() => window.hide(true))) === 0);
  expect("a tab that is back has one", (await page.evaluate(() => window.hide(false))) === 1);
  const polled = page.waitForRequest((request) => request.headers()["x-part"] === "1");
  await page.route("**/console/live/now", (route) =>
    route.request().headers()["accept"].includes("event-stream") ? route.fulfill({ status: 503 }) : route.continue());
  await page.reload();
  await polled;
});

// Without script: a score, a file, a filter.
await visit({ javaScriptEnabled: false }, async (page) => {
  await page.goto(`${url}/console/try/report_scorer`);
  await page.click("text=Score it");
  await page.waitForSelector(".outputs dd");
  await page.setInputFiles("#file", file);
  await page.click("text=Score the file");
  await page.waitForURL("**/console/job/*");
  for (let tries = 0; tries < 60 && !(await page.locator("text=Download scored CSV").count()); tries++) {
    await page.waitForTimeout(500);
    await page.reload();
  }
  expect("a file is scored without script", await page.locator("text=Download scored CSV").count());
  await page.goto(`${url}/console/tasks`);
  await page.selectOption("[name=status]", "SUCCESS");
  await page.click("text=Show");
  await page.waitForURL("**status=SUCCESS**");
});

await browser.close();
console.log(JSON.stringify({ wrong }));
