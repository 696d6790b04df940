// The scripts of a report: they fill its pictures with the numbers in it, follow its controls, and sort its tables.
// Nothing is loaded. Text from a run only ever becomes the text of an element, never its markup.
"use strict";
(() => {
  const json = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
  const find = (id) => document.getElementById(id);
  const runs = json("runs") ?? [], statistics = json("statistics") ?? {};
  const GROUPS = json("groups") ?? {};
  const DASHES = { "loss test": [6, 4], "accuracy test": [6, 4], constant: [2, 4] };
  const COLOURS = { "loss batch": "#9aa0a6", train: "#2f7ed8", test: "#2ca02c", constant: "#f28e2b" };
  const LINES = ["#2f7ed8", "#f28e2b", "#2ca02c", "#9467bd", "#8c564b", "#17becf", "#bcbd22", "#d62728"];
  const MOST_LINES = LINES.length;
  const state = { run: 0, matrix: null, column: 0, chosen: [], finding: -1, part: "value", log: {} };
  let doc = null;

  // ------------------------------------------------------------------------------------------------- numbers as text

  // The same as `compact` in gradlab/text.py.
  function compact(value) {
    if (value === null || value === undefined) return "–";
    if (Number.isNaN(value)) return "nan";
    if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-3 || size >= 9999.5) {
      const [mantissa, exponent] = value.toExponential(size < 1e-99 || size >= 1e100 ? 0 : 1).split("e");
      return `${mantissa}e${Number(exponent)}`;
    }
    return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
  }
  const power = (exponent) => {
    if (exponent > -300 && exponent < 300) return compact(10 ** exponent);
    const whole = Math.floor(exponent); // beyond the range in which 10 ** x has all its digits
    return `${(10 ** (exponent - whole)).toFixed(0)}e${whole}`;
  };
  const isLog = (matrix) => statistics[matrix.statistic].log;
  const isNone = (value) => Number.isNaN(value);
  const isNan = (matrix, value) => value >= matrix.nan && Number.isFinite(value);
  const isZero = (matrix, value) => (isLog(matrix) ? value === -Infinity : value === 0);
  const isBad = (matrix, value) => isNan(matrix, value) || value === Infinity || (!isLog(matrix) && value === -Infinity);
  const isDrawn = (matrix, value) => Number.isFinite(value) && !isBad(matrix, value);
  function text(matrix, value) {
    if (isNone(value)) return "–";
    if (isNan(matrix, value)) return "nan";
    if (!isLog(matrix)) return compact(value);
    return value === -Infinity ? "0" : value === Infinity ? "inf" : power(value);
  }
  // Bokeh would read $$…$$ and \(…\) in a label as TeX, and fetch a typesetter.
  const label = (name) => name.replaceAll("$", "＄").replaceAll("\\", "＼");
  const short = (name, most) => (name.length > most ? `…${name.slice(1 - most)}` : name);

  function numbers(packed, bits) {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    return bits === 64 ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
  }
  function unpack(matrix) {
    if (matrix.read) return matrix;
    for (const part of ["value", "low", "high"]) if (matrix[part]) matrix[part] = numbers(matrix[part], matrix.bits);
    matrix.low ??= matrix.value;
    matrix.high ??= matrix.value;
    matrix.read = true;
    return matrix;
  }
  const run = () => runs[state.run];
  const columns = () => run().columns[state.matrix.columns];
  const width = () => columns().shown.length;
  const at = (row, column, part = "value") => state.matrix[part][row * width() + column];
  const moduleOf = (row) => run().modules[state.matrix.modules[row]];
  const nameOf = (row) => moduleOf(row).module || "the model";
  const whereOf = (row) => `layer ${moduleOf(row).layer}, ${nameOf(row)}`;
  const stepsOf = (column) => {
    const { first, last, shown } = columns();
    return first[column] === last[column] ? `step ${shown[column]}` : `step ${shown[column]} of ${first[column]}–${last[column]}`;
  };
  const columnAt = (step) => {
    const { first } = columns();
    let column = 0;
    while (column + 1 < first.length && first[column + 1] <= step) column += 1;
    return column;
  };

  // --------------------------------------------------------------------------------------------------------- pictures

  const model = (name) => doc.get_model_by_name(name);
  const fill = (name, data) => { model(name).data = data; };
  function range(axis, low, high) {
    axis.setv({ start: low, end: high, reset_start: low, reset_end: high });
  }
  function limits(values, log, share) {
    if (share) return [0, 1];
    let low = Infinity, high = -Infinity;
    for (const value of values) if (Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
    if (low > high) return [log ? -1 : 0, log ? 0 : 1];
    const least = log ? 2 : Math.max(1e-12, 0.02 * Math.max(Math.abs(low), Math.abs(high)));
    const margin = Math.max(0, least - (high - low)) / 2;
    return [low - margin, high + margin];
  }
  const roomy = ([low, high]) => [low - 0.06 * (high - low), high + 0.06 * (high - low)];
  function stepRange(name, first, last) { range(model(name).x_range, first - 0.5, last + 0.5); }

  function drawHeat() {
    const matrix = state.matrix, { first, last } = columns(), rows = matrix.modules.length;
    const begin = first[0], end = last[last.length - 1];
    const wide = Math.max(1, Math.min(600, end - begin + 1));
    const part = state.part, drawn = [];
    for (let i = 0; i < rows * width(); i += 1) if (isDrawn(matrix, matrix[part][i])) drawn.push(matrix[part][i]);
    const [low, high] = limits(drawn, isLog(matrix), statistics[matrix.statistic].share);
    const beyond = 10 * (high - low) + 1;
    const image = [];
    const source = Array.from({ length: wide }, (_, x) => columnAt(wide === 1 ? begin : begin + (x * (end - begin)) / (wide - 1)));
    for (let row = 0; row < rows; row += 1) {
      image.push(...Array.from(source, (column) => {
        const value = at(row, column, part);
        if (isNone(value)) return NaN;
        if (isBad(matrix, value)) return high + beyond;
        return isLog(matrix) && value === -Infinity ? low - beyond : value;
      }));
    }
    model("heat colours").setv({ low, high });
    state.log["heat colour"] = isLog(matrix);
    const Matrix = model("heat image").data.image[0].constructor; // an array of Bokeh's with a shape
    fill("heat image", { image: [new Matrix(Float64Array.from(image), [rows, wide])], x: [begin - 0.5], y: [-0.5], dw: [end - begin + 1], dh: [rows] });
    stepRange("heat", begin, end);
    range(model("heat").y_range, -0.5, rows - 0.5);
    modulesAxis("heat y");
  }
  function modulesAxis(name) {
    state.modules = state.modules ?? {};
    state.modules[name] = state.matrix.modules.map((_, row) => nameOf(row));
  }

  function drawProfile() {
    const matrix = state.matrix, rows = matrix.modules.map((_, row) => row), last = width() - 1;
    const usable = (column) => rows.map((row) => (isDrawn(matrix, at(row, column)) ? at(row, column) : NaN));
    const now = usable(state.column), begin = usable(0), theory = matrix.theory ?? [];
    const known = rows.map((row) => (theory[row] === null || theory[row] === undefined ? NaN : theory[row]));
    const [low, high] = roomy(limits([...now, ...begin, ...known], isLog(matrix), statistics[matrix.statistic].share));
    fill("profile first", { x: rows, y: begin });
    fill("profile now", { x: rows, y: now });
    fill("profile points", { x: rows, y: now });
    fill("profile theory", { x: rows, y: known });
    const zero = rows.filter((row) => isLog(matrix) && at(row, state.column) === -Infinity);
    const bad = rows.filter((row) => isBad(matrix, at(row, state.column)));
    fill("profile edge", {
      x: [...zero, ...bad], y: [...zero.map(() => low), ...bad.map(() => high)],
      marker: [...zero.map(() => "inverted_triangle"), ...bad.map(() => "x")],
    });
    range(model("profile").x_range, -0.5, Math.max(rows.length - 0.5, 0.5));
    range(model("profile").y_range, low, high);
    modulesAxis("profile x");
    const words = [`blue: ${stepsOf(state.column)}`];
    if (last > 0) words.push(`light blue: step ${columns().shown[0]}`);
    if (matrix.theory) words.push("orange, dashed: theory at the start");
    if (zero.length) words.push("▾ exactly 0");
    if (bad.length) words.push("× NaN or infinite");
    find("profile-legend").textContent = words.join(" · ");
    find("step-text").textContent = stepsOf(state.column);
  }

  function drawCourse() {
    const matrix = state.matrix, { first, last, shown, thinned } = columns();
    const lines = { xs: [], ys: [], color: [] }, bands = { xs: [], ys: [], color: [] }, seen = [];
    const legend = find("course-legend");
    legend.replaceChildren();
    state.chosen.forEach((row, number) => {
      const color = LINES[number % MOST_LINES];
      const values = shown.map((_, column) => (isDrawn(matrix, at(row, column)) ? at(row, column) : NaN));
      lines.xs.push(shown); lines.ys.push(values); lines.color.push(color);
      seen.push(...values);
      if (thinned) {
        const ends = shown.map((_, column) => ["low", "high"].map((part) => at(row, column, part)));
        const drawn = ends.map((pair, column) => [column, pair]).filter(([, pair]) => pair.every((value) => isDrawn(matrix, value)));
        const x = drawn.flatMap(([column]) => [first[column], last[column]]);
        const of = (which) => drawn.flatMap(([, pair]) => [pair[which], pair[which]]);
        bands.xs.push([...x, ...x.slice().reverse()]); bands.ys.push([...of(0), ...of(1).reverse()]); bands.color.push(color);
        seen.push(...of(0), ...of(1));
      }
      const item = document.createElement("li"), swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = color;
      item.append(swatch, whereOf(row));
      legend.append(item);
    });
    fill("course lines", lines);
    fill("course bands", bands);
    stepRange("course", first[0], last[last.length - 1]);
    range(model("course").y_range, ...roomy(limits(seen, isLog(matrix), statistics[matrix.statistic].share)));
  }

  function drawLines(quantity) {
    const lines = { xs: [], ys: [], color: [], dash: [], width: [] }, all = [];
    const given = Object.entries(run().lines).filter(([name]) => name.startsWith(`${quantity} `));
    let first = Infinity, last = -Infinity;
    for (const [name, [steps, values]] of given) {
      const split = name.split(" ")[1];
      lines.xs.push(steps); lines.ys.push(values);
      lines.color.push(COLOURS[name] ?? COLOURS[split]); lines.dash.push(DASHES[name] ?? []);
      lines.width.push(split === "batch" ? 1 : 2);
      for (const value of values) all.push(value);
      first = Math.min(first, steps[0]); last = Math.max(last, steps[steps.length - 1]);
    }
    const words = given.map(([name]) => ({ batch: "grey: batches", train: "blue: training split", test: "green, dashed: test split" })[name.split(" ")[1]]);
    const constant = run().lines.constant;
    const positive = all.filter((value) => value > 0).sort((a, b) => a - b);
    const steep = quantity === "loss" && positive.length === all.length && positive.length > 0
      && positive[positive.length - 1] > 30 * positive[positive.length >> 1];
    if (steep) lines.ys = lines.ys.map((values) => values.map((value) => Math.log10(value)));
    state.log[`${quantity} y`] = steep;
    if (quantity === "loss" && constant !== null && given.length) {
      lines.xs.push([first, last]); lines.ys.push([constant, constant].map((value) => (steep ? Math.log10(value) : value)));
      lines.color.push(COLOURS.constant); lines.dash.push(DASHES.constant); lines.width.push(2);
      words.push(`orange, dotted: a constant guess, ${compact(constant)}`);
    }
    fill(`${quantity} lines`, lines);
    find(`${quantity}-picture`).hidden = given.length === 0;
    find(`${quantity}-legend`).textContent = words.join(" · ");
    if (!given.length) return;
    stepRange(quantity, first, last);
    range(model(quantity).y_range, ...roomy(quantity === "accuracy" ? [0, 1] : limits(lines.ys.flat(), steep, false)));
  }

  const QUANTITIES = { activation: "activations", delta: "δ", weight: "weights", weight_gradient: "gradients of the weights" };
  function spreads() { return run().histograms; }
  function drawSpread() {
    const chosen = spreads().find((each) => `${each.module}` === find("spread-module").value && each.quantity === find("spread-quantity").value);
    find("spread-section").hidden = spreads().length === 0;
    const lines = { xs: [], ys: [], color: [] }, legend = find("spread-legend");
    legend.replaceChildren();
    let low = Infinity, high = -Infinity, top = 0;
    (chosen?.step ?? []).forEach((step, index) => {
      const from = chosen.low[index], to = chosen.high[index], counts = chosen.counts[index];
      const total = counts.reduce((sum, count) => sum + count, 0) + chosen.non_finite[index];
      const item = document.createElement("li"), swatch = document.createElement("span");
      const light = chosen.step.length === 1 ? 40 : 78 - (48 * index) / (chosen.step.length - 1);
      const color = `hsl(212, 70%, ${light}%)`;
      swatch.className = "swatch"; swatch.style.background = color;
      const broken = chosen.non_finite[index] ? `, ${chosen.non_finite[index]} NaN or infinite` : "";
      item.append(swatch, from === null ? `step ${step}: nothing finite${broken}` : `step ${step}: ${compact(from)} … ${compact(to)}${broken}`);
      legend.append(item);
      if (from === null || to === null || !total) return;
      const bin = (to - from) / counts.length || 1e-12, xs = [from], ys = [0];
      counts.forEach((count, number) => {
        xs.push(from + number * bin, from + (number + 1) * bin);
        ys.push(count / total, count / total);
        top = Math.max(top, count / total);
      });
      xs.push(from + counts.length * bin); ys.push(0);
      lines.xs.push(xs); lines.ys.push(ys); lines.color.push(color);
      low = Math.min(low, from); high = Math.max(high, from + counts.length * bin);
    });
    fill("spread lines", lines);
    if (low > high) return;
    range(model("spread").x_range, low - 0.03 * (high - low), high + 0.03 * (high - low));
    range(model("spread").y_range, 0, top * 1.06 || 1);
  }

  // ---------------------------------------------------------------------------------------------------------- findings

  function mark() {
    const finding = run().findings[state.finding];
    const boxes = { left: [], right: [], top: [], bottom: [] };
    const { first, last } = columns();
    const steps = finding?.steps ?? [first[0], last[last.length - 1]];
    if (finding) {
      const rows = state.matrix.modules.map((number, row) => [number, row])
        .filter(([number]) => finding.modules.includes(number) || finding.layers.includes(run().modules[number].layer))
        .map(([, row]) => row);
      const marked = rows.length ? rows : state.matrix.modules.map((_, row) => row);
      let begin = marked[0];
      marked.forEach((row, index) => {
        if (marked[index + 1] === row + 1) return;
        boxes.left.push(steps[0] - 0.5); boxes.right.push(steps[1] + 0.5);
        boxes.bottom.push(begin - 0.5); boxes.top.push(row + 0.5);
        begin = marked[index + 1];
      });
      model("profile mark").setv({ left: Math.min(...marked) - 0.5, right: Math.max(...marked) + 0.5 });
      state.chosen = marked.length > MOST_LINES ? spreadOut(marked) : marked;
    }
    fill("heat marks", boxes);
    for (const name of ["course", "loss", "accuracy"]) model(`${name} mark`).setv({ left: steps[0], right: steps[1] });
    for (const name of ["profile", "course", "loss", "accuracy"]) model(`${name} mark`).visible = Boolean(finding);
  }
  function spreadOut(rows) {
    const count = Math.min(4, rows.length);
    return [...new Set(Array.from({ length: count }, (_, i) => rows[Math.round((i * (rows.length - 1)) / Math.max(count - 1, 1))]))];
  }

  // ---------------------------------------------------------------------------------------------------------- controls

  function options(select, entries, chosen) {
    select.replaceChildren(...entries.map(([value, words]) => {
      const option = document.createElement("option");
      option.value = value; option.textContent = words; option.selected = chosen.includes(`${value}`);
      return option;
    }));
  }
  function chooseRun(number) {
    const before = state.matrix ?? { statistic: "delta_rms", group: "weight" };
    Object.assign(state, { matrix: null, chosen: [], column: 0 });
    state.run = number;
    state.finding = -1;
    const { matrices, findings } = run(), select = find("statistic");
    find("explorer").hidden = !matrices.length;
    find("no-pictures").hidden = matrices.length > 0;
    if (find("run-select")) find("run-select").value = `${number}`;
    select.replaceChildren();
    for (const [group, words] of Object.entries(GROUPS)) {
      const own = matrices.map((matrix, index) => [matrix, index]).filter(([matrix]) => matrix.group === group);
      if (!own.length) continue;
      const part = document.createElement("optgroup");
      part.label = words;
      for (const [matrix, index] of own) {
        const option = document.createElement("option");
        option.value = index;
        option.textContent = `${statistics[matrix.statistic].label} of ${words}`;
        part.append(option);
      }
      select.append(part);
    }
    options(find("finding"), [[-1, "none"], ...findings.map((finding, index) => [index, `${index + 1}. ${finding.rule}`])], ["-1"]);
    find("finding-control").hidden = findings.length === 0;
    options(find("spread-quantity"), [...new Set(spreads().map((each) => each.quantity))].map((name) => [name, QUANTITIES[name] ?? name]), []);
    spreadModules();
    drawSpread();
    drawLines("loss");
    drawLines("accuracy");
    if (matrices.length) chooseMatrix(Math.max(0, matrices.findIndex((each) => each.statistic === before.statistic && each.group === before.group)));
  }
  function spreadModules() {
    const before = find("spread-module").value, quantity = find("spread-quantity").value;
    const own = spreads().filter((each) => each.quantity === quantity).map((each) => each.module);
    const kept = own.includes(Number(before)) && before !== "" ? before : `${own[0]}`;
    options(find("spread-module"), own.map((module) => [module, `layer ${run().modules[module].layer}, ${run().modules[module].module || "the model"}`]), [kept]);
  }
  function chooseMatrix(index) {
    const named = state.chosen.map((row) => state.matrix?.modules[row]);
    const step = state.matrix && columns().shown[state.column];
    state.matrix = unpack(run().matrices[index]);
    const matrix = state.matrix, thinned = columns().thinned, { label: words, doc: about } = statistics[matrix.statistic];
    find("statistic").value = `${index}`;
    state.column = step === undefined || step === null ? width() - 1 : columnAt(step);
    state.chosen = named.map((number) => matrix.modules.indexOf(number)).filter((row) => row >= 0);
    if (!state.chosen.length) state.chosen = spreadOut(matrix.modules.map((_, row) => row));
    find("about").textContent = about;
    find("part-control").hidden = !thinned;
    if (!thinned) state.part = find("part").value = "value";
    find("thinned").hidden = !thinned;
    if (thinned) {
      find("thinned").textContent = `Thinned out: ${columns().shown.length} columns stand for the recorded steps ${columns().first[0]} to ${columns().last[width() - 1]}. Each column keeps the values at one step and the smallest and the largest of all its steps: the bands in the picture over time.`;
    }
    for (const axis of ["profile y", "course y"]) { state.log[axis] = isLog(matrix); model(axis).axis_label = words; }
    find("step").max = width() - 1;
    redraw();
  }
  function redraw() {
    mark();
    drawHeat();
    drawProfile();
    drawCourse();
    options(find("modules"), state.matrix.modules.map((_, row) => [row, whereOf(row)]), state.chosen.map(String));
    chooseColumn(state.column);
    tables();
    for (const name of ["heat y", "heat colour", "profile x", "profile y", "course y"]) model(name).change.emit();
  }
  function chooseColumn(column) {
    state.column = Math.min(Math.max(column, 0), width() - 1);
    find("step").value = state.column;
    for (const name of ["heat step", "course step"]) model(name).setv({ location: columns().shown[state.column], visible: true });
    drawProfile();
    tables();
  }
  function chooseModules(rows) {
    state.chosen = rows.slice(0, MOST_LINES);
    options(find("modules"), state.matrix.modules.map((_, row) => [row, whereOf(row)]), state.chosen.map(String));
    drawCourse();
    tables();
  }
  function chooseFinding(index) {
    state.finding = index;
    find("finding").value = `${index}`;
    const finding = run().findings[index];
    if (finding) {
      const { matrices, modules } = run();
      const kinds = new Set(finding.modules.map((number) => number));
      const fits = (each) => each.statistic === finding.statistic;
      let best = matrices.findIndex((each) => fits(each) && each.modules.some((number) => kinds.has(number)));
      if (best < 0) best = matrices.findIndex(fits);
      if (best < 0) best = matrices.findIndex((each) => each.modules.some((number) => kinds.has(number)));
      if (best >= 0 && modules.length) {
        chooseMatrix(best);
        chooseColumn(columnAt(finding.steps?.[1] ?? columns().last[width() - 1]));
        return;
      }
    }
    if (state.matrix) redraw();
  }
  function chooseModule(number) {
    const { matrices } = run();
    let index = matrices.indexOf(state.matrix);
    if (index < 0 || !matrices[index].modules.includes(number)) index = matrices.findIndex((each) => each.modules.includes(number));
    if (index < 0) return;
    chooseMatrix(index);
    chooseModules([state.matrix.modules.indexOf(number)]);
    const spread = spreads().find((each) => each.module === number && each.quantity === find("spread-quantity").value)
      ?? spreads().find((each) => each.module === number);
    if (spread) { find("spread-quantity").value = spread.quantity; spreadModules(); find("spread-module").value = `${number}`; drawSpread(); }
  }
  function point(x, y) {
    const row = Math.round(y), matrix = state.matrix;
    if (!matrix || x === null || y === null || row < 0 || row >= matrix.modules.length) return null;
    const column = columnAt(Math.round(x)), { first, last } = columns();
    if (x < first[0] - 0.5 || x > last[last.length - 1] + 0.5) return null;
    const words = [`${whereOf(row)} · ${stepsOf(column)} · ${statistics[matrix.statistic].label} ${text(matrix, at(row, column))}`];
    if (first[column] !== last[column]) {
      words.push(`from ${text(matrix, at(row, column, "low"))} to ${text(matrix, at(row, column, "high"))} in steps ${first[column]}–${last[column]}`);
    }
    find("reading").textContent = words.join(", ");
    return [row, column];
  }

  // ------------------------------------------------------------------------------------------------------------ tables

  function tableOf(id, head, rows) {
    const place = find(id);
    if (!place.closest("details").open) return;
    const make = (name, words) => { const cell = document.createElement(name); cell.textContent = words; return cell; };
    const line = (cells, name) => {
      const row = document.createElement("tr");
      row.append(...cells.map((words, index) => make(index ? name : "th", words)));
      return row;
    };
    const whole = document.createElement("table"), top = document.createElement("thead"), body = document.createElement("tbody");
    top.append(line(head, "th"));
    body.append(...rows.map((cells) => line(cells, "td")));
    whole.append(top, body);
    place.replaceChildren(whole);
  }
  const some = (count, most) => [...new Set(Array.from({ length: Math.min(most, count) }, (_, i) => Math.round((i * (count - 1)) / Math.max(Math.min(most, count) - 1, 1))))];
  function tables() {
    const matrix = state.matrix, { shown } = columns(), rows = matrix.modules.map((_, row) => row), chosen = some(width(), 12);
    tableOf("heat-table", ["module", ...chosen.map((column) => `step ${shown[column]}`)],
      rows.map((row) => [whereOf(row), ...chosen.map((column) => text(matrix, at(row, column, state.part)))]));
    tableOf("profile-table", ["module", stepsOf(0), stepsOf(state.column), ...(matrix.theory ? ["theory at the start"] : [])],
      rows.map((row) => [whereOf(row), text(matrix, at(row, 0)), text(matrix, at(row, state.column)),
        ...(matrix.theory ? [text(matrix, matrix.theory[row] ?? NaN)] : [])]));
    tableOf("course-table", ["step", ...state.chosen.map(whereOf)],
      some(width(), 60).map((column) => [`${shown[column]}`, ...state.chosen.map((row) => text(matrix, at(row, column)))]));
    for (const quantity of ["loss", "accuracy"]) {
      const given = Object.entries(run().lines).filter(([name]) => name.startsWith(`${quantity} `));
      tableOf(`${quantity}-table`, ["of", "step", quantity], given.flatMap(([name, [steps, values]]) =>
        some(steps.length, 30).map((index) => [name.split(" ")[1], `${steps[index]}`, compact(values[index])])));
    }
    const chosenSpread = spreads().filter((each) => `${each.module}` === find("spread-module").value && each.quantity === find("spread-quantity").value);
    tableOf("spread-table", ["step", "smallest", "largest", "NaN or infinite", "entries in 64 bins"], chosenSpread.flatMap((each) =>
      each.step.map((step, index) => [`${step}`, compact(each.low[index]), compact(each.high[index]), `${each.non_finite[index]}`, each.counts[index].join(" ")])));
  }

  // The comparison: click a header to sort, type to filter.
  function sortable(whole) {
    const body = whole.tBodies[0];
    for (const button of whole.querySelectorAll("th button")) {
      button.addEventListener("click", () => {
        const head = button.parentElement, column = head.cellIndex, up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of whole.querySelectorAll("th")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const order = (one, other) => {
          const [a, b] = [key(one), key(other)];
          if (a === "" || b === "") return (a === "") - (b === ""); // rows without a number come last both ways
          const difference = Number(a) - Number(b);
          const way = Number.isNaN(difference) ? a.localeCompare(b) : difference;
          return up ? way : -way;
        };
        body.append(...[...body.rows].sort(order));
      });
    }
    const filter = find("filter");
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const row of body.rows) {
        row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
        left += !row.hidden;
      }
      find("filtered").textContent = words.length ? `${left} of ${body.rows.length} rows` : "";
    });
  }

  // ------------------------------------------------------------------------------------------------------------- theme

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  function theme() {
    const words = dark.matches ? "#d5d9de" : "#333a41", line = dark.matches ? "#59626c" : "#a9b0b7";
    const paper = dark.matches ? "#171b20" : "#ffffff", grid = dark.matches ? "#2a3038" : "#e7eaed";
    for (const root of doc.roots()) {
      root.setv({ background_fill_color: paper, border_fill_color: paper, outline_line_color: line });
      for (const part of [...root.below, ...root.left, ...root.right, ...root.center]) {
        if (part.type.endsWith("Axis")) {
          part.setv({ axis_label_text_color: words, major_label_text_color: words, axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: null });
        } else if (part.type === "Grid") part.grid_line_color = grid;
        else if (part.type === "ColorBar") part.setv({ background_fill_color: paper, major_label_text_color: words });
      }
    }
  }

  // ------------------------------------------------------------------------------------------------------------- start

  window.gradlab = {
    tick(axis, value) {
      const names = state.modules?.[axis];
      if (names) {
        if (!Number.isInteger(value) || value < 0 || value >= names.length) return "";
        if (axis.endsWith("x")) return `${value}`;
        return window.innerWidth < 600 ? `layer ${moduleOf(value).layer}` : label(short(names[value], 24));
      }
      const words = state.log[axis] ? power(value) : axis.endsWith("x") && !axis.startsWith("spread") ? `${value}` : compact(value);
      return words.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, ""); // 1e-4, not 1.0e-4
    },
    point,
    choose(x, y) {
      const found = point(x, y);
      if (!found) return;
      chooseColumn(found[1]);
      chooseModules(state.chosen.includes(found[0]) ? state.chosen : [...state.chosen.slice(1 - MOST_LINES), found[0]]);
    },
    choose_step(x) { chooseColumn(columnAt(Math.round(x))); },
    compact,
    state,
  };

  async function start() {
    for (const whole of document.querySelectorAll("table.sortable")) sortable(whole);
    if (!runs.length) return;
    const item = json("bokeh"), roots = json("roots");
    await Bokeh.embed.embed_items({ page: item }, [{ docid: "page", roots, root_ids: Object.keys(roots) }]);
    doc = Bokeh.documents[Bokeh.documents.length - 1];
    theme();
    dark.addEventListener("change", theme);
    const on = (id, event, act) => find(id).addEventListener(event, act);
    if (find("run-select")) on("run-select", "change", () => chooseRun(Number(find("run-select").value)));
    on("statistic", "change", () => chooseMatrix(Number(find("statistic").value)));
    on("part", "change", () => { state.part = find("part").value; redraw(); });
    on("finding", "change", () => chooseFinding(Number(find("finding").value)));
    on("step", "input", () => chooseColumn(Number(find("step").value)));
    on("modules", "change", () => chooseModules([...find("modules").selectedOptions].map((option) => Number(option.value))));
    on("spread-quantity", "change", () => { spreadModules(); drawSpread(); tables(); });
    on("spread-module", "change", () => { drawSpread(); tables(); });
    for (const part of document.querySelectorAll("#drawn details")) part.addEventListener("toggle", () => { if (state.matrix) tables(); });
    document.addEventListener("click", (event) => {
      const link = event.target.closest("[data-module], [data-finding], [data-run]");
      if (!link) return;
      if (link.dataset.run !== undefined && Number(link.dataset.run) !== state.run) chooseRun(Number(link.dataset.run));
      const section = link.hash && find(link.hash.slice(1));
      if (section?.tagName === "DETAILS") section.open = true;
      if (link.dataset.module !== undefined) chooseModule(Number(link.dataset.module));
      if (link.dataset.finding !== undefined) chooseFinding(Number(link.dataset.finding));
    });
    chooseRun(0);
    document.body.dataset.ready = "yes";
  }
  start();
})();
