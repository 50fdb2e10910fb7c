"use strict";
// The gallery's mathematics is the evaluation's (spg/evaluate/metrics): bilinear up-sampling with half-pixel
// centers, min-max, >= threshold, and the box of the component whose outer contour encloses most.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("gallery-data").textContent);
const PAGE = 24;

for (const variant of data.variants) {
  const text = atob(variant.maps);
  variant.bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

function rawMap(variant, image) {
  const [width, height] = variant.mapSize;
  return variant.bytes.subarray(image * width * height, (image + 1) * width * height);
}

// Map of mapSize -> Float64Array of size, in [0, 1]; a constant map is zeros. Maps of another normalization than
// min-max come normalized.
function localizationMap(raw, [rawWidth, rawHeight], [width, height]) {
  const map = new Float64Array(width * height);
  const axis = (count, rawCount) => Array.from({ length: count }, (_, at) => {
    const place = Math.min(Math.max((at + 0.5) * rawCount / count - 0.5, 0), rawCount - 1);
    const first = Math.floor(place);
    return [first, Math.min(first + 1, rawCount - 1), place - first];
  });
  const xs = axis(width, rawWidth), ys = axis(height, rawHeight);
  let low = Infinity, high = -Infinity;
  for (let y = 0; y < height; y++) {
    const [y0, y1, fy] = ys[y];
    for (let x = 0; x < width; x++) {
      const [x0, x1, fx] = xs[x];
      const top = raw[y0 * rawWidth + x0] * (1 - fx) + raw[y0 * rawWidth + x1] * fx;
      const bottom = raw[y1 * rawWidth + x0] * (1 - fx) + raw[y1 * rawWidth + x1] * fx;
      const value = top * (1 - fy) + bottom * fy;
      map[y * width + x] = value;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (!data.minMax) return map.map((value) => value / 255);
  for (let at = 0; at < map.length; at++) map[at] = high > low ? (map[at] - low) / (high - low) : 0;
  return map;
}

// Marks the component of `start` in `labels` and returns its extent; `near` lists neighbors.
function flood(inside, labels, label, start, width, height, diagonal) {
  const stack = [start], extent = [width, height, 0, 0];
  labels[start] = label;
  while (stack.length) {
    const at = stack.pop(), x = at % width, y = (at - x) / width;
    extent[0] = Math.min(extent[0], x); extent[1] = Math.min(extent[1], y);
    extent[2] = Math.max(extent[2], x + 1); extent[3] = Math.max(extent[3], y + 1);
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        const nx = x + dx, ny = y + dy, next = ny * width + nx;
        if ((!diagonal && dx && dy) || nx < 0 || ny < 0 || nx >= width || ny >= height) continue;
        if (!labels[next] && inside(next)) { labels[next] = label; stack.push(next); }
      }
    }
  }
  return extent;
}

// Area of the outer contour through pixel centers, holes filled: of each square of four pixels all
// of it where four are inside, half of it where three are.
function contourArea(labels, label, [x0, y0, x1, y1], width) {
  const w = x1 - x0 + 2, h = y1 - y0 + 2, outside = new Uint8Array(w * h);
  const own = (at) => {
    const x = at % w - 1 + x0, y = Math.floor(at / w) - 1 + y0;
    return x >= x0 && y >= y0 && x < x1 && y < y1 && labels[y * width + x] === label;
  };
  flood((at) => !own(at), outside, 1, 0, w, h, false);
  let area = 0;
  for (let y = 0; y + 1 < h; y++) {
    for (let x = 0; x + 1 < w; x++) {
      const corners = [y * w + x, y * w + x + 1, (y + 1) * w + x, (y + 1) * w + x + 1];
      const filled = corners.filter((at) => !outside[at]).length;
      area += filled === 4 ? 1 : filled === 3 ? 0.5 : 0;
    }
  }
  return area;
}

// Half-open [x0, y0, x1, y1] by the rule `largest`; of equal areas the component whose first pixel
// comes last. Zeros where no pixel passes.
function largestBox(map, [width, height], threshold) {
  const labels = new Int32Array(width * height);
  let best = [0, 0, 0, 0], most = -1, label = 0;
  for (let at = 0; at < map.length; at++) {
    if (labels[at] || !(map[at] >= threshold)) continue;
    const extent = flood((place) => map[place] >= threshold, labels, ++label, at, width, height, true);
    const limit = (extent[2] - extent[0] - 1) * (extent[3] - extent[1] - 1);
    if (limit < most) continue;
    const area = contourArea(labels, label, extent, width);
    if (area >= most) { most = area; best = extent; }
  }
  return best;
}

function boxIou(a, b) {
  const wide = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), high = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const inter = Math.max(wide, 0) * Math.max(high, 0);
  const union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter;
  return union > 0 ? inter / union : 0;
}

