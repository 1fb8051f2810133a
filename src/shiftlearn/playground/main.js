// The page: a drawing, the race it starts, and a closer look at one neuron.
import { Detail, time } from "./detail.js";
import { FINE, Pad } from "./draw.js";
import { bytes, network, race, sources, winner } from "./network.js";
import { history } from "./neuron.js";
import { Outputs } from "./outputs.js";
import { colour, forgetColours, Grid, timeColour } from "./paint.js";
import { normalise, shrink } from "./prepare.js";
import { Clock } from "./race.js";
import { paintTimeline } from "./timeline.js";

const FLASH = 0.02; // share of the race for which a spike looks fresh
const REST = 900; // ms without a stroke, after which the race starts

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const net = network(data);
const { pictures, classes } = data;
const { side } = pictures;
const depth = net.layers.length; // stage 0: the inputs; stage `depth`: the outputs
const inputs = sources(net, side);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let stages; // what `race` returns, for the image that is shown
let logs; // t = ln z of every spike, by stage
let pasts; // what each output heard
let chosen = { stage: depth, j: 0, byHand: false };
let drawn = false; // by hand: not an image of the dataset
let resting = 0; // the timer that starts a race
let waiting = 0; // for the next frame, to show what was drawn

/** Watch these pixels race; the clock stands at the end. */
function show(pixels) {
  stages = race(net, pixels);
  logs = stages.map(({ z }) => Array.from(z, Math.log));
  pasts = classes.map((_, j) => history(stages[depth - 1].z, net.layers[depth - 1], j));
  const first = Math.min(0, ...logs[0]);
  const ends = [logs[depth], logs.flat()].map((times) => Math.max(...times.filter((t) => t < Infinity)));
  const last = ends.find((t) => t > first) ?? first + 1;
  if (!chosen.byHand) chosen = { stage: depth, j: winner(stages[depth].z) ?? 0, byHand: false };
  if (!pad.drawing) look(); // its table would hold up the pen
  clock.span(first, last + 0.04 * (last - first));
}

function redraw() {
  cancelAnimationFrame(waiting);
  waiting = 0;
  show(drawn && $("normalise").checked ? normalise(pad.ink, pictures, FINE) : shrink(pad.ink, side, FINE));
}

// ------------------------------------------------------------------------------------------------- drawing

const pad = new Pad($("pad"), side, {
  begin() {
    clearTimeout(resting);
    if (!drawn) pad.ink.fill(0); // a drawing takes the place of a sample
    drawn = true;
    mark(null);
  },
  change() {
    waiting ||= requestAnimationFrame(redraw);
  },
  end() {
    redraw();
    clearTimeout(resting);
    resting = setTimeout(go, REST);
  },
  pen: (down) => announce(down ? "Pen down" : "Pen up"),
});

function go() {
  clearTimeout(resting);
  if (calm.matches) finish();
  else {
    clock.set(clock.begin);
    clock.start();
  }
}

/** Show which sample is on the pad, if any. */
function mark(button) {
  for (const other of $("samples").children) other.setAttribute("aria-pressed", other === button);
}

const thumbs = data.samples.map(({ label, pixels }) => {
  const values = Float64Array.from(bytes(pixels), (x) => x / pictures.white);
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", `Sample: ${classes[label]}`);
  button.title = classes[label];
  const canvas = button.appendChild(document.createElement("canvas"));
  button.addEventListener("click", () => {
    drawn = false;
    pad.load(values);
    mark(button);
    redraw();
    go();
  });
  $("samples").append(button);
  return { button, canvas, values };
});

