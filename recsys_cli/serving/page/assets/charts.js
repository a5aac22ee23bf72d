// Small charts as SVG, in the size of the place they are put in.
const color = (index) => `var(--c${index % 8})`;
const PAD = { left: 40, right: 8, top: 8, bottom: 18 };

function plot(place, label, draw) {
  const width = Math.max(place.clientWidth, 160), height = Math.max(place.clientHeight, 40);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  draw(picture, width, height);
  place.replaceChildren(picture);
}

const text = (x, y, content, more = {}) => {
  const node = svg("text", { x, y, ...more });
  node.textContent = content;
  return node;
};
const rule = (x1, y1, x2, y2, stroke = "var(--line)") => svg("line", { x1, y1, x2, y2, stroke, "stroke-width": 1 });

// A round number at least as large.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return power * [1, 2, 2.5, 5, 10].find((step) => step * power >= value * 0.999);
}

function frame(picture, width, height, low, high, write, begin, end) {
  for (const value of [low, (low + high) / 2, high]) {
    const y = height - PAD.bottom - ((value - low) / (high - low)) * (height - PAD.top - PAD.bottom);
    picture.append(rule(PAD.left, y, width - PAD.right, y));
    picture.append(text(PAD.left - 6, y + 4, write(value), { "text-anchor": "end" }));
  }
  picture.append(text(PAD.left, height - 4, begin), text(width - PAD.right, height - 4, end, { "text-anchor": "end" }));
}

function nothing(place, message) {
  plot(place, message, (picture, width, height) => {
    picture.append(svg("rect", { x: 1, y: 1, width: width - 2, height: height - 2, rx: 8, class: "empty" }));
    picture.append(text(width / 2, height / 2 + 4, message, { "text-anchor": "middle" }));
  });
}

// Lines over the same x, newest last; a null is a gap. Each series: {name, color, values}.
function lines(place, label, x, series, write, begin, end, floor = null) {
  const all = series.flatMap((each) => each.values).filter((value) => value !== null);
  if (x.length < 2 || !all.length) return nothing(place, "not enough points yet");
  const low = Math.min(0, ...all), high = low < 0 ? Math.max(0, ...all) : ceiling(Math.max(floor ?? 0, ...all));
  plot(place, label, (picture, width, height) => {
    const top = high === low ? low + 1 : high;
    frame(picture, width, height, low, top, write, begin, end);
    const at = (i) => PAD.left + ((x[i] - x[0]) / (x[x.length - 1] - x[0])) * (width - PAD.left - PAD.right);
    const up = (value) => height - PAD.bottom - ((value - low) / (top - low)) * (height - PAD.top - PAD.bottom);
    for (const each of series) {
      let path = "", pen = "M";
      each.values.forEach((value, i) => {
        if (value !== null) path += `${pen}${at(i).toFixed(1)} ${up(value).toFixed(1)}`;
        pen = value === null ? "M" : "L";
      });
      const line = svg("path", { d: path, fill: "none", stroke: each.color, "stroke-width": 2, "stroke-linejoin": "round" });
      line.append(titled(each.name));
      picture.append(line);
    }
  });
}

function titled(content) {
  const node = svg("title");
  node.textContent = content;
  return node;
}

// Shares of the whole, one upon the other.
function stack(place, label, x, series, begin, end) {
  if (x.length < 2) return nothing(place, "not enough points yet");
  plot(place, label, (picture, width, height) => {
    frame(picture, width, height, 0, 1, percent, begin, end);
    const at = (i) => PAD.left + ((x[i] - x[0]) / (x[x.length - 1] - x[0])) * (width - PAD.left - PAD.right);
    const up = (value) => height - PAD.bottom - value * (height - PAD.top - PAD.bottom);
    const below = x.map(() => 0);
    for (const each of series) {
      const floor = below.map((value, i) => `${at(i).toFixed(1)} ${up(value).toFixed(1)}`);
      each.values.forEach((value, i) => { below[i] += value ?? 0; });
      const roof = below.map((value, i) => `${at(i).toFixed(1)} ${up(value).toFixed(1)}`);
      const shape = { d: `M${floor.join("L")}L${roof.reverse().join("L")}Z`, fill: each.color };
      const area = svg("path", { ...shape, "fill-opacity": 0.85, stroke: "var(--card)", "stroke-width": 1 });
      area.append(titled(each.name));
      picture.append(area);
    }
  });
}

