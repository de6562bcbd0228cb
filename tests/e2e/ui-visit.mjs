// A visit to the page of `warren ui` by a real browser. A program of its own for Node, because it has to run where the page
// is: inside the test's network namespace. Arguments: the page's address, a folder for pictures. It prints a line "ready"
// when the next call is to be made, and at the end what it has seen as one line of JSON.
import { join } from "node:path";
import { chromium } from "playwright-core";

const [url, folder, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, colorScheme: "light" });
  const page = await context.newPage();
  const problems = [];
  const addresses = new Set();
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => addresses.add(new URL(request.url()).origin));
  const rows = (id) =>
    page.locator(`#${id} tbody tr`).evaluateAll((all) => all.map((row) => row.innerText.split("\t")));
  const shade = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);

  await page.goto(url);
  const address = page.url();
  await page.waitForFunction(() => document.getElementById("live").textContent === "live");
  await page.waitForFunction(() => document.querySelector("#map img").naturalWidth > 0);
  const before = {
    networks: await rows("networks"),
    pools: await rows("pools"),
    calls: (await rows("calls")).length,
  };
  const cells = await page
    .locator("#pools svg[role=img]")
    .first()
    .locator("rect[class]:not(pattern rect) title")
    .allTextContents();

  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  // the browser goes there by and by, and tells of it later still
  const skipped = await (await page.waitForFunction(() => location.hash)).jsonValue();
  const reached = new Set();
  for (let presses = 0; presses < 30; presses++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement?.closest("section")?.id ?? ""));
  }
  await page.evaluate(() => document.activeElement?.blur());

  await page.screenshot({ path: join(folder, "ui-light.png"), fullPage: true });
  const light = await shade();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(folder, "ui-dark.png"), fullPage: true });
  const dark = await shade();

  process.stdout.write("ready\n");
  await page.waitForFunction(
    (old) => document.querySelectorAll("#calls tbody tr").length > old,
    before.calls,
  );
  await page.waitForFunction(
    (old) => document.querySelector("#networks tbody tr").innerText !== old,
    before.networks[0].join("\t"),
  );
  const after = { networks: await rows("networks"), call: (await rows("calls"))[0] };

  const plain = await browser.newContext({ javaScriptEnabled: false });
  const still = await plain.newPage();
  await still.goto(url);
  const withoutScript = {
    tables: await still.locator("table").count(),
    live: await still.locator("#live").textContent(),
    refresh:
      (await still.locator("noscript meta[http-equiv=refresh]").count()) +
      (await still.content()).split('http-equiv="refresh"').length -
      1,
  };
  process.stdout.write(
    JSON.stringify({
      address,
      problems,
      addresses: [...addresses],
      before,
      after,
      cells,
      skipped,
      reached: [...reached],
      light,
      dark,
      withoutScript,
    }),
  );
} finally {
  await browser.close();
}
