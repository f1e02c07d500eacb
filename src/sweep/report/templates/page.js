// Draws the figures as charts, and loads a page again that is still being written.
// The place and the open folds are kept over that, where the browser allows it.
(() => {
  const charts = () => {
    for (const panel of document.querySelectorAll("[data-spec]")) {
      const chart = document.createElement("div");
      chart.style.width = panel.classList.contains("fluid") ? "100%" : "auto";
      const picture = panel.firstElementChild;
      panel.append(chart);
      vegaEmbed(chart, specs[panel.dataset.spec], { actions: false, ast: true, renderer: "svg" })
        .then(() => picture.remove(), () => chart.remove());
    }
  };
  const folds = () => [...document.querySelectorAll("details")];
  const key = "sweep " + location.pathname;
  const kept = (use) => {
    try { return use(sessionStorage); } catch { return null; }
  };
  const restore = () => {
    const before = kept((store) => JSON.parse(store.getItem(key)));
    if (!before) return;
    kept((store) => store.removeItem(key));
    folds().forEach((fold) => {
      const name = fold.firstElementChild.textContent.split(":")[0];
      if (name in before.open) fold.open = before.open[name];
    });
    scrollTo(0, before.top);
  };
  const again = () => {
    const open = {};
    folds().forEach((fold) => { open[fold.firstElementChild.textContent.split(":")[0]] = fold.open; });
    kept((store) => store.setItem(key, JSON.stringify({ top: scrollY, open })));
    location.reload();
  };
  if (specs.length) charts();
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named && named.tagName === "DETAILS") named.open = true;
  const late = () => {
    const minutes = Math.round((Date.now() - written) / 60000);
    if (minutes < 15) return;
    const note = document.createElement("p");
    note.className = "late";
    note.textContent = `This page was written ${minutes} minutes ago, and no newer one has come since. ` +
      "The study, its machine or its disk has probably stopped.";
    document.body.prepend(note);
  };
  if (written) {
    late();
    history.scrollRestoration = "manual";
    restore();
    setTimeout(again, 1000 * refresh);
  }
})();