function pictureBoxes(image) {
  const [width, height] = image.size;
  return image.boxes.map(([x0, y0, x1, y1]) => [x0 * width, y0 * height, x1 * width, y1 * height]);
}

// What the page knows of one image under one variant at one threshold.
function look(variant, number, threshold) {
  const image = data.images[number];
  const map = localizationMap(rawMap(variant, number), variant.mapSize, image.size);
  const box = largestBox(map, image.size, threshold);
  const iou = image.boxes.length ? Math.max(0, ...pictureBoxes(image).map((one) => boxIou(box, one))) : null;
  return { map, box, iou };
}

const controls = Object.fromEntries(
  ["variant", "beside", "outcome", "class", "low", "high", "threshold", "heat"].map((id) => [id, byId(id)]));
let limit = PAGE, own = true;

// Each image's selected threshold, until the slider sets one for all. Where thresholds are
// cross-fitted, the images of a variant have several.
const thresholdOf = (variant, number) => own ? variant.thresholds[number] : Number(controls.threshold.value);

// An IoU as text; null where the image has no true box.
const shownIou = (iou) => iou === null ? "–" : iou.toFixed(2);

function draw(item) {
  const variant = data.variants[item.variant], threshold = thresholdOf(variant, item.number);
  const { map, box, iou } = look(variant, item.number, threshold);
  const image = data.images[item.number], [width, height] = image.size;
  const context = item.canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(item.picture, 0, 0, width, height);
  if (controls.heat.checked) {
    const pixels = context.getImageData(0, 0, width, height);
    for (let at = 0; at < map.length; at++) {
      if (map[at] < threshold) continue;
      pixels.data[4 * at] *= 0.6;
      pixels.data[4 * at + 1] = 0.7 * pixels.data[4 * at + 1] + 30;
      pixels.data[4 * at + 2] = 0.65 * pixels.data[4 * at + 2] + 90;
    }
    context.putImageData(pixels, 0, 0);
  }
  const outline = (edges, color) => {
    for (const [line, style] of [[4, "#000000"], [2, color]]) {
      context.lineWidth = line;
      context.strokeStyle = style;
      context.strokeRect(edges[0] + 1, edges[1] + 1, edges[2] - edges[0] - 2, edges[3] - edges[1] - 2);
    }
  };
  for (const one of pictureBoxes(image)) outline(one, "#ffffff");
  if (box[2] > box[0]) outline(box, "#ffd400");
  item.canvas.dataset.box = box.join(" ");
  item.here.textContent = shownIou(iou);
  item.canvas.setAttribute("aria-label", `${image.class}, ${variant.name}: box at ${threshold}, IoU ${shownIou(iou)}`);
}

function fact(parent, name, value) {
  const strong = document.createElement("b");
  strong.textContent = value;
  parent.append(`${name} `, strong, document.createElement("br"));
  return strong;
}

