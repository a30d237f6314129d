// Draws every figure of the page in the page's own colours, light, dark or printed.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const scales = {
    light: [[0, "#b2182b"], [0.25, "#ef8a62"], [0.5, "#f5f6f8"], [0.75, "#67a9cf"], [1, "#2166ac"]],
    dark: [[0, "#e0564b"], [0.25, "#85403c"], [0.5, "#22262e"], [0.75, "#2f5680"], [1, "#4a93e6"]],
  };
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const draw = (box, isDark) => {
    const figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
    const axis = {
      gridcolor: colour("--line"), zerolinecolor: colour("--faint"), linecolor: colour("--line"),
    };
    for (const trace of figure.data) {
      if (trace.type === "heatmap") trace.colorscale = isDark ? scales.dark : scales.light;
    }
    const layout = figure.layout;
    layout.font = { ...layout.font, family: colour("--font"), color: colour("--ink") };
    layout.hoverlabel = {
      ...layout.hoverlabel, bgcolor: colour("--card"), bordercolor: colour("--line"),
      font: { family: colour("--font"), color: colour("--ink"), size: 12 },
    };
    for (const name of ["xaxis", "yaxis"]) layout[name] = { ...axis, ...layout[name] };
    Plotly.react(box, figure.data, layout, { displayModeBar: false, responsive: true });
  };

  const all = (isDark) => document.querySelectorAll("[data-figure]").forEach((b) => draw(b, isDark));
  dark.addEventListener("change", () => all(dark.matches));
  window.addEventListener("beforeprint", () => all(false));
  window.addEventListener("afterprint", () => all(dark.matches));
  all(dark.matches);
})();
