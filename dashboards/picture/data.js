// What Grafana's server and its Prometheus data source do between a panel and its picture: variables filled in, the step and
// $__rate_interval chosen by the panel's width, answers turned into data frames, field configuration and overrides applied.

import {
  applyFieldOverrides,
  createDataFrame,
  FieldConfigOptionsRegistry,
  FieldType,
  identityOverrideProcessor,
  rangeUtil,
} from "@grafana/data";

/** Prometheus' answer, by way of the program that opened this page. */
async function ask(path, parameters) {
  const answer = await (await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
  if (answer.status !== "success") throw new Error(`${answer.error} in ${parameters.query}`);
  return answer.data.result;
}

/** The step in seconds, and what the built-in variables stand for: the rules of Grafana's Prometheus data source. */
export function interval(range, width, intervalSeconds) {
  const step = rangeUtil.calculateInterval(range, Math.max(1, Math.floor(width)), `${intervalSeconds}s`).intervalMs / 1000;
  const rate = Math.max(step + intervalSeconds, 4 * intervalSeconds);
  const whole = Math.round((range.to.valueOf() - range.from.valueOf()) / 1000);
  return { step, variables: { __interval: `${step}s`, __rate_interval: `${rate}s`, __range: `${whole}s`, __range_s: `${whole}` } };
}

/** Variables of the dashboard that say "All" stand for their `allValue`. */
export function dashboardVariables(dashboard) {
  const queried = dashboard.templating.list.filter((variable) => variable.type === "query");
  return Object.fromEntries(queried.map((variable) => [variable.name, variable.allValue]));
}

function filled(expression, variables) {
  const text = expression.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, bare) => variables[braced ?? bare] ?? whole);
  if (text.includes("$")) throw new Error(`a variable is left in ${text}`);
  return text;
}

function legend(format, labels) {
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? "");
}

