// What a chosen neuron heard: its causal set on a map and as a table, and how its potential rose to threshold.
import { history, potential } from "./neuron.js";
import { colour, Grid, sheet, weightColour } from "./paint.js";

const HEAD = ["t", "shift w", "S", "N", "V"];

/** @param parts {title, text, formula, maps, trace, table}: the elements that it fills */
export class Detail {
  constructor(parts) {
    this.parts = parts;
    this.chosen = null;
  }

  /**
   * @param name of the neuron
   * @param z spike times of its inputs; layer: its layer; spikes: what `fire` made of them; j: its number
   * @param maps [{label, columns, round, cells: the input at each place, or -1}]
   * @param inputs {kind, name(input)}: what the inputs are called
   */
  show(name, z, layer, spikes, j, maps, inputs) {
    const past = history(z, layer, j);
    const count = spikes.count[j];
    const crossing = spikes.u[j];
    this.chosen = { past, crossing };
    const { title, text, formula, table } = this.parts;
    title.textContent = name;
    if (count) {
      const rank = 1 + spikes.z.filter((other) => other < spikes.z[j]).length;
      const { S, N } = past[count - 1];
      text.textContent =
        `Fires at t = ${time(spikes.z[j])}, as number ${rank} of ${layer.outputs} in its layer. ` +
        `Of its ${layer.inputs} inputs, ${count} came before the crossing: they are its causal set, ` +
        "and they alone decide when it fires.";
      formula.replaceChildren(
        ...term("S = Σ w", fixed(S)),
        ...term("N = Σ w z", fixed(N)),
        ...term("crossing u = N / (S − 1)", `${fixed(crossing)}, so t = ln u = ${time(crossing)}`),
        ...term("delay", `factor ${layer.delay[j].toFixed(4)}, so it is heard at t = ${time(spikes.z[j])}`),
      );
    } else {
      const sum = past.length ? past.at(-1).S : 0;
      text.textContent = "Silent: its potential never reaches threshold, so it has no causal set and sends nothing.";
      formula.replaceChildren(...term("S = Σ w of all inputs that fire", fixed(sum)));
    }
    this.paintMaps(past.slice(0, count), maps);
    this.fill(table, past.slice(0, count), inputs);
  }

  paintMaps(causal, maps) {
    const most = Math.max(...causal.map(({ w }) => Math.abs(w)), 1e-12);
    const weights = new Map(causal.map(({ input, w }) => [input, w / most]));
    this.parts.maps.replaceChildren(
      ...maps.map(({ label, columns, round, cells }) => {
        const figure = document.createElement("figure");
        const canvas = figure.appendChild(document.createElement("canvas"));
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `Shifts of the causal set on its ${label}; the table has the numbers`);
        figure.appendChild(document.createElement("figcaption")).textContent = label;
        const grid = new Grid(canvas, cells.length, columns, round);
        requestAnimationFrame(() =>
          grid.paint((k) => {
            const w = weights.get(cells[k]);
            if (w === undefined) return { fill: colour("--faint"), size: 0.3 };
            return { fill: weightColour(w), size: 0.96, minus: w < 0 };
          }),
        );
        return figure;
      }),
    );
  }

  fill(table, causal, { kind, name }) {
    const head = row("th", ["", kind, ...HEAD]);
    for (const cell of head.children) cell.scope = "col";
    const rows = causal.map(({ input, z, w, S, N, V }, k) =>
      row("td", [k + 1, name(input), time(z), signed(w), fixed(S), fixed(N), fixed(V)]),
    );
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceChildren(...rows);
  }

  /** The potential over time, up to the crossing; `clock` as in race.js. */
  paintTrace(clock) {
    if (!this.chosen) return;
    const { past, crossing } = this.chosen;
    const { context, width, height } = sheet(this.parts.trace);
    const [left, right, top, foot] = [34, 8, 14, 34];
    const x = (t) => left + ((t - clock.begin) / (clock.end - clock.begin)) * (width - left - right);
    const points = [];
    for (let pixel = 0; pixel <= width - left - right; pixel++) {
      const t = clock.begin + (pixel / (width - left - right)) * (clock.end - clock.begin);
      if (Math.exp(t) > crossing) break;
      points.push([t, potential(past, Math.exp(t))]);
    }
    const seen = Math.log(crossing) <= clock.end; // late neurons cross after the race
    if (seen) points.push([Math.log(crossing), 1]);
    const lowest = Math.min(0, ...points.map(([, V]) => V));
    const y = (V) => top + ((1.1 - V) / (1.1 - lowest)) * (height - top - foot);
    context.fillStyle = colour("--muted");
    for (const V of [0, 1]) {
      context.fillRect(left, y(V), width - left - right, 1);
      context.textAlign = "right";
      context.fillText(String(V), left - 6, y(V) + 4);
    }
    context.textAlign = "left";
    context.fillText("threshold", left + 4, y(1) - 4);
    context.textAlign = "center";
    for (let t = Math.ceil(clock.begin * 2) / 2; t <= clock.end; t += 0.5) {
      context.fillText(t.toFixed(1), x(t), height - 18);
    }
    context.fillText("t / τ", (left + width - right) / 2, height - 3);
    context.lineWidth = 2.5;
    context.lineJoin = "round";
    context.strokeStyle = colour("--charge");
    context.beginPath();
    points.forEach(([t, V], k) => (k ? context.lineTo(x(t), y(V)) : context.moveTo(x(t), y(V))));
    context.stroke();
    if (seen) {
      context.fillStyle = colour("--win");
      context.beginPath();
      context.arc(x(Math.log(crossing)), y(1), 5, 0, 2 * Math.PI);
      context.fill();
    }
    context.fillStyle = colour("--ink");
    context.fillRect(x(clock.time) - 0.5, top, 1, height - top - foot);
  }
}

export const time = (z) => Math.log(z).toFixed(3);
const fixed = (x) => x.toFixed(3).replace("-", "−");
const signed = (x) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(4);

function term(name, value) {
  const [dt, dd] = ["dt", "dd"].map((tag) => document.createElement(tag));
  dt.textContent = name;
  dd.textContent = value;
  return [dt, dd];
}

function row(tag, cells) {
  const element = document.createElement("tr");
  for (const text of cells) element.appendChild(document.createElement(tag)).textContent = text;
  return element;
}
