"use strict";
// Draws what the stream tells. Whatever comes from outside becomes text, never markup.

const KEPT = { seconds: 300, minutes: 1440 };
const SILENT_AFTER = 8000;
const at = (id) => document.getElementById(id);
const course = { seconds: [], minutes: [] };
const busy = new Map();
let latest = null;
let articles = null;
let range = "seconds";
let paused = false;
let lastSeen = null;
let source = null;
let asking = null;

function made(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key === "text") element.textContent = value;
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Draws again only what has changed: focus, selection and a reader's place stay.
function redraw(element, told, draw) {
  const key = JSON.stringify(told);
  if (element.dataset.told === key) return;
  element.dataset.told = key;
  element.replaceChildren(...draw(told));
}

const number = (value) => Math.round(value).toLocaleString("en");
const megabytes = (bytes) => `${number(bytes / 1e6)} MB`;
const clock = (milliseconds) => new Date(milliseconds).toLocaleTimeString("en-GB");
const moment = (milliseconds) => {
  const then = new Date(milliseconds);
  const day = Date.now() - milliseconds > 43200000 ? `${then.toISOString().slice(0, 10)} ` : "";
  return made("time", { datetime: then.toISOString(), text: day + clock(milliseconds) });
};

function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const STANDING = { kept: "✓ kept", look: "! worth a look", broken: "✗ broken", open: "… nothing to judge yet" };

function drawPromise(lines) {
  return lines.map((line) => made("li", {},
    made("h3", { text: line.promise }),
    made("p", { class: "figure", text: line.figure }),
    made("p", { class: "said", text: line.said }),
    made("p", { class: "badge", "data-standing": line.standing, text: STANDING[line.standing] })));
}

function drawing(name, properties) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
  return element;
}

// A line over time from the ground up; `level` is a dashed line.
function chart(svg, points, value, level) {
  const [width, height] = [600, 150];
  const top = Math.max(level || 0, ...points.map(value), 1e-9) * 1.15;
  const y = (v) => (height - 1 - (v / top) * (height - 4)).toFixed(1);
  const parts = [drawing("line", { class: "ground", x1: 0, x2: width, y1: height - 1, y2: height - 1 })];
  if (points.length > 1) {
    const [first, last] = [points[0][0], points[points.length - 1][0]];
    const x = (t) => (((t - first) / Math.max(last - first, 1)) * width).toFixed(1);
    const line = points.map((point) => `${x(point[0])},${y(value(point))}`).join("L");
    parts.push(drawing("path", { class: "area", d: `M0,${height - 1}L${line}L${width},${height - 1}Z` }));
    parts.push(drawing("path", { class: "line", d: `M${line}` }));
  }
  if (level) parts.push(drawing("line", { class: "baseline", x1: 0, x2: width, y1: y(level), y2: y(level) }));
  svg.replaceChildren(...parts);
}

function drawCourse() {
  const points = course[range];
  const { resident, baseline, limit } = latest.memory;
  const over = range === "seconds" ? "the last 5 minutes" : "the last 24 hours";
  chart(at("memory-chart"), points, (point) => point[1], baseline);
  chart(at("words-chart"), points, (point) => point[2], 0);
  const all = points.map((point) => point[1]);
  const between = all.length ? `, ${megabytes(Math.min(...all))} to ${megabytes(Math.max(...all))} in ${over}` : "";
  const measured = baseline ? `; dashed: ${megabytes(baseline)} when every worker was warm` : "";
  const limited = limit ? `; limit ${megabytes(limit)}` : "";
  say(at("memory-said"), `${megabytes(resident)} now${between}${measured}${limited}`);
  const pace = points.map((point) => point[2]);
  const mean = pace.length ? pace.reduce((sum, one) => sum + one, 0) / pace.length : 0;
  const most = pace.length ? Math.max(...pace) : 0;
  const now = pace.length ? pace[pace.length - 1] : 0;
  say(at("words-said"), `${number(now)} now, ${number(mean)} on average and ${number(most)} at most in ${over}; ${number(latest.totals.words)} since the start`);
  const from = points.length > 1 ? `${span((points[points.length - 1][0] - points[0][0]) / 1000)} ago` : "";
  for (const element of document.querySelectorAll(".axis .from")) say(element, from);
}

