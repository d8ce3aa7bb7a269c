"use strict";
// Draws the charts of each run from the JSON beside them, in the page's own colours, all on one time axis a run.
(() => {
  document.documentElement.classList.add("scripted");
  const colours = () => getComputedStyle(document.documentElement);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = () => innerWidth < 640;

  const resolved = (value, style) => {
    if (Array.isArray(value)) return value;
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner, style)]));
    }
    if (value === "--heat") return [0, 1, 2, 3].map((n) => [n / 3, style.getPropertyValue(`--heat-${n}`).trim()]);
    return typeof value === "string" && value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
  };

  const shade = (hex, opacity) => hex + Math.round(opacity * 255).toString(16).padStart(2, "0");

  const shapes = (bands, style) => bands.map((band) => ({
    type: "rect", xref: "x", yref: "paper", x0: band.from_s, x1: band.until_s, y0: 0, y1: 1, layer: "below",
    fillcolor: shade(style.getPropertyValue("--band").trim(), 0.28),
    line: { width: 1, color: shade(style.getPropertyValue("--band").trim(), 0.9), dash: band.felt ? "solid" : "dot" },
  }));

  const font = getComputedStyle(document.body).fontFamily;
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `12px ${font}`;
  const wide = (text) => pen.measureText(text).width;
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;"); // Plotly takes some HTML
  const margins = (run, chart) => ({
    l: narrow() ? 52 : 68, r: 12, t: run.bands.length ? 24 : 8, b: chart.traces.length > 1 ? 64 : 28, pad: 4,
  });

  // Above the plot, where no line runs through them: a fault's number, as in the list above, and its name where there is
  // room for it before the next one. Those that would stand on each other are told together.
  const names = (bands, style, range, across) => {
    const place = (at) => (at - range[0]) / (range[1] - range[0]) * across;
    const groups = [];
    bands.forEach((band, index) => {
      const at = Math.max(band.from_s, range[0]), last = groups[groups.length - 1];
      if (band.until_s < range[0] || at > range[1]) return;
      if (last && place(at) - place(last.at) < wide(last.number) + 8) {
        Object.assign(last, { number: `${last.first}–${index + 1}`, name: "" });
      } else groups.push({ at, first: index + 1, number: `${index + 1}`, name: band.name });
    });
    return groups.map((group, index) => {
      const end = index + 1 < groups.length ? groups[index + 1].at : range[1];
      const full = `${group.number} ${group.name}`.trim();
      return {
        xref: "x", yref: "paper", x: group.at, y: 1, xanchor: "left", yanchor: "bottom", xshift: -2, showarrow: false, borderpad: 2,
        text: wide(full) + 8 < place(end) - place(group.at) ? plain(full) : group.number,
        font: { size: 12, color: style.getPropertyValue("--band-ink").trim() },
      };
    });
  };

  const axis = (style) => ({
    gridcolor: style.getPropertyValue("--rule").trim(), zeroline: false,
    tickfont: { color: style.getPropertyValue("--soft").trim() }, linecolor: style.getPropertyValue("--rule").trim(),
  });

  const named = (run, chart, element, range) => {
    const { l, r } = margins(run, chart);
    return names(run.bands, colours(), range, element.clientWidth - l - r);
  };

  const layout = (run, chart, element, range) => {
    const style = colours();
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", barmode: "stack", bargap: 0,
      font: { family: font, size: 12, color: style.getPropertyValue("--ink").trim() },
      margin: margins(run, chart), hovermode: chart.name === "heat" ? "closest" : "x unified",
      hoverlabel: { bgcolor: style.getPropertyValue("--card").trim(), font: { color: style.getPropertyValue("--ink").trim() } },
      legend: { orientation: "h", y: -0.16, yanchor: "top", x: 0, font: { size: 12 } },
      showlegend: chart.traces.length > 1, dragmode: narrow() ? false : "zoom",
      xaxis: { ...axis(style), range: [...range], ticksuffix: " s", exponentformat: "none", hoverformat: ".1f", nticks: narrow() ? 5 : 10 },
      yaxis: { ...axis(style), ...chart.y_axis, fixedrange: true, nticks: 6 },
      shapes: shapes(run.bands, style), annotations: named(run, chart, element, range),
    };
  };

  const start = (section) => {
    const run = JSON.parse(section.querySelector("script.data").textContent);
    const whole = [0, run.until_s];
    let range = [...whole], syncing = false, closer;
    const least = (at) => (run.details.find((detail) => detail.from_s <= at && at <= detail.until_s) ?? run).bucket_s;
    const plots = run.charts.map((chart) => [chart, section.querySelector(`[data-chart="${chart.name}"]`)]);

    // Around a fault there may be finer buckets: they are drawn once all that is shown is in their time.
    const traces = (chart) => (closer?.charts.find((finer) => finer.name === chart.name) ?? chart).traces;
    const draw = () => Promise.all(plots.map(([chart, element]) => Plotly.react(
      element, traces(chart).map((trace) => resolved(trace, colours())), layout(run, chart, element, range),
      { responsive: true, displayModeBar: false, doubleClick: false, scrollZoom: false },
    )));

    const show = (from, until) => {
      const length = Math.min(Math.max(until - from, least((from + until) / 2)), whole[1]);
      const begin = Math.min(Math.max(from, 0), whole[1] - length);
      range = [begin, begin + length];
      const finer = run.details.find((detail) => detail.from_s <= range[0] && range[1] <= detail.until_s);
      const changed = finer !== closer;
      closer = finer;
      syncing = true;
      const moved = () => Promise.all(plots.map(([chart, element]) => Plotly.relayout(element, {
        "xaxis.range": [...range], annotations: named(run, chart, element, range),
      })));
      return (changed ? draw() : moved()).finally(() => { syncing = false; });
    };
    const zoom = (factor) => {
      const middle = (range[0] + range[1]) / 2, half = (range[1] - range[0]) / 2 * factor;
      return show(middle - half, middle + half);
    };
    const move = (part) => show(range[0] + part * (range[1] - range[0]), range[1] + part * (range[1] - range[0]));
    const acts = {
      in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.25), right: () => move(0.25), all: () => show(...whole),
    };
    const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all", Escape: "all" };

    draw().then(() => {
      for (const [, element] of plots) {
        element.on("plotly_relayout", (change) => {
          if (!syncing && "xaxis.range[0]" in change) show(change["xaxis.range[0]"], change["xaxis.range[1]"]);
        });
        element.on("plotly_doubleclick", acts.all);
        element.addEventListener("keydown", (event) => {
          if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
          event.preventDefault();
          acts[keys[event.key]]();
        });
      }
      section.querySelectorAll("[data-act]").forEach((button) => {
        button.addEventListener("click", () => acts[button.dataset.act]());
      });
      section.querySelectorAll("[data-band]").forEach((button) => {
        const { from_s: from, until_s: until } = run.bands[button.dataset.band];
        const more = Math.max((until - from) / 2, 1);
        button.addEventListener("click", () => show(from - more, until + more));
        button.disabled = false;
      });
      section.dataset.drawn = "yes";
    });
    dark.addEventListener("change", draw);
    let width = innerWidth;
    addEventListener("resize", () => {
      if (innerWidth === width) return; // a phone's address bar comes and goes
      width = innerWidth;
      requestAnimationFrame(draw);
    });
  };

  const sections = document.querySelectorAll("section.run");
  const begin = (section) => {
    watch.unobserve(section);
    if (!section.dataset.begun) start(section);
    section.dataset.begun = "yes";
  };
  const watch = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => begin(entry.target)), { rootMargin: "400px" });
  sections.forEach((section) => watch.observe(section));
  addEventListener("beforeprint", () => sections.forEach(begin));
})();
