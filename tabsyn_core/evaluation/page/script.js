"use strict";
(() => {
  const content = JSON.parse(document.getElementById("data").textContent);
  const SOURCES = { r: "real", h: "held-out", s: "synthetic" };
  const SERIES = [["real", "real"], ["synthetic", "synthetic"], ["held-out", "held_out"]];

  // Small helpers ---------------------------------------------------------------------------------------------------

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function number(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const small = size !== 0 && size < 0.0005;
    const text = small ? value.toExponential(1) : size < 10000 ? (Math.round(value * 1e4) / 1e4).toFixed(3) : Math.round(value).toLocaleString("en");
    return text.replace("-", "−");
  }

  const share = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
  const p = (value) => (value === null || value === undefined ? "–" : value < 0.001 ? "< 0.001" : value.toFixed(3));

  const tip = document.getElementById("tip");

  function showTip(left, top, title, lines) {
    tip.replaceChildren(...(title ? [element("b", {}, title)] : []),
      ...lines.flatMap(([name, value], place) => [place ? element("br") : "", element("span", {}, `${name} `), value]));
    tip.hidden = false;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(4, Math.min(left + 14, room + window.scrollX))}px`;
    const above = top - tip.offsetHeight - 10;
    tip.style.top = `${above > window.scrollY ? above : top + 18}px`;
  }

  const hideTip = () => { tip.hidden = true; };

  // Charts: a specification, filled with rows ------------------------------------------------------------------------

  const family = getComputedStyle(document.body).fontFamily;
  const config = {
    background: null,
    font: family,
    view: { stroke: null },
    axis: {
      labelColor: "var(--quiet)", titleColor: "var(--quiet)", gridColor: "var(--faint)", domainColor: "var(--line)",
      tickColor: "var(--line)", labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", labelOverlap: true,
      tickSize: 4, labelPadding: 3,
    },
    axisY: { tickCount: 4 },
    axisDiscrete: { grid: false, ticks: false },
    legend: { labelColor: "var(--quiet)", titleColor: "var(--quiet)", labelFontSize: 11 },
  };

  function tell(_, event, item, value) {
    if (!value) return hideTip();
    const lines = typeof value === "object" ? Object.entries(value) : [["", value]];
    showTip(event.pageX, event.pageY, "", lines.map(([name, each]) => [name, String(each)]));
  }

  // Rows of bars want a height of their own; Vega-Lite would give it, and warn.
  function height(specification, rows) {
    const { y, yOffset } = specification.encoding ?? specification.layer[0].encoding;
    const many = (field) => new Set(rows.map((row) => row[field])).size;
    const { step } = specification.height;
    return many(y.field) * (yOffset ? many(yOffset.field) * step + 8 : step);
  }

  function draw(place, kind, rows, change = () => {}) {
    const specification = structuredClone(content.specifications[kind]);
    specification.datasets = { rows };
    if (specification.height.step) specification.height = height(specification, rows);
    specification.description = place.getAttribute("aria-label") || kind;
    change(specification);
    const axisX = { grid: false, tickCount: place.clientWidth < 320 ? 3 : 5 };
    const settings = { mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, tooltip: tell };
    vegaEmbed(place, specification, { ...settings, config: { ...config, axisX } })
      .then(() => place.classList.add("ready"));
  }

  const over = (names, values) => names.flatMap(([source, key]) => values(source, key) || []);

  function densityRows(found) {
    const edges = found.edges;
    if (edges.length === 0) {
      return over(SERIES, (source, key) => found[key].map((y, i) => ({ label: found.labels[i], y, source })));
    }
    if (found.smooth) {
      return over(SERIES, (source, key) => found[key].map((y, i) => ({ x: (edges[i] + edges[i + 1]) / 2, y, source })));
    }
    // A step begins at its left edge; the last height is told twice, to reach the right one.
    return over(SERIES, (source, key) => {
      const heights = found[key];
      if (heights.length === 0) return [];
      return [...heights, heights.at(-1)].map((y, i) => ({ x: edges[i], y, source }));
    });
  }

  function quantileRows(found) {
    const rest = [["synthetic", "quantiles_synthetic"], ["held-out", "quantiles_held_out"]].reverse();
    return over(rest, (source, key) => found[key].map((y, i) => ({ x: found.quantiles_real[i], y, source })));
  }

  function jointRows(joint, key, source) {
    const most = Math.max(...joint.real.flat(), ...joint.synthetic.flat());
    const edges = (name, all, at) => ({ [name]: all[at], [`${name}2`]: all[at + 1] });
    const rows = [];
    joint[key].forEach((line, i) => line.forEach((height, j) => {
      // The root, so that thin regions are seen at all.
      if (height > 0) rows.push({ ...edges("x", joint.left_edges, i), ...edges("y", joint.right_edges, j), height: Math.sqrt(height / most), source });
    }));
    return rows;
  }

  function scoreRows(data, target) {
    return data.scores.filter((each) => each.target === target && each.value !== null).map((each) => ({
      model: each.model, test: each.test, label: `${each.training} → ${each.test}`, value: each.value,
      low: each.low ?? each.value, high: each.high ?? each.value,
      source: each.training in { real: 1, synthetic: 1 } ? each.training : "other",
    }));
  }

  function importanceRows(found) {
    const { columns, real, synthetic } = found;
    return ["real", "synthetic"].flatMap((source) => columns.map((label, i) => (
      { label, y: found[source][i], real: real[i], synthetic: synthetic[i], source }
    )));
  }

  // A few far rows would press all others into a corner: nothing lies farther out than the middle nine tenths are wide.
  function within(values) {
    const sorted = values.filter((each) => each !== null).sort((one, other) => one - other);
    const at = (part) => sorted[Math.round(part * (sorted.length - 1))];
    const [low, high] = [at(0.05), at(0.95)];
    const margin = 0.75 * (high - low);
    return (value) => (value === null ? null : Math.max(low - margin, Math.min(high + margin, value)));
  }

  const kindOf = (found) => (found.edges.length === 0 ? "bars" : found.smooth ? "curve" : "steps");

  const CHARTS = {
    "similarity": (data) => [kindOf(data.similarity), densityRows(data.similarity)],
    "property": (data, at) => [kindOf(data.properties[at]), densityRows(data.properties[at])],
    "joint-real": (data, at) => ["joint", jointRows(data.joints[at], "real", "real")],
    "joint-synthetic": (data, at) => ["joint", jointRows(data.joints[at], "synthetic", "synthetic")],
    "spectrum": (data) => {
      const rows = over(SERIES, (source, key) => data.spectrum[key].map((y, i) => ({ x: i + 1, y, source })));
      return ["spectrum", rows.filter((row) => row.y > 1e-9)]; // nothing has no logarithm
    },
    "combinations": (data) => {
      const { label, real, synthetic } = data.combinations;
      return ["combinations", label.map((each, i) => ({ label: each, real: real[i], synthetic: synthetic[i] }))];
    },
    "cluster-shares": (data) => {
      const rows = data.clusters.flatMap((each) => SERIES.map(([source, key]) => ({ label: each.cluster, y: each[key], source })));
      return ["bars", rows.filter((row) => row.y !== null)];
    },
    "scores": (data, at) => ["scores", scoreRows(data, [...new Set(data.scores.map((each) => each.target))][at])],
    "importance": (data, at) => ["importance", importanceRows(data.importance[at])],
    "projection": (data, at, figure) => {
      const found = data.projections[Number(figure.querySelector(".method-choice").value)];
      const kind = found.cluster.length ? figure.querySelector(".colour-choice").value : "projection";
      const [across, upwards] = [within(found.x), within(found.y)];
      const rows = found.x.map((x, i) => ({
        x: across(x), y: upwards(found.y[i]), source: SOURCES[found.source[i]], cluster: found.clusters[found.cluster[i]] ?? "–",
      }));
      return [kind, rows, (s) => { s.encoding.x.title = found.x_label || null; s.encoding.y.title = found.y_label || null; }];
    },
  };

  function drawChart(place) {
    const data = content.reports[place.closest("[data-report]").dataset.report];
    draw(place, ...CHARTS[place.dataset.kind](data, Number(place.dataset.place), place.closest("figure")));
  }

  // Correlations: a canvas a pair of tables --------------------------------------------------------------------------

  const UNDEFINED = -128;

  function triangle(text) {
    if (!text) return null;
    return Int8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  function correlationsOf(data) {
    const found = data.correlations;
    if (!found.at) {
      const many = found.columns.length;
      const parts = { real: triangle(found.real), synthetic: triangle(found.synthetic), held_out: triangle(found.held_out) };
      const at = (key, i, j) => {
        const [low, high] = i < j ? [i, j] : [j, i];
        const value = parts[key] ? parts[key][low * many - (low * (low - 1)) / 2 + high - low] : UNDEFINED;
        return value === UNDEFINED ? null : value / 100;
      };
      const minus = (one, other) => (one === null || other === null ? null : one - other);
      found.at = {
        real: (i, j) => at("real", i, j),
        synthetic: (i, j) => at("synthetic", i, j),
        held_out: (i, j) => at("held_out", i, j),
        difference: (i, j) => minus(at("synthetic", i, j), at("real", i, j)),
        floor: (i, j) => minus(at("held_out", i, j), at("real", i, j)),
      };
    }
    return found;
  }

  function drawMap(canvas) {
    const found = correlationsOf(content.reports[canvas.closest("[data-report]").dataset.report]);
    const many = found.columns.length;
    canvas.width = canvas.height = many;
    const image = new ImageData(many, many);
    for (let i = 0; i < many; i += 1) {
      for (let j = 0; j < many; j += 1) {
        if (i === j) continue;
        const key = j > i ? canvas.dataset.upper : canvas.dataset.lower;
        const value = found.at[key](i, j);
        const full = key === "difference" || key === "floor" ? 0.5 : 1;
        const colour = value === null ? [128, 128, 128] : value < 0 ? [118, 55, 160] : [20, 135, 85];
        const strength = value === null ? 0.12 : Math.min(1, Math.abs(value) / full);
        image.data.set([...colour, 255 * strength], 4 * (i * many + j));
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    if (!canvas.classList.contains("ready")) {
      explore(canvas, found);
      if (many <= NAMED) nameMap(canvas, found.columns);
    }
    canvas.classList.add("ready");
  }

  const NAMED = 24; // columns whose names there is room for

  function nameMap(canvas, columns) {
    const names = (side) => element("div", { class: `names ${side}`, "aria-hidden": "true" },
      ...columns.map((name) => element("span", { title: name }, element("i", {}, name))));
    const frame = element("div", { class: "named", style: `--many: ${columns.length}` });
    canvas.before(frame);
    frame.append(names("rows"), canvas, names("below"));
  }

  function explore(canvas, found) {
    const many = found.columns.length;
    let [row, column] = [0, Math.min(1, many - 1)];

    function show() {
      const box = canvas.getBoundingClientRect();
      const [i, j] = [row, column];
      const lines = SERIES.map(([name, key]) => [name, found.at[key](i, j)])
        .filter(([, value]) => value !== null).map(([name, value]) => [name, value.toFixed(2).replace("-", "−")]);
      const [left, top] = [box.left + window.scrollX, box.top + window.scrollY];
      showTip(left + ((j + 0.5) / many) * box.width, top + ((i + 0.5) / many) * box.height,
        `${found.columns[i]} · ${found.columns[j]}`, lines.length ? lines : [["not defined", ""]]);
    }

    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      const inside = (at, size) => Math.max(0, Math.min(many - 1, Math.floor((at / size) * many)));
      [row, column] = [inside(event.clientY - box.top, box.height), inside(event.clientX - box.left, box.width)];
      show();
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("click", point); // what a tap becomes, once the focus has moved
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hideTip(); });
    canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) show(); });
    canvas.addEventListener("blur", hideTip);
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (event.key === "Escape") hideTip();
      if (!step) return;
      event.preventDefault();
      const far = event.shiftKey ? 10 : 1;
      row = Math.max(0, Math.min(many - 1, row + far * step[0]));
      column = Math.max(0, Math.min(many - 1, column + far * step[1]));
      show();
    });
  }

  // The table of columns ---------------------------------------------------------------------------------------------

  function outline(heights, most) {
    const steps = heights.map((y, i) => `V${(24 - (22 * y) / most).toFixed(1)}H${(((i + 1) / heights.length) * 120).toFixed(1)}`);
    return `M0 24${steps.join("")}V24`;
  }

  function sketch(found) {
    const most = Math.max(...found.real, ...found.synthetic, 1e-12);
    const space = "http://www.w3.org/2000/svg";
    const picture = document.createElementNS(space, "svg");
    picture.setAttribute("viewBox", "0 0 120 24");
    picture.setAttribute("preserveAspectRatio", "none");
    picture.setAttribute("aria-hidden", "true");
    for (const [name, heights] of [["r", found.real], ["s", found.synthetic]]) {
      const path = document.createElementNS(space, "path");
      path.setAttribute("class", name);
      path.setAttribute("d", outline(heights, most));
      picture.append(path);
    }
    return picture;
  }

  const sd = (value) => `${number(value)} sd`;
  const FACTS = [
    ["Error", "error", "floor", number],
    ["Wasserstein", "wasserstein", "wasserstein_floor", sd, "wasserstein_margin"],
    ["Impossible values", "support_violations", "support_violations_floor", share, "support_margin"],
    ["1 % quantile", "tail_low", "tail_low_floor", sd, "tail_low_margin"],
    ["99 % quantile", "tail_high", "tail_high_floor", sd, "tail_high_margin"],
  ];

  // "0.2 ± 0.1 sd": the unit once.
  const between = (value, margin) => value.replace(/^(\S+)/, `$1 ± ${margin.split(" ")[0]}`);

  function facts(column) {
    const list = element("dl", { class: "facts" });
    const known = (value) => value !== null && value !== undefined;
    const add = (name, value, beside, kind = "") => list.append(element("div", { class: kind }, element("dt", {}, name),
      element("dd", {}, value, beside ? element("span", { class: "floor" }, ` ${beside}`) : "")));
    add("Kind", column.kind, "", "long");
    if (column.family) add("Family", column.family, "", "long");
    if (column.support) add("Every real value is", column.support, "", "long");
    for (const [name, key, floor, print, margin] of FACTS) {
      if (!known(column[key])) continue;
      const { error_low: low, error_high: high } = column;
      const range = key === "error" && known(low) && known(high) ? ` (${number(low)} to ${number(high)})` : "";
      const said = known(column[margin]) ? between(print(column[key]), print(column[margin])) : print(column[key]) + range;
      add(name, said, known(column[floor]) ? `floor ${print(column[floor])}` : "");
    }
    const { missing_real: before, missing_synthetic: after } = column;
    const wide = known(column.missing_margin) && column.missing_margin > 0;
    if (known(after)) add("Missing", wide ? between(share(after), share(column.missing_margin)) : share(after), known(before) ? `real ${share(before)}` : "");
    return list;
  }

  function testTable(data, name) {
    const records = data.tests[name];
    if (!records) return element("p", { class: "absent" }, "No test was made of this column.");
    const cell = (text, kind = "n") => element("td", { class: kind }, text);
    const head = (text, kind = "n") => element("th", { scope: "col", class: kind }, text);
    const body = element("tbody");
    for (const [place, statistic, effect, pRaw, pAdjusted, rejected, floorEffect, floorP, floorRejected, why] of records) {
      const { test, null: hypothesis, effect_name: effectName } = data.test_names[place];
      const row = element("tr", {}, element("th", { scope: "row" }, test, element("small", {}, hypothesis)));
      if (statistic === null && why) row.append(element("td", { colspan: 6, class: "quiet" }, `not made: ${why}`));
      else {
        const answer = (yes) => (yes === null ? "–" : yes ? "different" : "not told apart");
        const finding = `${answer(rejected)}${floorRejected ? " (real rows too)" : ""}`;
        row.append(element("td", { class: "n" }, number(effect), element("small", {}, effectName ?? "")), cell(number(floorEffect)),
          cell(number(statistic), "n wide"), cell(p(pRaw), "n wide"), cell(p(pAdjusted)), cell(finding, "wide"));
        row.title = why ?? `floor: adjusted p ${p(floorP)}, ${answer(floorRejected)}`;
      }
      body.append(row);
    }
    return element("div", { class: "scroll" }, element("table", {},
      element("caption", {}, "Tests: is it distributed like the real column?"),
      element("thead", {}, element("tr", {}, head("Test", ""), head("Effect"), head("Floor"), head("Statistic", "n wide"),
        head("p", "n wide"), head("p, adjusted"), head("Finding", "wide"))), body));
  }

  function detailOf(data, column) {
    const found = data.densities[column.column];
    const cell = element("td");
    if (found) {
      const kind = kindOf(found);
      const [charts, drawing] = [element("div", { class: "pair" }), []];
      const add = (title, words, label, ...drawn) => {
        const chart = element("div", { class: "chart", role: "img", "aria-label": label });
        charts.append(element("figure", {}, element("figcaption", {}, element("b", {}, title), words), chart));
        drawing.push([chart, ...drawn]);
      };
      add(kind === "bars" ? "Categories" : "Distribution", "", `Distribution of ${column.column}`, kind, densityRows(found));
      if (found.quantiles_real.length) {
        const label = `Quantiles of ${column.column}, real against synthetic`;
        add("Quantiles", " on the line where they agree", label, "quantiles", quantileRows(found));
      }
      cell.append(charts);
      requestAnimationFrame(() => drawing.forEach((each) => draw(...each)));
    } else cell.append(element("p", { class: "absent" }, "The distribution of this column was not drawn."));
    if (column.note) cell.prepend(element("p", { class: "warning" }, column.note));
    cell.append(facts(column), testTable(data, column.column));
    return cell;
  }

  // A cell over columns that a phone hides would bring them back, empty.
  function span(table) {
    const shown = [...table.tHead.rows[0].cells].filter((cell) => cell.offsetWidth > 0).length;
    table.querySelectorAll("tr.detail > td").forEach((cell) => { cell.colSpan = shown; });
  }

  // What is shown stands in the address, so that it can be sent to someone; without filling the browser's history.
  const remember = (address) => { try { history.replaceState(null, "", address); } catch { /* a page in a frame */ } };
  const prefixOf = (inside) => inside.closest("[data-report]").querySelector("section").id.replace(/verdict$/, "");

  // A table wider than its place says so, and can be moved by the keyboard.
  const sideways = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    const wider = target.scrollWidth > target.clientWidth + 1;
    target.classList.toggle("sideways", wider);
    if (wider) target.tabIndex = 0; else target.removeAttribute("tabindex");
  }));

  function toggle(row, data, open) {
    const button = row.querySelector(".open");
    const shown = button.getAttribute("aria-expanded") === "true";
    if (shown === (open ?? !shown)) return;
    button.setAttribute("aria-expanded", String(!shown));
    const column = data.columns[row.dataset.row];
    const address = `#${prefixOf(row)}column=${encodeURIComponent(column.column)}`;
    if (shown) {
      row.nextElementSibling.remove();
      if (location.hash === address) remember(`#${prefixOf(row)}fidelity`);
      return;
    }
    remember(address);
    const detail = element("tr", { class: "detail", id: button.getAttribute("aria-controls") });
    row.after(detail);
    detail.append(detailOf(data, column));
    span(row.closest("table"));
    detail.querySelectorAll(".scroll").forEach((box) => sideways.observe(box));
  }

  function prepareColumns(table, data) {
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const column = data.columns[row.dataset.row];
      const name = row.querySelector(".name");
      const state = { "aria-expanded": "false", "aria-controls": `${table.id}-${row.dataset.row}` };
      const button = element("button", { type: "button", class: "open name", ...state }, name.textContent);
      name.replaceWith(button);
      row.addEventListener("click", (event) => { // unless the row's text is being marked
        if (event.target === button || !window.getSelection().toString()) toggle(row, data);
      });
      if (data.densities[column.column]) row.querySelector("td.drawn").append(sketch(data.densities[column.column]));
    }
    window.addEventListener("resize", () => span(table));
    prepareSearch(table, data, rows);
    prepareSort(table, data, rows);
  }

  function prepareSearch(table, data, rows) {
    const section = table.closest("section");
    const finder = section.querySelector(".finder");
    const [input, output] = [finder.querySelector("input"), finder.querySelector("output")];
    const all = section.querySelector("button.all");
    finder.hidden = false;
    const search = () => {
      const words = input.value.trim().toLowerCase().split(/\s+/);
      let many = 0;
      for (const row of rows) {
        const { column, kind, family: fitted } = data.columns[row.dataset.row];
        const text = `${column} ${kind} ${fitted ?? ""}`.toLowerCase();
        const found = words.every((word) => text.includes(word));
        many += found;
        if (!found) toggle(row, data, false);
        row.hidden = !found;
      }
      const searching = input.value.trim() !== "";
      table.classList.toggle("short", !searching && all !== null && !all.hidden);
      output.textContent = searching ? `${many} of ${rows.length} columns` : "";
    };
    input.addEventListener("input", search);
    if (!all) return;
    all.hidden = false;
    all.addEventListener("click", () => { all.hidden = true; table.classList.remove("short"); });
  }

  function prepareSort(table, data, rows) {
    const heads = [...table.querySelectorAll("th[data-sort]")];
    for (const head of heads) {
      head.append(element("button", { type: "button", "aria-label": `Sort by ${head.textContent}` }));
      head.addEventListener("click", () => {
        const key = head.dataset.sort;
        const first = key === "column" ? "ascending" : "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        sortRows(table, data, rows, key, order === "ascending" ? 1 : -1);
      });
    }
  }

  function sortRows(table, data, rows, key, sign) {
    const value = (row) => data.columns[row.dataset.row][key];
    rows.forEach((row) => toggle(row, data, false));
    rows.sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === null || b === null) return (a === null) - (b === null); // what was not judged stands last
      return sign * (typeof a === "string" ? a.localeCompare(b, "en") : a - b) || one.dataset.row - other.dataset.row;
    });
    rows.forEach((row, place) => row.classList.toggle("more", place >= 20));
    table.tBodies[0].append(...rows);
  }

  // The page ---------------------------------------------------------------------------------------------------------

  function prepareTheme() {
    const button = document.getElementById("theme");
    const screen = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (document.documentElement.dataset.theme ?? (screen.matches ? "dark" : "light")) === "dark";
    const label = () => { button.textContent = isDark() ? "Light page" : "Dark page"; };
    button.hidden = false;
    label();
    screen.addEventListener("change", label);
    button.addEventListener("click", () => {
      const theme = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = theme;
      try { localStorage.setItem("tabsyn-report-theme", theme); } catch { /* it is forgotten with the page */ }
      label();
    });
  }

  const waiting = new Set();

  function drawWaiting() {
    if (drawNext()) setTimeout(drawWaiting); // one at a time, so that the page can be read and scrolled meanwhile
  }

  function drawNext() {
    const place = [...waiting].find((each) => !each.closest("[hidden]"));
    if (!place) return false;
    waiting.delete(place);
    (place.matches("canvas") ? drawMap : drawChart)(place);
    return true;
  }

  function prepareReport(article) {
    const data = content.reports[article.dataset.report];
    const table = article.querySelector("table.columns");
    if (table) prepareColumns(table, data);
    article.querySelectorAll(".chart, .map").forEach((place) => waiting.add(place));
    for (const choice of article.querySelectorAll(".method-choice, .colour-choice")) {
      choice.addEventListener("change", () => drawChart(choice.closest("figure").querySelector(".chart")));
    }
    const larger = article.querySelector("button.larger");
    if (larger) {
      larger.hidden = false;
      larger.addEventListener("click", () => {
        const large = article.querySelector(".maps").classList.toggle("large");
        larger.setAttribute("aria-pressed", String(large));
      });
    }
  }

  function openColumn(article, name) {
    const data = content.reports[article.dataset.report];
    const place = data.columns.findIndex((each) => each.column === name);
    const row = article.querySelector(`tr[data-row="${place}"]`);
    if (!row) return false;
    article.querySelector(".finder input").value = "";
    article.querySelector(".finder input").dispatchEvent(new Event("input"));
    row.classList.remove("more");
    toggle(row, data, true);
    row.scrollIntoView({ block: "start" });
    row.querySelector(".open").focus({ preventScroll: true });
    return true;
  }

  function prepareChoice(articles) {
    const choice = document.getElementById("choice");
    if (!choice) return;
    const show = (place) => {
      choice.value = String(place);
      articles.forEach((article, each) => { article.hidden = each !== place; });
      drawWaiting();
    };
    const follow = () => {
      const target = location.hash && document.getElementById(location.hash.slice(1));
      const article = target && target.closest("[data-report]");
      if (!article) return;
      show(Number(article.dataset.report));
      target.scrollIntoView();
    };
    choice.addEventListener("change", () => {
      show(Number(choice.value));
      remember(`#${prefixOf(articles[choice.value].querySelector("section"))}verdict`);
    });
    window.addEventListener("hashchange", follow);
    show(0);
    follow();
    return show;
  }

  // #column=MolWt, or #t2-column=MolWt in the second report.
  function openAddress(articles, show) {
    const [, prefix, name] = location.hash.match(/^#(t\d+-)?column=(.+)$/) ?? [];
    if (!name) return;
    const place = prefix ? Number.parseInt(prefix.slice(1), 10) - 1 : 0;
    if (!articles[place]) return;
    show?.(place);
    try { openColumn(articles[place], decodeURIComponent(name)); } catch { /* no such name */ }
  }

  const articles = [...document.querySelectorAll("[data-report]")];
  prepareTheme();
  articles.forEach(prepareReport);
  const show = prepareChoice(articles);
  openAddress(articles, show);
  window.addEventListener("hashchange", () => openAddress(articles, show));
  document.querySelectorAll(".scroll").forEach((box) => sideways.observe(box));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-column]");
    if (link && openColumn(link.closest("[data-report]"), link.dataset.column)) event.preventDefault();
  });
  document.addEventListener("scroll", hideTip, { passive: true });
  let closed = [];
  window.addEventListener("beforeprint", () => {
    while (drawNext()); // paper does not wait
    document.querySelectorAll("tr.detail > td").forEach((cell) => { cell.colSpan = 7; });
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((each) => { each.open = true; });
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((each) => { each.open = false; });
    document.querySelectorAll("table.columns").forEach(span);
  });
  drawWaiting();
})();
