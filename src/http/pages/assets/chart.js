// A chart of a few lines over time, as SVG made here: no library, no redraw on the server.
const SVG = "http://www.w3.org/2000/svg";
const WIDTH_MIN = 240;
const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 20;
const TOP = 8;

function make(name, attributes = {}, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The next of 1, 2, 5, 10, 20, … that is not below the value.
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((bound) => bound >= value * 0.999999);
}

export function short(value) {
  const units = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  for (const [size, unit] of units) {
    if (value >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return String(Number(value.toPrecision(2)));
}

// Parts of a line without gaps: what is missing is not drawn over.
export function parts(values) {
  const found = [];
  let part = null;
  values.forEach((value, place) => {
    if (value === null || value === undefined) { part = null; return; }
    if (!part) found.push(part = []);
    part.push([place, value]);
  });
  return found;
}

export class Chart {
  // Lines are pairs of a series' name and what it is called.
  constructor(element, lines) {
    this.lines = lines;
    this.svg = make("svg", { focusable: "false" });
    this.axes = make("g", { class: "axes" });
    this.curves = lines.map((_, place) => {
      const group = make("g", { class: `curve curve-${place}` });
      return group;
    });
    this.svg.append(this.axes, ...this.curves);
    this.legend = document.createElement("p");
    this.legend.className = "legend";
    lines.forEach(([, label], place) => {
      const key = document.createElement("span");
      key.className = `key key-${place}`;
      key.textContent = label;
      this.legend.append(key);
    });
    element.replaceChildren(this.svg, ...(lines.length > 1 ? [this.legend] : []));
  }

  // Draws columns of values, the first of which is of the second `from`, `step` seconds apart.
  draw({ from, step, series, count }, formatTime) {
    // As wide as it is shown, so that letters are not stretched.
    const width = Math.max(WIDTH_MIN, this.svg.clientWidth);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const columns = this.lines.map(([name]) => series[name] ?? []);
    const top = ceiling(Math.max(0, ...columns.flat().filter((value) => value !== null)));
    const x = (place) => LEFT + (place / Math.max(1, count - 1)) * (width - LEFT - 4);
    const y = (value) => TOP + (1 - Math.max(0, value) / top) * (HEIGHT - TOP - BOTTOM);
    this.axes.replaceChildren();
    for (const share of [0, 0.5, 1]) {
      const at = y(top * share);
      this.axes.append(
        make("line", { x1: LEFT, x2: width - 4, y1: at, y2: at }),
        make("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, short(top * share)),
      );
    }
    for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      const place = Math.round((count - 1) * share);
      const text = formatTime(from + place * step);
      this.axes.append(make("text", { x: x(place), y: HEIGHT - 4, "text-anchor": anchor }, text));
    }
    columns.forEach((column, place) => {
      const drawn = parts(column).map((points) => {
        if (points.length === 1) {
          const [[at, value]] = points;
          return make("circle", { cx: x(at), cy: y(value), r: 1.5 });
        }
        const d = points.map(([at, value], index) => `${index ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`);
        return make("path", { d: d.join("") });
      });
      this.curves[place].replaceChildren(...drawn);
    });
  }
}
