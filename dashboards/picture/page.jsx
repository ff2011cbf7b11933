// The page: the dashboard's file, laid out on Grafana's grid, over the answers of one Prometheus. It is opened by draw.mjs, which
// gives it `window.picture` and waits for `window.drawn`.

import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { createTheme, dateTime, ThemeContext } from "@grafana/data";
import { GlobalStyles, Icon, InlineLabel, Text, ToolbarButton } from "@grafana/ui";
import { annotations, dashboardVariables, panelFrames } from "./data.js";
import { Panel } from "./panels.jsx";

// Grafana's grid: 24 columns, cells 30 high, 8 between them.
const [COLUMNS, CELL, GAP] = [24, 30, 8];
const HEADER = 48;

function place({ x, y, w, h }, width) {
  const column = (width + GAP) / COLUMNS;
  return { left: Math.round(x * column), top: y * (CELL + GAP), width: Math.round(w * column - GAP), height: h * CELL + (h - 1) * GAP };
}

function Header({ dashboard, settings }) {
  return (
    <header style={{ height: HEADER }}>
      <Text variant="h4">{dashboard.title}</Text>
      {dashboard.templating.list.map((variable) => (
        <span className="variable" key={variable.name}>
          <InlineLabel width="auto">{variable.label}</InlineLabel>
          <span className="value">{variable.type === "datasource" ? "Prometheus" : variable.current.text}</span>
        </span>
      ))}
      <span className="space" />
      <ToolbarButton icon="clock-nine" variant="canvas">{`Last ${settings.minutes} minutes, UTC`}</ToolbarButton>
    </header>
  );
}

/** Grafana's rows are of its application, not of its libraries: a heading with the icon that folds it. */
function Row({ panel, place }) {
  return (
    <div className="place row" style={place}>
      <Icon name="angle-down" size="lg" />
      <Text variant="h6">{panel.title}</Text>
    </div>
  );
}

function Dashboard({ dashboard, width, drawings, settings, ...rest }) {
  const height = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * (CELL + GAP);
  return (
    <div id="dashboard">
      <Header dashboard={dashboard} settings={settings} />
      <main style={{ height, width }}>
        {dashboard.panels.map((panel, index) =>
          panel.type === "row" ? (
            <Row key={panel.id} panel={panel} place={place(panel.gridPos, width)} />
          ) : (
            <Panel key={panel.id} panel={panel} place={place(panel.gridPos, width)} frames={drawings[index]} settings={settings} {...rest} />
          ),
        )}
      </main>
    </div>
  );
}

const styles = (theme) => `
  body { margin: 0; background: ${theme.colors.background.canvas}; width: max-content; height: max-content; }
  #dashboard { padding: 0 16px 8px; width: max-content; }
  header { display: flex; align-items: center; gap: 16px; }
  .variable { display: inline-flex; }
  .value { padding: 0 12px; line-height: 30px; border: 1px solid ${theme.colors.border.medium}; border-radius: ${theme.shape.radius.default};
    background: ${theme.components.input.background}; font-size: 14px; }
  .space { flex-grow: 1; }
  main { position: relative; }
  .place { position: absolute; }
  .row { display: flex; align-items: center; gap: 8px; padding-left: 8px; box-sizing: border-box; }
  .no-data { display: flex; height: 100%; align-items: center; justify-content: center; color: ${theme.colors.text.secondary}; }
`;

async function show() {
  const { dashboard, to, minutes, intervalSeconds, width, mode } = window.picture;
  const theme = createTheme({ colors: { mode } });
  const settings = { minutes, intervalSeconds, timeZone: "utc", variables: dashboardVariables(dashboard) };
  const range = { from: dateTime(to - minutes * 60_000), to: dateTime(to), raw: { from: `now-${minutes}m`, to: "now" } };
  const style = document.createElement("style");
  style.textContent = styles(theme);
  document.head.append(style);
  const root = createRoot(document.getElementById("root"));
  flushSync(() => root.render(<ThemeContext.Provider value={theme}><GlobalStyles /></ThemeContext.Provider>));
  // Lengths of text are measured once: not before its typeface is there, which the global styles name.
  await Promise.all(["400", "500"].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
  const drawings = await Promise.all(
    dashboard.panels.map((panel) => panel.targets && panelFrames(panel, range, place(panel.gridPos, width).width, theme, settings)),
  );
  const events = await annotations(dashboard, range, width, settings);
  root.render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Dashboard dashboard={dashboard} width={width} drawings={drawings} events={events} range={range} theme={theme} settings={settings} />
    </ThemeContext.Provider>,
  );
}

window.drawn = show();
