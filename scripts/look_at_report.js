// The browser's half of scripts/look_at_report. Environment: BROWSER, PAGE, PICTURE and KEEP (may be empty).
const { chromium } = require("playwright-core");
const fs = require("fs");
const path = require("path");

const flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"];
const problems = [];
const address = "file://" + process.env.PAGE;

// Runs in the page: what a reader would trip over.
function faults() {
  const out = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) out.push(`scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}`);
  const visible = (e) => e.getClientRects().length > 0;
  const plots = [...document.querySelectorAll("main svg:not([aria-hidden])")].filter(visible);
  if (plots.length < 8) out.push(`only ${plots.length} plots`);
  for (const plot of plots) {
    const name = plot.getAttribute("aria-label") || "";
    if (plot.getAttribute("role") !== "img" || name.length < 20) out.push("a plot without a description");
    const frame = plot.getBoundingClientRect();
    const texts = [...plot.querySelectorAll("text")].map((t) => ({ text: t.textContent, box: t.getBoundingClientRect() }));
    for (const { text, box } of texts) {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 2 || box.bottom > frame.bottom + 2)
        out.push(`"${text}" leaves its plot "${name.slice(0, 40)}"`);
    }
    for (let i = 0; i < texts.length; ++i) {
      for (let j = i + 1; j < texts.length; ++j) {
        const a = texts[i].box, b = texts[j].box;
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 3) out.push(`"${texts[i].text}" lies on "${texts[j].text}"`);
      }
    }
  }
  const words = document.body.innerText;
  for (const bad of [/\bnan\b/i, /\bundefined\b/, /\binf(inity)?\b/i]) {
    if (bad.test(words)) out.push(`the page says ${bad}`);
  }
  if (document.scripts.length) out.push("there is a script");
  return out;
}

function markInSight() {
  const mark = document.querySelector(".mark");
  if (!mark || mark.textContent !== "SIMULATED") return false;
  const box = mark.getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth;
}

async function look(browser, width, scheme) {
  const name = `${width}-${scheme}`;
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  const fault = (text) => problems.push(`${name}: ${text}`);
  const requests = [];
  page.on("console", (m) => fault(`console: ${m.text()}`));
  page.on("pageerror", (e) => fault(`error: ${e.message}`));
  page.on("request", (r) => requests.push(r.url()));
  await page.goto(address);
  for (const text of await page.evaluate(faults)) fault(text);
  if (!(await page.evaluate(markInSight))) fault("no SIMULATED mark at the top");
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  if (!(await page.evaluate(markInSight))) fault("no SIMULATED mark at the end");
  await page.evaluate(() => scrollTo(0, 0));
  if (process.env.KEEP) await page.screenshot({ path: path.join(process.env.KEEP, name + ".png"), fullPage: true });
  // By keyboard: the first stop is a figure, Enter shows where it comes from.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const shown = await page.evaluate(() => document.activeElement.closest("details[open]")?.innerText ?? "");
  if (!shown.includes("perjoule explain line")) fault("the first figure does not open by keyboard");
  await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = true)));
  for (const text of await page.evaluate(faults)) fault("all opened: " + text);
  const foreign = requests.filter((url) => url !== address && !url.startsWith("data:"));
  for (const url of foreign) fault(`requested ${url}`);
  console.log(`${name.padEnd(12)}${requests.length} document loaded, ${foreign.length} requests`);
  await context.close();
}

async function takePicture(browser, file) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 935 }, deviceScaleFactor: 1.5, colorScheme: "light" });
  const page = await context.newPage();
  await page.goto(address);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  await page.screenshot({ path: file });
  const size = fs.statSync(file).size;
  console.log(`picture     ${size} bytes`);
  if (size > 300 * 1024) problems.push(`the picture has ${size} bytes, over 300 KiB`);
  await context.close();
}

(async () => {
  const browser = await chromium.launch({ executablePath: process.env.BROWSER, args: flags });
  for (const width of [1280, 390]) {
    for (const scheme of ["light", "dark"]) await look(browser, width, scheme);
  }
  if (process.env.PICTURE) await takePicture(browser, process.env.PICTURE);
  await browser.close();
  for (const text of problems) console.log("PROBLEM     " + text);
  console.log(problems.length ? `${problems.length} problems` : "all well");
  process.exit(problems.length ? 1 : 0);
})();