/** Prometheus writes numbers as text. What is no number is a gap, as in Grafana's time series panel. */
function number(text) {
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

function seriesFrame(target, step, series) {
  const samples = series.values ?? [series.value];
  return createDataFrame({
    refId: target.refId,
    fields: [
      // By its interval the components tell a gap from a line.
      { name: "Time", type: FieldType.time, config: { interval: step * 1000 }, values: samples.map(([time]) => time * 1000) },
      {
        name: "Value",
        type: FieldType.number,
        labels: series.metric,
        config: { displayNameFromDS: legend(target.legendFormat, series.metric) },
        values: samples.map(([, value]) => number(value)),
      },
    ],
  });
}

/** `format: table`: a row for each series, a column for each label between the time and the value. */
function tableFrame(target, result) {
  const labels = [...new Set(result.flatMap((series) => Object.keys(series.metric)))].sort();
  const column = (name, type, of) => ({ name, type, config: {}, values: result.map(of) });
  return createDataFrame({
    refId: target.refId,
    fields: [
      column("Time", FieldType.time, (series) => series.value[0] * 1000),
      ...labels.map((label) => column(label, FieldType.string, (series) => series.metric[label] ?? "")),
      column("Value", FieldType.number, (series) => number(series.value[1])),
    ],
  });
}

async function asked(target, range, width, settings) {
  const { step, variables } = interval(range, width, settings.intervalSeconds);
  const query = filled(target.expr, { ...settings.variables, ...variables });
  if (target.instant) {
    const result = await ask("query", { query, time: range.to.valueOf() / 1000 });
    return target.format === "table" ? [tableFrame(target, result)] : result.map((series) => seriesFrame(target, step, series));
  }
  // Both ends lie on multiples of the step, so that a picture does not shiver from one refresh to the next.
  const aligned = (moment) => Math.floor(moment.valueOf() / 1000 / step) * step;
  const result = await ask("query_range", { query, start: aligned(range.from), end: aligned(range.to), step });
  return result.map((series) => seriesFrame(target, step, series));
}

/** The one transformation that the dashboard uses, as Grafana has it; another is an error, so that none is passed over. */
function transformed(panel, frames) {
  for (const { id, options } of panel.transformations ?? []) {
    if (id !== "organize") throw new Error(`${panel.title}: transformation ${id} is not known here`);
    const { excludeByName = {}, renameByName = {} } = options;
    frames = frames.map((frame) => {
      const kept = frame.fields.filter((field) => !excludeByName[field.name]);
      const named = kept.map((field) => (renameByName[field.name] ? { ...field, config: { ...field.config, displayName: renameByName[field.name] } } : field));
      return { ...frame, fields: named };
    });
  }
  return frames;
}

// The time series panel's own defaults: what a dashboard's file may leave out.
const GRAPH = {
  drawStyle: "line", lineInterpolation: "linear", lineWidth: 1, fillOpacity: 0, gradientMode: "none", lineStyle: { fill: "solid" },
  spanNulls: false, showPoints: "auto", pointSize: 5, stacking: { mode: "none", group: "A" }, axisPlacement: "auto", axisLabel: "",
  axisGridShow: true, axisBorderShow: false, axisCenteredZero: false, axisColorMode: "text", scaleDistribution: { type: "linear" },
  barAlignment: 0, barWidthFactor: 0.6, thresholdsStyle: { mode: "off" }, hideFrom: { legend: false, tooltip: false, viz: false },
};
/** Without a default. */
const GRAPH_TOO = ["axisSoftMin", "axisSoftMax"];
const TABLE = { align: "auto", cellOptions: { type: "auto" }, inspect: false, filterable: false };
const PLUGINS = {
  timeseries: { color: { mode: "palette-classic" }, custom: GRAPH },
  stat: { color: { mode: "thresholds" }, custom: {} },
  table: { color: { mode: "thresholds" }, custom: TABLE },
};
const STANDARD = ["unit", "decimals", "min", "max", "displayName", "noValue", "color", "thresholds", "mappings", "links"];
/** Of numbers alone: a label is no amount. */
const NUMERIC = ["unit", "decimals", "min", "max", "color", "thresholds"];

function registry(panel, custom) {
  const known = [...Object.keys(custom), ...GRAPH_TOO];
  const used = [
    ...Object.keys(panel.fieldConfig.defaults).filter((path) => path !== "custom"),
    ...Object.keys(panel.fieldConfig.defaults.custom ?? {}).map((path) => `custom.${path}`),
    ...panel.fieldConfig.overrides.flatMap((override) => override.properties.map((property) => property.id)),
  ];
  const all = [...STANDARD, ...known.map((path) => `custom.${path}`)];
  // Passed over in silence, it would be missing from the picture.
  for (const id of used) if (!all.includes(id)) throw new Error(`${panel.title}: ${id} is not known here`);

  const option = (path, isCustom) => ({
    id: isCustom ? `custom.${path}` : path,
    path,
    name: path,
    isCustom,
    process: identityOverrideProcessor,
    shouldApply: (field) => isCustom || !NUMERIC.includes(path) || field.type === FieldType.number,
  });
  const options = [...STANDARD.map((path) => option(path, false)), ...known.map((path) => option(path, true))];
  return new FieldConfigOptionsRegistry(() => options);
}

/** The frames of a panel, ready to be drawn. */
export async function panelFrames(panel, range, width, theme, settings) {
  const frames = (await Promise.all(panel.targets.map((target) => asked(target, range, width, settings)))).flat();
  const plugin = PLUGINS[panel.type];
  if (!plugin) throw new Error(`${panel.title}: panels of the type ${panel.type} are not known here`);
  const { defaults, overrides } = panel.fieldConfig;
  const fieldConfig = { defaults: { ...plugin, ...defaults, custom: { ...plugin.custom, ...defaults.custom } }, overrides };
  return applyFieldOverrides({
    data: transformed(panel, frames),
    fieldConfig,
    fieldConfigRegistry: registry(panel, plugin.custom),
    replaceVariables: (text) => text,
    theme,
    timeZone: settings.timeZone,
  });
}

/** What the dashboard's annotations mark within the range: { from, to, color } in milliseconds. */
export async function annotations(dashboard, range, width, settings) {
  const marked = dashboard.annotations.list.map(async (annotation) => {
    const { step, variables } = interval(range, width, settings.intervalSeconds);
    const query = filled(annotation.expr, { ...settings.variables, ...variables });
    const [start, end] = [range.from.valueOf() / 1000, range.to.valueOf() / 1000];
    const result = await ask("query_range", { query, start, end, step });
    const events = new Map();
    for (const { values } of result) {
      let last;
      for (const [time, value] of values) {
        if (annotation.useValueForTime) {
          events.set(value, { from: Number(value), to: Number(value), color: annotation.iconColor });
        } else if (last && time * 1000 - last.to <= step * 1000) {
          last.to = time * 1000;
        } else {
          last = { from: time * 1000, to: time * 1000, color: annotation.iconColor };
          events.set(`${last.from} ${events.size}`, last);
        }
      }
    }
    return [...events.values()];
  });
  return (await Promise.all(marked)).flat().filter((event) => event.to >= range.from.valueOf() && event.from <= range.to.valueOf());
}
