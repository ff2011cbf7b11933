// Draws dashboards/nerd.json over a running Prometheus and takes the pictures.
//
//   node draw.mjs --packages DIR --chromium PROGRAM --prometheus URL --minutes N --interval SECONDS --out DIR
//        [--mode light] [--dashboard FILE] [--to UNIX-SECONDS]
//
// The page has no server: each of its requests is answered here, those for /api/ by Prometheus.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const ORIGIN = "http://dashboard.localhost";
const WIDTH = 1368;
/** The picture for the README ends with this many rows of the dashboard; the whole of it is a picture of its own. */
const ROWS = 2;

const text = { type: "string" };
const { values: options } = parseArgs({
  options: {
    packages: text, chromium: text, prometheus: text, minutes: text, interval: text, out: text,
    to: { type: "string", default: `${Date.now() / 1000}` },
    mode: { type: "string", default: "dark" },
    dashboard: { type: "string", default: join(HERE, "..", "nerd.json") },
  },
});
const packages = resolve(options.packages, "node_modules");
const required = createRequire(join(packages, "x"));
const esbuild = required("esbuild");
const { chromium } = required("playwright-core");
const png = required("upng-js");

async function bundle() {
  const built = await esbuild.build({
    entryPoints: [join(HERE, "page.jsx")],
    nodePaths: [packages],
    bundle: true,
    write: false,
    outdir: "/",
    // Of the code editor, which no panel has.
    loader: { ".ttf": "empty" },
    format: "iife",
    jsx: "automatic",
    conditions: ["browser"],
    define: { "process.env.NODE_ENV": '"production"', global: "window" },
    logLevel: "error",
  });
  return new Map(built.outputFiles.map((file) => [file.path, Buffer.from(file.contents)]));
}

const FRAME = `<!doctype html>
<meta charset="utf-8"><title>nerd</title><link rel="stylesheet" href="/page.css">
<div id="root"></div><script src="/page.js"></script>`;

async function answer(url, bundled) {
  const { pathname, search } = new URL(url);
  if (pathname === "/") return { contentType: "text/html", body: FRAME };
  if (bundled.has(pathname)) return { contentType: pathname.endsWith(".css") ? "text/css" : "text/javascript", body: bundled.get(pathname) };
  // The components' own typeface, a file for each weight in Grafana's build and one for all of them here.
  if (pathname.startsWith("/public/fonts/inter/")) return { path: join(packages, "inter-ui/variable/InterVariable.woff2") };
  // The components look for their icons where Grafana's build puts them.
  const icon = pathname.match(/^\/public\/build\/img\/(icons\/[\w/-]+\.svg)$/);
  if (icon) return { path: join(packages, "@grafana/ui/dist/public/img", icon[1]), contentType: "image/svg+xml" };
  if (pathname.startsWith("/api/")) {
    const from = await fetch(options.prometheus + pathname + search);
    return { status: from.status, contentType: "application/json", body: await from.text() };
  }
  // What a browser asks for by itself.
  if (pathname === "/favicon.ico") return { status: 204, body: "" };
  return { status: 404, body: `nothing is at ${pathname}` };
}

const profile = mkdtempSync(join(tmpdir(), "dashboard-picture-"));
const arguments_ = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
// Chromium refuses its sandbox to root.
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: options.chromium,
  headless: true,
  chromiumSandbox: process.getuid() !== 0,
  args: arguments_,
  viewport: { width: WIDTH + 32, height: 1000 },
});
try {
  const bundled = await bundle();
  const page = await browser.newPage();
  const complaints = [];
  page.on("response", (response) => response.status() >= 400 && complaints.push(`${response.status()}: ${response.url()}`));
  page.on("pageerror", (error) => complaints.push(error.stack));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.route("**/*", async (route) => {
    const url = route.request().url();
    if (!url.startsWith(ORIGIN)) return route.abort();
    return route.fulfill(await answer(url, bundled));
  });
  const dashboard = JSON.parse(readFileSync(options.dashboard, "utf8"));
  const picture = { dashboard, to: Number(options.to) * 1000, minutes: Number(options.minutes), intervalSeconds: Number(options.interval), width: WIDTH, mode: options.mode };
  await page.addInitScript((given) => { window.picture = given; }, picture);
  await page.goto(`${ORIGIN}/`);
  await page.evaluate(() => window.drawn);
  await page.waitForLoadState("networkidle");
  // A screen as high as the dashboard: nothing waits to be scrolled to.
  const height = await page.evaluate(() => document.getElementById("dashboard").getBoundingClientRect().height);
  await page.setViewportSize({ width: WIDTH + 32, height: Math.ceil(height) });
  await page.waitForTimeout(1000);
  if (complaints.length) throw new Error(complaints.join("\n"));
  const empty = await page.$$eval(".no-data", (all) => all.map((one) => one.closest("[data-panel]").dataset.panel));
  if (empty.length) console.error(`without any series: ${empty.join("; ")}`);
  const end = await page.$$eval(".row", (rows, count) => rows[count].getBoundingClientRect().top, ROWS);
  const shot = async (name, height) => {
    const taken = png.decode(await page.screenshot({ clip: { x: 0, y: 0, width: WIDTH + 32, height } }));
    // By a palette: a third of the bytes, and no difference to be seen.
    writeFileSync(resolve(options.out, name), Buffer.from(png.encode(png.toRGBA8(taken), taken.width, taken.height, 256)));
  };
  await shot("dashboard.png", end);
  await shot("dashboard-whole.png", Math.ceil(height));
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
