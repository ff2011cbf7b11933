// A panel of each type that the dashboard has, by the components that Grafana's own panels are made of. What those panels add in
// the application itself and the libraries do not carry is done here as there: the choice of a stat's text, the marks of annotations.

import { useLayoutEffect } from "react";
import { getDisplayValueAlignmentFactors, getFieldDisplayValues } from "@grafana/data";
import { BigValue, BigValueTextMode, PanelChrome, TimeSeries, VizRepeater } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";

/** A dashed line at each event, and a small triangle below it: the application's marks, which are in no library. */
function Marks({ builder, events, theme }) {
  useLayoutEffect(() => {
    builder.addHook("draw", (plot) => {
      const { ctx, bbox } = plot;
      const ratio = window.devicePixelRatio;
      ctx.save();
      for (const event of events) {
        const color = theme.visualization.getColorByName(event.color);
        const [from, to] = [event.from, event.to].map((time) => Math.round(plot.valToPos(time, "x", true)));
        if (from < bbox.left || to > bbox.left + bbox.width) continue;
        ctx.strokeStyle = ctx.fillStyle = color;
        ctx.lineWidth = ratio;
        ctx.setLineDash([5 * ratio, 5 * ratio]);
        for (const x of new Set([from, to])) {
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
        }
        ctx.globalAlpha = 0.1;
        ctx.fillRect(from, bbox.top, to - from, bbox.height);
        ctx.globalAlpha = 1;
        ctx.beginPath();
        const bottom = bbox.top + bbox.height;
        ctx.moveTo(from, bottom - 1);
        ctx.lineTo(from - 4 * ratio, bottom + 5 * ratio);
        ctx.lineTo(from + 4 * ratio, bottom + 5 * ratio);
        ctx.fill();
      }
      ctx.restore();
    });
  }, [builder, events, theme]);
  return null;
}

function Graph({ panel, frames, events, width, height, range, theme, settings }) {
  return (
    <TimeSeries
      frames={frames}
      structureRev={1}
      width={width}
      height={height}
      timeRange={range}
      timeZone={settings.timeZone}
      legend={{ showLegend: true, ...panel.options.legend }}
      options={panel.options}
      theme={theme}
    >
      {(builder) => <Marks builder={builder} events={events} theme={theme} />}
    </TimeSeries>
  );
}

function Stat({ panel, frames, width, height, theme, settings }) {
  const { options, fieldConfig } = panel;
  const values = () =>
    getFieldDisplayValues({
      fieldConfig,
      reduceOptions: options.reduceOptions,
      replaceVariables: (text) => text,
      theme,
      data: frames,
      sparkline: options.graphMode !== "none",
      timeZone: settings.timeZone,
    });
  const drawn = ({ value, alignmentFactors, width, height, count }) => (
    <BigValue
      value={value.display}
      sparkline={value.sparkline}
      count={count}
      alignmentFactors={alignmentFactors}
      colorMode={options.colorMode}
      graphMode={options.graphMode}
      justifyMode={options.justifyMode}
      textMode={options.textMode === "auto" && fieldConfig.defaults.displayName ? BigValueTextMode.ValueAndName : options.textMode}
      wideLayout={true}
      width={width}
      height={height}
      theme={theme}
    />
  );
  return (
    <VizRepeater
      getValues={values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={drawn}
      source={frames}
      renderCounter={1}
      itemSpacing={3}
      autoGrid={true}
      orientation={options.orientation ?? "auto"}
      width={width}
      height={height}
    />
  );
}

function Table({ panel, frames, width, height }) {
  return (
    <TableNG
      data={frames[0]}
      width={width}
      height={height}
      noHeader={!panel.options.showHeader}
      fieldConfig={panel.fieldConfig}
      enableVirtualization={false}
      structureRev={1}
    />
  );
}

function NoData() {
  return <div className="no-data">No data</div>;
}

const TYPES = { timeseries: Graph, stat: Stat, table: Table };

/** A panel in its frame, on its place of the grid. */
export function Panel({ panel, place, frames, ...rest }) {
  const Content = frames.length ? TYPES[panel.type] : NoData;
  return (
    <div className="place" style={place} data-panel={panel.title}>
      <PanelChrome title={panel.title} description={panel.description} width={place.width} height={place.height}>
        {(width, height) => <Content panel={panel} frames={frames} width={width} height={height} {...rest} />}
      </PanelChrome>
    </div>
  );
}
