"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const expand = ({columns, rows}) =>
    rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
  const datasets = ({data}) => Object.fromEntries(Object.entries(data).map(([name, table]) => [name, expand(table)]));
  // ast: expressions are interpreted, so that the page's policy can forbid eval
  const options = {ast: true, renderer: "svg", actions: false, hover: false, tooltip: {theme: "page"}};

  const show = async (figure, choice) => {
    const chart = charts[figure.dataset.chart];
    const plot = figure.querySelector(".plot");
    const live = document.createElement("div");
    live.className = "live";
    plot.append(live);
    try {
      const spec = structuredClone(chart.specs[choice]);
      spec.datasets = datasets(chart);
      spec.config.legend.columns = Math.max(1, Math.floor(live.clientWidth / 180));
      const controls = figure.querySelector(".controls");
      controls.replaceChildren();
      const {view} = await vegaEmbed(live, spec, {...options, bind: controls});
      figure.view?.finalize();
      figure.view = view;
      for (const old of [...plot.children]) if (old !== live) old.remove();
      figure.dataset.state = "live";
    } catch (error) {
      live.remove();
      console.error(`${figure.dataset.chart} stays a still picture:`, error);
    }
  };

  const start = (figure) => {
    const picker = figure.querySelector("select");
    if (picker) {
      picker.closest("label").hidden = false;
      picker.addEventListener("change", () => show(figure, picker.selectedIndex));
    }
    return show(figure, picker ? picker.selectedIndex : 0);
  };

  const figures = [...document.querySelectorAll("figure[data-chart]")];
  // one after the other as they come near, so that a long page can be scrolled at once
  const watcher = new IntersectionObserver((entries) => {
    for (const {isIntersecting, target} of entries) {
      if (isIntersecting) {
        watcher.unobserve(target);
        start(target);
      }
    }
  }, {rootMargin: "600px"});
  for (const figure of figures) watcher.observe(figure);
})();