const DOING = {
  busy: (worker) => `reads ${worker.articles} ${worker.articles === 1 ? "article" : "articles"} for ${span(worker.seconds)}`,
  ready: (worker) => `waits for work for ${span(worker.seconds)}`,
  loading: (worker) => `builds its engine for ${span(worker.seconds)}`,
  backoff: (worker) => `failed ${span(worker.seconds)} ago, pauses before its engine is built anew`,
};

function drawWorkers() {
  const list = at("workers");
  while (list.children.length > latest.workers.length) list.lastChild.remove();
  latest.workers.forEach((worker, index) => {
    let tile = list.children[index];
    if (!tile) {
      tile = made("li", {}, made("h3", {}, `Worker ${worker.number}`, made("span")), made("div", { class: "bar", "aria-hidden": "true" }, made("i")), made("p"), made("p"));
      list.append(tile);
    }
    // How much of the last half minute it was at work.
    const past = busy.get(index) || [];
    if (past.length && past[past.length - 1][1] > worker.busy_seconds) past.length = 0;
    past.push([latest.at, worker.busy_seconds]);
    while (past.length > 30) past.shift();
    busy.set(index, past);
    const elapsed = (latest.at - past[0][0]) / 1000;
    const share = elapsed > 0 ? Math.min((worker.busy_seconds - past[0][1]) / elapsed, 1) : 0;
    tile.dataset.state = worker.state;
    const [doing, done] = tile.querySelectorAll("p");
    say(tile.querySelector("h3 span"), worker.state);
    tile.querySelector("i").style.width = `${Math.round(share * 100)}%`;
    say(doing, DOING[worker.state](worker));
    say(done, `at work ${Math.round(share * 100)} % of ${span(Math.max(elapsed, 1))}; ${number(worker.done)} articles in ${number(worker.calls)} calls`);
  });
}

function drawQueue() {
  const { queue } = latest.totals;
  const about = queue.estimated ? "about " : "";
  const commit = queue.last_commit ? `${span(Math.max(latest.at / 1000 - queue.last_commit, 0))} ago` : "none yet";
  redraw(at("queue"), [
    ["Pending", about + number(queue.pending)],
    ["Leased", number(queue.leased)],
    ["In this process", number(queue.in_flight)],
    ["Quarantined", number(queue.quarantined)],
    ["Oldest pending", queue.pending ? span(queue.oldest_age_seconds) : "none"],
    ["Last commit", commit],
    ["Entities found", number(latest.totals.entities)],
    ["Known texts", number(latest.totals.known_texts)],
    ["Database errors", number(latest.totals.database_errors)],
  ], (lines) => lines.map(([name, value]) => made("div", {}, made("dt", { text: name }), made("dd", { text: value }))));
}

function drawStages() {
  const all = latest.stages.reduce((sum, stage) => sum + stage.seconds, 0);
  const rows = latest.stages.map((stage) => [
    stage.stage,
    number(stage.recent_batches),
    stage.recent_batches ? span(stage.recent_seconds / stage.recent_batches) : "none",
    all > 0 ? `${((stage.seconds / all) * 100).toFixed(1)} %` : "none",
  ]);
  redraw(at("stages"), rows, (told) => told.map(([name, ...cells]) =>
    made("tr", {}, made("th", { scope: "row", text: name }), ...cells.map((cell) => made("td", { text: cell })))));
}

function drawErrors(errors) {
  if (!errors.length) return [made("li", { text: "None since the start." })];
  return errors.map((error) => {
    const about = made("span", { class: "about" }, moment(error.at), ` · ${error.kind}${error.article ? ` ${error.article}` : ""}`);
    if (error.times > 1) about.append(` · ${number(error.times)} times`);
    return made("li", {}, about, error.message);
  });
}

function drawQuarantine(all) {
  if (!all.length) return [made("li", { text: "Empty." })];
  return all.map((one) => made("li", {},
    made("strong", { text: one.article }),
    made("span", { class: "about", text: `${one.source} · ${one.attempts} failed attempts, ${one.crashes} crashes · since ${one.since}` }),
    one.error || "no reason is on record"));
}

