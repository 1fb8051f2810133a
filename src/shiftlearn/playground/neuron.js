// The neuron: integrate-and-fire without leak, threshold 1, one spike. Times are z = exp(t / tau), Infinity for no spike.

/** The inputs that spike, in time order. */
export function order(z) {
  return Array.from(z.keys())
    .filter((i) => z[i] < Infinity)
    .sort((a, b) => z[a] - z[b]);
}

/**
 * First physical threshold crossing of every neuron of a layer.
 *
 * After some inputs, with S = sum of w and N = sum of w z over them, the potential is V(z) = S - N / z; it reaches 1 at
 * u = N / (S - 1), if it does so before the next input comes. The spike leaves at u times the delay (a factor).
 *
 * @param z (in) spike times of the inputs
 * @param layer {outputs, weight: (in * out), delay: (out)}
 * @returns z (out); u (out), the crossing before the delay; count (out), how many of `order(z)` are in the causal set
 */
export function fire(z, layer) {
  const { outputs, weight, delay } = layer;
  const inputs = order(z);
  const drive = new Float64Array(outputs).fill(-1); // S - 1
  const moment = new Float64Array(outputs); // N
  const u = new Float64Array(outputs).fill(Infinity);
  const count = new Int32Array(outputs);
  let last = 0;
  for (let k = 0; k <= inputs.length; k++) {
    const next = k < inputs.length ? z[inputs[k]] : Infinity;
    if (next > last) {
      // Tied inputs join the causal set together.
      for (let j = 0; j < outputs; j++) {
        if (u[j] < Infinity || !(drive[j] > 0)) continue;
        if (next < Infinity && !(drive[j] * next >= moment[j])) continue;
        // Rounding must not move the crossing across an input.
        const crossing = Math.max(Math.min(moment[j] / drive[j], next), last);
        if (crossing < Infinity) {
          u[j] = crossing;
          count[j] = k;
        }
      }
    }
    if (k === inputs.length) break;
    last = next;
    const row = inputs[k] * outputs;
    for (let j = 0; j < outputs; j++) {
      drive[j] += weight[row + j];
      moment[j] += weight[row + j] * next;
    }
  }
  return { z: u.map((x, j) => x * delay[j]), u, count };
}

/** What neuron j hears, in time order: input, its z and shift w, and S, N and V = S - N / z just after it. */
export function history(z, layer, j) {
  let S = 0;
  let N = 0;
  return order(z).map((input) => {
    const w = layer.weight[input * layer.outputs + j];
    S += w;
    N += w * z[input];
    return { input, z: z[input], w, S, N, V: S - N / z[input] };
  });
}

/** The potential at time z of a neuron with that history. */
export function potential(past, z) {
  let low = 0;
  let high = past.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (past[middle].z <= z) low = middle + 1;
    else high = middle;
  }
  return low ? past[low - 1].S - past[low - 1].N / z : 0;
}