function paintThumbs() {
  for (const { canvas, values } of thumbs) {
    canvas.width = canvas.height = side;
    const image = new ImageData(side, side);
    const ink = colour("--ink").match(/\d+/g);
    values.forEach((x, k) => image.data.set([...ink, 255 * x], 4 * k));
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
}

$("clear").addEventListener("click", () => {
  clearTimeout(resting);
  drawn = true;
  mark(null);
  pad.clear();
  redraw();
  announce("The pad is empty");
});
$("normalise").addEventListener("change", redraw);

// --------------------------------------------------------------------------------------------- the network

const columns = (count) => Math.ceil(Math.sqrt(count * 0.82)); // a little higher than wide
const pixelMaps = [...new Set(inputs.map(({ off }) => off))].map((off) => {
  const cells = Array(side * side).fill(-1);
  inputs.forEach((source, i) => source.off === off && (cells[source.pixel] = i));
  return { label: off ? "off inputs: early without ink" : "pixels", columns: side, round: false, cells };
});
for (const map of pixelMaps) {
  const canvas = figure($("pixels"), pixelMaps.length > 1 ? map.label : "");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Spikes of the ${map.label}`);
  map.grid = new Grid(canvas, map.cells.length, side, false);
}
const hidden = net.layers.slice(0, -1).map(({ outputs }, k) => {
  const stage = k + 1;
  const canvas = figure($("hidden"), depth > 2 ? `Layer ${stage}` : "");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `${outputs} hidden neurons of layer ${stage}: arrow keys choose one to look at`);
  const grid = new Grid(canvas, outputs, columns(outputs), true);
  canvas.addEventListener("click", (event) => {
    const j = grid.at(event);
    if (j !== null) choose(stage, j);
  });
  canvas.addEventListener("keydown", (event) => {
    const j = grid.step(event, chosen.stage === stage ? chosen.j : 0);
    if (j === null) return;
    event.preventDefault();
    choose(stage, j);
    announce(`Neuron ${j}: ${stages[stage].count[j] ? `fires at ${time(stages[stage].z[j])}` : "silent"}`);
  });
  return grid;
});
$("hidden-panel").hidden = !hidden.length;
const outputs = new Outputs($("outputs"), classes, (j) => choose(depth, j));

function figure(parent, caption) {
  const element = parent.appendChild(document.createElement("figure"));
  const canvas = element.appendChild(document.createElement("canvas"));
  if (caption) element.appendChild(document.createElement("figcaption")).textContent = caption;
  return canvas;
}

const fresh = (t) => clock.time - t < FLASH * (clock.end - clock.begin) && clock.time < clock.end;

function spike(t) {
  if (!(t <= clock.time)) return { fill: colour("--faint"), size: 0.3 };
  const share = (t - clock.begin) / (clock.end - clock.begin);
  return { fill: timeColour(share), size: fresh(t) ? 1.25 : 0.86 };
}

// -------------------------------------------------------------------------------------------------- the race

const clock = new Clock({ play: $("play"), slider: $("time"), speed: $("speed") }, { tick, finish, describe });

function tick() {
  for (const { grid, cells } of pixelMaps) grid.paint((k) => spike(cells[k] < 0 ? Infinity : logs[0][cells[k]]));
  hidden.forEach((grid, k) =>
    grid.paint((j) => {
      const ring = chosen.stage === k + 1 && chosen.j === j ? colour("--focus") : undefined;
      return { ...spike(logs[k + 1][j]), ring };
    }),
  );
  const best = winner(stages[depth].z);
  outputs.paint(pasts, stages[depth].z, Math.exp(clock.time), chosen.stage === depth ? chosen.j : null);
  const layers = logs.map((times, k) => ({ name: stageName(k), times }));
  paintTimeline($("timeline"), layers, clock, classes, best);
  detail.paintTrace(clock);
  const fired = logs.map((times) => times.filter((t) => t <= clock.time).length);
  $("pixels-fired").textContent = `${fired[0]} of ${logs[0].length} fired`;
  const among = (counts) => counts.reduce((a, b) => a + b, 0);
  $("hidden-fired").textContent =
    `${among(fired.slice(1, -1))} of ${among(logs.slice(1, -1).map((x) => x.length))} fired`;
  $("now").textContent = clock.time.toFixed(2);
  const over = best !== null && logs[depth][best] <= clock.time;
  for (const place of ["verdict", "badge"]) $(place).dataset.over = over;
  $("badge").textContent = over ? classes[best] : "?";
  $("verdict").replaceChildren(
    ...(over
      ? [element("strong", classes[best]), element("span", `fires first, at t = ${logs[depth][best].toFixed(2)}${ahead()}`)]
      : [best === null && clock.time >= clock.end ? "No output fires" : "No output has fired yet"]),
  );
}

/** By how much the winner is earlier than the second. */
function ahead() {
  const [first, second] = [...logs[depth].entries()].sort((a, b) => a[1] - b[1]);
  return second[1] < Infinity ? `, ${(second[1] - first[1]).toFixed(2)} before ${classes[second[0]]}` : "";
}

function stageName(stage) {
  if (stage === 0) return "pixels";
  if (stage === depth) return "outputs";
  return depth > 2 ? `hidden ${stage}` : "hidden neurons";
}

function describe() {
  const fired = logs.map((times, k) => `${times.filter((t) => t <= clock.time).length} ${stageName(k)}`);
  return `t = ${clock.time.toFixed(2)}; fired: ${fired.join(", ")}`;
}

function finish() {
  const best = winner(stages[depth].z);
  announce(
    best === null
      ? "The race is over: no output fires"
      : `${classes[best]} wins, at t = ${logs[depth][best].toFixed(2)}${ahead()}`,
  );
}

function announce(text) {
  $("announce").textContent = text;
}

function element(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}

// ------------------------------------------------------------------------------------------ a closer look

const detail = new Detail({
  title: $("neuron"),
  text: $("neuron-text"),
  formula: $("formula"),
  maps: $("maps"),
  trace: $("trace"),
  table: $("causal"),
});

function choose(stage, j) {
  chosen = { stage, j, byHand: true };
  look();
  tick();
}

function look() {
  const { stage, j } = chosen;
  const before = net.layers[stage - 1].inputs;
  const maps =
    stage === 1
      ? pixelMaps
      : [{ label: stageName(stage - 1), columns: columns(before), round: true, cells: [...Array(before).keys()] }];
  const name = stage === depth ? `Output ${classes[j]}` : `${depth > 2 ? `Layer ${stage}, neuron` : "Hidden neuron"} ${j}`;
  detail.show(name, stages[stage - 1].z, net.layers[stage - 1], stages[stage], j, maps, senders(stage - 1));
  $("layer").value = stage;
  $("number").max = net.layers[stage - 1].outputs - 1;
  $("number").value = j;
}

/** What the spikes of a stage come from, for the table. */
function senders(stage) {
  if (stage > 0) return { kind: "neuron", name: String };
  const place = ({ pixel, off }) => `${Math.floor(pixel / side) + 1}, ${(pixel % side) + 1}${off ? " (off)" : ""}`;
  return { kind: "row, column", name: (i) => place(inputs[i]) };
}

net.layers.forEach((_, k) => $("layer").append(new Option(stageName(k + 1), k + 1)));
$("layer").addEventListener("change", () => choose(Number($("layer").value), 0));
$("number").addEventListener("change", () => {
  const number = Math.round(Number($("number").value));
  choose(chosen.stage, Math.min(Math.max(number, 0), Number($("number").max)));
});

// ---------------------------------------------------------------------------------------------- the page

function paintAll() {
  forgetColours();
  pad.paint();
  paintThumbs();
  look();
  tick();
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
function labelTheme() {
  $("theme").title = isDark() ? "Light colours" : "Dark colours";
  $("theme").setAttribute("aria-label", $("theme").title);
}
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  labelTheme();
  paintAll();
});
dark.addEventListener("change", () => {
  labelTheme();
  paintAll();
});
new ResizeObserver(paintAll).observe(document.body);

$("coding-text").textContent = data.coding.text;
$("coding-hint").textContent = data.coding.hint;
const right = (100 * data.check.accuracy).toFixed(2);
$("about").textContent =
  `${data.description}. Here its weights have 8 bits, and ${right} % of ${data.check.samples} test images are ` +
  "classified correctly.";
for (const place of document.querySelectorAll(".subject")) place.textContent = pictures.subject;
labelTheme();
const start = thumbs[3 % thumbs.length];
pad.load(start.values);
mark(start.button);
paintThumbs();
redraw();
go();

/** For scripts and tests: pixels from 0 (no ink) to 1, row by row, to the winner (a number) and the outputs' z. */
window.shiftlearn = {
  classify(pixels) {
    const { z } = race(net, pixels).at(-1);
    return { winner: winner(z) ?? 0, times: Array.from(z) };
  },
};