function drawArticles() {
  if (!latest || !articles) return;
  say(at("articles-note"), articles.recent.length === 0 ? "None yet." : latest.shows_text ? "" : "Texts and names are not kept here. Where they may be seen, http.show_text = true shows them.");
  redraw(at("articles"), articles.recent, (recent) => recent.map((article) => {
    const found = Object.entries(article.found).map(([label, times]) => made("span", { text: `${label} ${times}` }));
    const item = made("li", {},
      made("h3", { text: article.article }),
      made("p", { class: "about" }, `${article.source} · ${number(article.words)} words · `, moment(article.at)),
      made("p", { class: "found" }, ...(found.length ? found : [made("span", { text: "no entities" })])));
    if (article.pieces) {
      const pieces = article.pieces.map((piece) => piece.label ? made("mark", {}, piece.text, made("small", { text: piece.label })) : piece.text);
      item.append(made("p", { class: "text", tabindex: "0", role: "group", "aria-label": `text of ${article.article}` }, ...pieces, article.cut ? " …" : ""));
    }
    return item;
  }));
}

function drawState() {
  const { readiness, frozen } = latest;
  const [standing, text] = frozen.length ? ["broken", `Frozen: ${frozen.join(", ")}`]
    : readiness.draining ? ["look", "Draining: no more claims, what is at work may end"]
    : !readiness.ready ? ["look", `Not ready: ${readiness.reasons.join("; ")}`]
    : readiness.memory ? ["look", readiness.memory]
    : ["kept", "At work"];
  state(standing, text);
  const { process } = latest;
  say(at("which"), `${process.version} · ${process.host} · ${process.command} · model ${readiness.model || "not loaded yet"} · process ${readiness.pid}, up ${span((latest.at - process.started) / 1000)}`);
}

function state(standing, text) {
  const element = at("state");
  element.dataset.standing = standing;
  say(element, text);
  document.title = `nerd: ${text.split(":")[0].toLowerCase()}`;
}

function draw() {
  if (paused || !latest) return;
  drawState();
  redraw(at("promise"), latest.promise, drawPromise);
  drawCourse();
  drawWorkers();
  drawQueue();
  drawStages();
  redraw(at("errors"), latest.errors, drawErrors);
  redraw(at("quarantine"), latest.quarantine, drawQuarantine);
  drawArticles();
}

function append(points, point, most) {
  if (!point || (points.length && points[points.length - 1][0] >= point[0])) return;
  points.push(point);
  while (points.length > most) points.shift();
}

function seen() {
  lastSeen = Date.now();
  delete document.body.dataset.lost;
}

function told(next) {
  seen();
  latest = next;
  append(course.seconds, next.second, KEPT.seconds);
  append(course.minutes, next.minute, KEPT.minutes);
  draw();
}

function lost() {
  if (document.body.dataset.lost) return;
  document.body.dataset.lost = "lost";
  state("broken", lastSeen ? `Reconnecting: last seen ${clock(lastSeen)}` : "Reconnecting: nothing seen yet");
}

function takeCourse(next) {
  course.seconds = next.seconds;
  course.minutes = next.minutes;
}

// Where the stream is refused (others watch already), the same is asked for now and then.
async function ask() {
  asking = null;
  try {
    const answer = await fetch("/status.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const whole = await answer.json();
    takeCourse(whole.course);
    articles = whole.articles;
    told(whole);
  } catch {
    lost();
  }
  watch();
}

function watch() {
  if (source) source.close();
  source = new EventSource("/events");
  source.addEventListener("course", (event) => { seen(); takeCourse(JSON.parse(event.data)); });
  source.addEventListener("status", (event) => told(JSON.parse(event.data)));
  source.addEventListener("articles", (event) => { articles = JSON.parse(event.data); if (!paused) drawArticles(); });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      if (!asking) asking = setTimeout(ask, lastSeen ? 5000 : 500);
      if (lastSeen === null || Date.now() - lastSeen > SILENT_AFTER) lost();
    } else if (!(latest && latest.readiness.draining) || Date.now() - lastSeen > SILENT_AFTER) {
      lost();
    }
  });
}

setInterval(() => { if (lastSeen && Date.now() - lastSeen > SILENT_AFTER) lost(); }, 1000);

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  draw();
});
for (const input of document.querySelectorAll("input[name=range]")) {
  input.addEventListener("change", () => { range = input.value; if (latest) drawCourse(); });
}
watch();
