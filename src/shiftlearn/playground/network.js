// The trained network: its coding, its layers, and the race of one image through them.
import { fire } from "./neuron.js";

/** The network in the page's data; weights are levels of 8 bits times a scale for each neuron. */
export function network(data) {
  return {
    coding: data.coding,
    white: data.pictures.white,
    layers: data.layers.map(({ inputs, outputs, levels, scale, delay }) => ({
      inputs,
      outputs,
      delay,
      weight: Float64Array.from(new Int8Array(bytes(levels).buffer), (level, k) => level * scale[k % outputs]),
    })),
  };
}

/** Spike times of the inputs for pixels (0 no ink, 1 full ink), and what each input is: a pixel, and on or off. */
export function encode({ coding, white }, pixels) {
  const { columns, name, exponent, levels } = coding;
  const coarse = (x) => (levels ? Math.round(x * (levels - 1)) / (levels - 1) : x);
  const values = (
    columns
      ? columns.map(({ pixel, knots, positions }) => scaled(pixels[pixel] * white, knots, positions))
      : Array.from(pixels)
  ).map(coarse);
  const latency = (x) => Math.exp(exponent * (1 - x));
  const binarised = (x) => Math.fround(Math.exp(1 - (x >= 0.5 ? 0.01 : 2.3))); // float32, as the library has it
  const z = values.map(name === "binarised" ? binarised : latency);
  return name === "on-off" ? z.concat(values.map((x) => latency(1 - x))) : z;
}

/** For every input: which pixel drives it, and whether it fires early where there is no ink. */
export function sources({ coding }, side) {
  const pixels = coding.columns ? coding.columns.map((column) => column.pixel) : [...Array(side * side).keys()];
  const on = pixels.map((pixel) => ({ pixel, off: false }));
  return coding.name === "on-off" ? on.concat(pixels.map((pixel) => ({ pixel, off: true }))) : on;
}

/** Spike times of all layers, the inputs first: [{z}, {z, u, count}, ...]. */
export function race(net, pixels) {
  const stages = [{ z: encode(net, pixels) }];
  for (const layer of net.layers) stages.push(fire(stages.at(-1).z, layer));
  return stages;
}

/** The class that fires first, of tied ones the lowest; null if all are silent. */
export function winner(z) {
  const first = z.indexOf(Math.min(...z));
  return z[first] < Infinity ? first : null;
}

/** Linear between knots, flat outside; rounded to float32 as the library does. */
function scaled(x, knots, positions) {
  const clipped = Math.min(Math.max(x, knots[0]), knots.at(-1));
  let left = 0;
  while (left < knots.length - 2 && knots[left + 1] <= clipped) left++;
  const share = (clipped - knots[left]) / (knots[left + 1] - knots[left]);
  const [low, high] = [positions[left], positions[left + 1]];
  return Math.fround(Math.min(low + share * (high - low), high));
}

export function bytes(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}