// One image under one variant: its canvas and what is known of it.
function side(number, at) {
  const variant = data.variants[at], image = data.images[number];
  const part = document.createElement("div"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = image.size;
  canvas.setAttribute("role", "img");
  const facts = document.createElement("p");
  facts.className = "facts";
  fact(facts, "", variant.name);
  fact(facts, "guess", variant.guess[number]);
  fact(facts, "outcome", variant.outcome[number].replaceAll("_", " "));
  fact(facts, "IoU", shownIou(variant.iou[number]));
  const here = fact(facts, "here", "");
  part.append(canvas, facts);
  const item = { number, variant: at, canvas, here, picture: new Image() };
  item.picture.onload = () => draw(item);
  item.picture.src = image.src;
  return { part, item };
}

function entry(number) {
  const row = document.createElement("li"), pair = document.createElement("div"), name = document.createElement("p");
  const sides = [...new Set([controls.variant.value, controls.beside.value])].map((at) => side(number, at));
  pair.className = "pair";
  pair.append(...sides.map(({ part }) => part));
  name.className = "facts";
  name.textContent = `${data.images[number].class}, ${data.images[number].id}`;
  row.append(pair, name);
  row.dataset.number = number;
  return { row, own: sides.map(({ item }) => item) };
}

function matching() {
  const variant = data.variants[controls.variant.value];
  const low = Number(controls.low.value), high = controls.high.value === "" ? 1 : Number(controls.high.value);
  return data.images.map((_, number) => number).filter((number) =>
    (!controls.outcome.value || variant.outcome[number] === controls.outcome.value)
    && (!controls.class.value || data.images[number].class === controls.class.value)
    && (variant.iou[number] === null
      || (variant.iou[number] >= low && variant.iou[number] <= high)));
}

let items = [];
function show() {
  const found = matching(), shown = found.slice(0, limit).map(entry);
  items = shown.flatMap(({ own: both }) => both);
  byId("images").replaceChildren(...shown.map(({ row }) => row));
  byId("count").textContent = found.length
    ? `${found.length} of the ${data.images.length} images here match (${data.total} in the test split); ${shown.length} shown.`
    : "No image matches; widen the filters.";
  byId("more").hidden = found.length <= limit;
  remember();
}

function redraw() {
  tellThreshold();
  for (const item of items) if (item.picture.complete) draw(item);
  remember();
}

function tellThreshold() {
  const chosen = [controls.variant.value, controls.beside.value].map((at) => {
    const used = own ? data.variants[at].thresholds : [Number(controls.threshold.value)];
    const edges = [Math.min(...used).toFixed(3), Math.max(...used).toFixed(3)];
    return [...new Set(edges)].join(" to ");
  });
  byId("shown-threshold").textContent = [...new Set(chosen)].join(" and ");
}

function selectThreshold() {
  own = true;
  controls.threshold.value = data.variants[controls.variant.value].thresholds[0];
  redraw();
}

// Filters live in the address, so that a view can be sent to somebody.
function remember() {
  const state = new URLSearchParams(
    ["variant", "beside", "outcome", "class", "low", "high"].map((id) => [id, controls[id].value]));
  if (!own) state.set("threshold", controls.threshold.value);
  history.replaceState(null, "", `#view?${state}`);
}

function recall() {
  const [mark, state] = location.hash.split("?");
  if (mark !== "#view" || !state) return;
  for (const [id, value] of new URLSearchParams(state)) if (controls[id]) controls[id].value = value;
  own = !new URLSearchParams(state).has("threshold");
  if (!data.variants[controls.beside.value]) controls.beside.value = "0";
  if (!data.variants[controls.variant.value]) controls.variant.value = "0";
}

function option(parent, value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  parent.append(made);
}

function startGallery() {
  const several = new Set(data.variants.map((variant) => variant.backbone)).size > 1;
  for (const list of [controls.variant, controls.beside]) {
    data.variants.forEach((variant, at) =>
      option(list, at, several ? `${variant.name} (${variant.backbone})` : variant.name));
  }
  controls.beside.value = String(Math.max(0, data.variants.findIndex((variant) => variant.method === "spg")));
  for (const name of [...new Set(data.images.map((image) => image.class))].sort()) option(controls.class, name, name);
  controls.threshold.value = data.variants[0].thresholds[0];
  recall();
  controls.variant.addEventListener("change", () => { limit = PAGE; selectThreshold(); show(); });
  for (const id of ["outcome", "class", "low", "high"]) {
    controls[id].addEventListener("change", () => { limit = PAGE; show(); });
  }
  controls.beside.addEventListener("change", () => { selectThreshold(); show(); });
  controls.threshold.addEventListener("input", () => { own = false; redraw(); });
  controls.heat.addEventListener("change", redraw);
  byId("reset").addEventListener("click", selectThreshold);
  byId("more").addEventListener("click", () => { limit += PAGE; show(); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  tellThreshold();
  show();
}

function startTable() {
  const table = byId("table"), heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => row.cells[column].dataset.value;
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.setAttribute("aria-sort", other === head ? (rising ? "ascending" : "descending") : "none");
    const rows = [...body.rows].sort((a, b) => {
      const [first, second] = [value(a, column), value(b, column)];
      if (first === "" || second === "") return (first === "") - (second === "");
      const order = column < 2 ? first.localeCompare(second, "en") : Number(first) - Number(second);
      return rising ? order : -order;
    });
    body.replaceChildren(...rows);
  }));
  const filter = () => { for (const row of body.rows) row.hidden = Boolean(byId("kind").value)
    && row.dataset.kind !== byId("kind").value && row.dataset.kind !== "none"; };
  byId("kind").addEventListener("change", filter);
  filter();
}

function startTheme() {
  const button = byId("theme"), root = document.documentElement;
  const dark = () => root.dataset.theme === "dark"
    || (root.dataset.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  const tell = () => { button.setAttribute("aria-pressed", String(dark())); };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; tell(); });
  tell();
}

startTheme();
startTable();
startGallery();
