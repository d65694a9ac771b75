// The pictures of the README: `node pictures.mjs URL CHROMIUM FOLDER TASK` leaves console.png, task.png and desk.png.
import { chromium } from "playwright-core";

const [url, executablePath, folder, task] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
page.setDefaultTimeout(30000);
const picture = (name) => page.screenshot({ path: `${folder}/${name}.png`, animations: "disabled" });

await page.goto(`${url}/console/task/${task}`);
await picture("task");

await page.goto(`${url}/console/triage/report_scorer`);
await page.fill("#reviewer", "ada");
await Promise.all([page.waitForURL("**/triage/report_scorer"), page.click("text=Go to the desk")]);
await page.click("text=Start reviewing");
await page.waitForSelector("article:visible");
await page.waitForFunction(() => document.querySelectorAll("article").length >= 3);
for (let n = 0; n < 5 && !(await page.locator("article:visible .score strong").count()); n++) await page.keyboard.press("j"); // not a blind one
await page.keyboard.press("e");
await page.waitForSelector("article:visible .parts[open] td");
await picture("desk");

await page.setViewportSize({ width: 1280, height: 840 });
await page.goto(url);
await page.waitForTimeout(30000); // of live updates
await picture("console");
await browser.close();
