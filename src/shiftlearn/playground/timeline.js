// All spikes over time: one band for each layer, marks for the outputs, and where the clock stands.
import { colour, sheet, timeColour } from "./paint.js";

export const MARGIN = 12; // on either side; half of the slider's thumb
const BINS = 140;

/**
 * @param layers [{name, times (t of each spike, Infinity for none)}], the outputs last
 * @param clock {time, begin, end}
 * @param best the class that wins, or null
 */
export function paintTimeline(canvas, layers, clock, classes, best) {
  const { context, width, height } = sheet(canvas);
  const share = (t) => (t - clock.begin) / (clock.end - clock.begin);
  const place = (t) => MARGIN + share(t) * (width - 2 * MARGIN);
  const foot = 20;
  const band = (height - foot) / layers.length;
  layers.slice(0, -1).forEach(({ name, times }, row) => {
    const heights = histogram(times, share);
    const highest = Math.max(...heights, 1);
    const base = (row + 1) * band;
    heights.forEach((count, bin) => {
      if (!count) return;
      const bar = Math.max(Math.sqrt(count / highest) * (band - 18), 2);
      const past = (bin + 0.5) / BINS <= share(clock.time);
      context.fillStyle = past ? timeColour(bin / BINS) : colour("--faint");
      const step = (width - 2 * MARGIN) / BINS;
      context.fillRect(MARGIN + bin * step, base - bar, Math.max(step - 1, 1), bar);
    });
    write(context, name, MARGIN, row * band + 13);
    rule(context, MARGIN, width - MARGIN, base);
  });
  const top = (layers.length - 1) * band;
  const { name, times } = layers.at(-1);
  const marks = [...times.entries()].filter(([, t]) => t < Infinity).sort((a, b) => a[1] - b[1]);
  marks.forEach(([k, t], rank) => {
    const past = t <= clock.time;
    const x = place(t);
    context.fillStyle = past ? colour(k === best ? "--win" : "--charge") : colour("--dim");
    context.fillRect(x - 1, top + 4, k === best ? 3 : 2, band - 4);
    // Labels of close neighbours on different lines.
    const y = top + 15 + (rank % 3) * ((band - 18) / 2.6);
    context.font = context.font.replace(/^(bold )?/, k === best ? "bold " : "");
    write(context, classes[k], x + 4, y, past ? "--ink" : "--muted");
  });
  context.font = context.font.replace("bold ", "");
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

function histogram(times, share) {
  const heights = new Array(BINS).fill(0);
  for (const t of times) {
    const bin = Math.floor(share(t) * BINS);
    if (bin >= 0 && bin <= BINS) heights[Math.min(bin, BINS - 1)]++;
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
