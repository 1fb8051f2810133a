// All spikes over time: one band for each layer, marks for the outputs, and where the clock stands.
import { colour, sheet, timeColour } from "./paint.js";

export const MARGIN = 12; // on either side; half of the slider's thumb
const BIN = 6; // px
const LABEL = 13; // px for the label of an output

/**
 * @param layers [{name, times (t of each spike, Infinity for none)}], the outputs last
 * @param clock {time, begin, end}
 * @param best the class that wins, or null
 */
export function paintTimeline(canvas, layers, clock, classes, best) {
  const { context, width, height } = sheet(canvas);
  const share = (t) => (t - clock.begin) / (clock.end - clock.begin);
  const place = (t) => MARGIN + share(t) * (width - 2 * MARGIN);
  const bins = Math.max(Math.floor((width - 2 * MARGIN) / BIN), 1); // a page without width is not laid out yet
  const foot = 20;
  const band = (height - foot) / layers.length;
  layers.slice(0, -1).forEach(({ name, times }, row) => {
    const heights = histogram(times.map(share), bins);
    const highest = Math.max(...heights, 1);
    const base = (row + 1) * band;
    heights.forEach((count, bin) => {
      if (!count) return;
      const bar = Math.max(Math.sqrt(count / highest) * (band - 18), 2);
      const past = (bin + 0.5) / bins <= share(clock.time);
      context.fillStyle = past ? timeColour(bin / bins) : colour("--faint");
      context.fillRect(MARGIN + bin * BIN, base - bar, BIN - 1, bar);
    });
    write(context, name, MARGIN, row * band + 13);
    rule(context, MARGIN, width - MARGIN, base);
  });
  const top = (layers.length - 1) * band;
  const { name, times } = layers.at(-1);
  const marks = [...times.entries()].filter(([, t]) => t < Infinity).sort((a, b) => a[1] - b[1]);
  const labels = spread(marks.map(([, t]) => place(t)), LABEL, MARGIN, width - MARGIN - LABEL);
  marks.forEach(([k, t], rank) => {
    const past = t <= clock.time;
    const [x, label] = [place(t), labels[rank]];
    context.fillStyle = context.strokeStyle = past ? colour(k === best ? "--win" : "--charge") : colour("--dim");
    context.fillRect(x - 1, top, k === best ? 4 : 2, band - 22);
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, top + band - 22);
    context.lineTo(label, top + band - 14);
    context.stroke();
    context.textAlign = "center";
    if (k === best) context.font = `bold ${context.font}`;
    write(context, classes[k].slice(0, 2), label, top + band - 3, past ? "--ink" : "--muted");
    context.font = context.font.replace("bold ", "");
  });
  context.textAlign = "left";
  write(context, name, MARGIN, top + 13);
  rule(context, MARGIN, width - MARGIN, height - foot);
  for (let t = Math.ceil(clock.begin * 2) / 2; t <= clock.end; t += 0.5) {
    context.fillStyle = colour("--muted");
    context.fillRect(place(t), height - foot, 1, 4);
    context.textAlign = "center";
    write(context, t.toFixed(1), place(t), height - 4);
    context.textAlign = "left";
  }
  context.fillStyle = colour("--ink");
  context.fillRect(place(clock.time) - 1, 0, 2, height - foot);
}

/** Places that rise, moved so that neighbours are `gap` apart, within bounds. */
function spread(places, gap, from, to) {
  const moved = [...places];
  for (let k = 0; k < moved.length; k++) moved[k] = Math.max(moved[k], k ? moved[k - 1] + gap : from);
  for (let k = moved.length - 1; k >= 0; k--) {
    moved[k] = Math.min(moved[k], k < moved.length - 1 ? moved[k + 1] - gap : to);
  }
  return moved;
}

function histogram(shares, bins) {
  const heights = new Array(bins).fill(0);
  for (const share of shares) {
    const bin = Math.floor(share * bins);
    if (bin >= 0 && bin < bins) heights[bin]++;
  }
  return heights;
}

function write(context, text, x, y, name = "--muted") {
  context.lineWidth = 4;
  context.strokeStyle = colour("--panel");
  context.strokeText(text, x, y);
  context.fillStyle = colour(name);
  context.fillText(text, x, y);
}

function rule(context, from, to, y) {
  context.fillStyle = colour("--line");
  context.fillRect(from, y, to - from, 1);
}
