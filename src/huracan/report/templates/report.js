"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Theme: what the address asks for, else what was chosen here before, else what the system prefers.
  const kept = (value) => {
    try {
      if (value) localStorage.setItem("huracan-theme", value);
      return localStorage.getItem("huracan-theme");
    } catch (refused) {
      return null; // a file opened from disk may not be allowed to remember
    }
  };
  const asked = new URLSearchParams(location.search).get("theme") || (location.hash.match(/theme=(light|dark)/) || [])[1];
  const theme = asked || kept();
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    kept(root.dataset.theme);
  });

  // One chart of the market at a time.
  const symbol = document.getElementById("symbol");
  const spans = all("[data-span]");
  let span = "whole";
  const show = () => {
    const key = `${symbol.value}-${span}`;
    all("[data-view]").forEach((view) => view.classList.toggle("on", view.dataset.view === key));
    spans.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.span === span)));
  };
  if (symbol) {
    symbol.addEventListener("change", show);
    spans.forEach((one) => one.addEventListener("click", () => { span = one.dataset.span; show(); }));
    all(".choose").forEach((box) => { box.hidden = symbol.options.length === 0; });
    show();
  }

  // Crosshair: the pointer or the arrow keys read the series of a chart.
  const tip = document.getElementById("tip");
  const written = {
    price: (v) => v.toLocaleString("en-US", { maximumSignificantDigits: 6 }).replace("-", "−"),
    multiple: (v) => `${v.toLocaleString("en-US", { minimumFractionDigits: 3, maximumFractionDigits: 3 })}×`,
    percent: (v) => `${(100 * v).toFixed(2)}%`.replace("-", "−"),
    word: (v) => v,
  };
  const minute = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 16).replace("T", " ");
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle; else high = middle;
    }
    return x - xs[low] < xs[high] - x ? low : high;
  };
  const fill = (data, at) => {
    const head = document.createElement("b");
    head.textContent = data.c ? `${data.c} ${data.t[at].toLocaleString("en-US")}` : `${minute(data.t[at])} UTC`;
    const list = document.createElement("dl");
    for (const series of data.s) {
      const value = series.v[at];
      const name = document.createElement("dt"), said = document.createElement("dd");
      name.textContent = series.n;
      said.textContent = value === null || value === undefined ? "–" : written[series.f](value);
      list.append(name, said);
    }
    tip.replaceChildren(head, list);
  };
  for (const canvas of all(".canvas[tabindex]")) {
    const line = document.createElement("i");
    line.className = "cross";
    line.hidden = true;
    canvas.append(line);
    let data = null, at = -1;
    const point = (index) => {
      data = data || JSON.parse(canvas.querySelector("script").textContent);
      if (!data.x.length) return;
      at = Math.min(Math.max(index, 0), data.x.length - 1);
      const box = canvas.getBoundingClientRect();
      line.style.left = `${100 * data.x[at]}%`;
      fill(data, at);
      tip.hidden = line.hidden = false;
      const x = box.left + data.x[at] * box.width, wide = tip.offsetWidth;
      const side = x + wide + 24 < document.documentElement.clientWidth ? x + 12 : x - wide - 12;
      tip.style.left = `${Math.max(4, side)}px`;
      tip.style.top = `${Math.max(4, Math.min(box.top + 12, innerHeight - tip.offsetHeight - 4))}px`;
    };
    const leave = () => { tip.hidden = line.hidden = true; };
    canvas.addEventListener("pointermove", (event) => {
      data = data || JSON.parse(canvas.querySelector("script").textContent);
      const box = canvas.getBoundingClientRect();
      point(nearest(data.x, (event.clientX - box.left) / box.width));
    });
    canvas.addEventListener("pointerleave", leave);
    canvas.addEventListener("blur", leave);
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
      if (event.key === "Escape") leave();
      if (!step) return;
      event.preventDefault();
      point(at < 0 ? Infinity : at + step);
    });
  }

  addEventListener("beforeprint", () => all("details").forEach((one) => { one.open = true; }));
})();