// Means with their intervals. Each row: {name, color, mean, low, high, count}.
function intervals(place, label, rows) {
  if (!rows.length) return nothing(place, "no rewards counted yet");
  plot(place, label, (picture, width, height) => {
    const ends = rows.flatMap((row) => [row.low, row.high, row.mean]).filter(Number.isFinite);
    let [low, high] = [Math.min(...ends), Math.max(...ends)];
    const more = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    [low, high] = [low - more, high + more];
    const left = 8, step = (height - PAD.bottom) / rows.length;
    const at = (value) => left + ((value - low) / (high - low)) * (width - left - PAD.right);
    for (const value of [low + more, (low + high) / 2, high - more]) {
      picture.append(rule(at(value), 4, at(value), height - PAD.bottom));
      picture.append(text(at(value), height - 4, number(value), { "text-anchor": "middle" }));
    }
    rows.forEach((row, i) => {
      const y = step * (i + 0.68);
      const right = at(row.mean) > width * 0.6;
      const words = { class: "strong", "text-anchor": right ? "end" : "start" };
      picture.append(text(at(row.mean) + (right ? 4 : -4), y - 9, `${row.name} ${number(row.mean)}`, words));
      if (Number.isFinite(row.low) && Number.isFinite(row.high))
        picture.append(svg("line", { x1: at(row.low), x2: at(row.high), y1: y, y2: y, stroke: row.color, "stroke-width": 3, "stroke-linecap": "round" }));
      picture.append(svg("circle", { cx: at(row.mean), cy: y, r: 5, fill: row.color, stroke: "var(--card)", "stroke-width": 2 }));
    });
  });
}

// One bar from `zero` to `value` on a scale from `low` to `high`.
function bar(value, low, high, fill, zero = Math.max(low, Math.min(0, high)), mark = null) {
  const at = (v) => 100 * (high > low ? Math.min(Math.max((v - low) / (high - low), 0), 1) : 0);
  const [from, to] = [at(Math.min(zero, value)), at(Math.max(zero, value))];
  const picture = svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(svg("rect", { x: 0, y: 0, width: 100, height: 8, fill: "var(--faint)" }));
  picture.append(svg("rect", { x: from, y: 0, width: Math.max(to - from, 0.6), height: 8, fill }));
  if (mark !== null) picture.append(svg("rect", { x: at(mark), y: 0, width: 0.6, height: 8, fill: "var(--ink)" }));
  return picture;
}

// The features of a user: a column each, up or down from zero.
function columns(place, label, values, names, low, high) {
  plot(place, label, (picture, width, height) => {
    const most = Math.max(...low.map(Math.abs), ...high.map(Math.abs), 1e-9);
    const down = low.some((value) => value < 0) ? most : 0;
    const step = (width - PAD.left) / values.length, room = height - PAD.top - PAD.bottom;
    const up = (value) => PAD.top + ((most - value) / (most + down)) * room;
    for (const value of down ? [most, 0, -down] : [most, 0]) {
      picture.append(rule(PAD.left, up(value), width, up(value)));
      picture.append(text(PAD.left - 6, up(value) + 4, number(value), { "text-anchor": "end" }));
    }
    values.forEach((value, i) => {
      const [y, end] = [up(Math.max(value, 0)), up(Math.min(value, 0))];
      const box = { x: PAD.left + step * (i + 0.12), y, width: step * 0.76, height: Math.max(end - y, 1), fill: value < 0 ? "var(--bar)" : "var(--accent)" };
      const column = svg("rect", box);
      column.append(titled(`${names[i] ?? i}: ${number(value)}`));
      picture.append(column);
    });
    picture.append(text(PAD.left, height - 4, names[0] ?? "feature 0"));
    picture.append(text(width, height - 4, names[values.length - 1] ?? `${values.length - 1}`, { "text-anchor": "end" }));
  });
}
