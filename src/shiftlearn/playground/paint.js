// Canvases: sharp on every screen, in the colours of the style sheet.

const cache = new Map();

/** The colour of a CSS variable, as rgb() of the present theme. */
export function colour(name) {
  if (!cache.has(name)) {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.style.color = `var(${name})`;
    cache.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return cache.get(name);
}

/** To be called when the theme changes. */
export function forgetColours() {
  cache.clear();
}

const STOPS = ["--time-0", "--time-1", "--time-2", "--time-3", "--time-4"];

/** The colour of a spike time: 0 the earliest, 1 the latest. */
export function timeColour(share) {
  const step = Math.round(100 * Math.min(Math.max(share, 0), 1));
  if (!cache.has(step)) {
    const place = (step / 100) * (STOPS.length - 1);
    const left = Math.min(Math.floor(place), STOPS.length - 2);
    cache.set(step, mix(colour(STOPS[left]), colour(STOPS[left + 1]), place - left));
  }
  return cache.get(step);
}

/** The colour of a weight, from -1 (delays the spike) through 0 to 1 (hastens it). */
export function weightColour(share) {
  return mix(colour("--faint"), colour(share < 0 ? "--minus" : "--plus"), 0.15 + 0.85 * Math.min(Math.abs(share), 1));
}

function mix(from, to, share) {
  const [a, b] = [from, to].map((text) => text.match(/[\d.]+/g).map(Number));
  return `rgb(${a.slice(0, 3).map((x, k) => Math.round(x + share * (b[k] - x)))})`;
}

/** An empty canvas with a point for every pixel of the screen; its context counts in CSS pixels. */
export function sheet(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return { context, width, height };
}

/** Cells in rows: pixels as squares, neurons as discs. */
export class Grid {
  constructor(canvas, count, columns, round) {
    Object.assign(this, { canvas, count, columns, round, rows: Math.ceil(count / columns) });
    canvas.style.aspectRatio = `${columns} / ${this.rows}`;
  }

  /** @param look from a cell's number to {fill, size (1: touching its neighbours), ring (colour), minus (a dash on it)} */
  paint(look) {
    const { context, width } = sheet(this.canvas);
    const cell = width / this.columns;
    const disc = (x, y, size) => {
      context.beginPath();
      if (this.round) context.arc(x, y, (size * cell) / 2, 0, 2 * Math.PI);
      else context.rect(x - (size * cell) / 2, y - (size * cell) / 2, size * cell, size * cell);
    };
    const rings = [];
    for (let k = 0; k < this.count; k++) {
      const { fill, size = 0.86, ring, minus } = look(k);
      const [x, y] = [((k % this.columns) + 0.5) * cell, (Math.floor(k / this.columns) + 0.5) * cell];
      disc(x, y, size);
      context.fillStyle = fill;
      context.fill();
      if (ring) rings.push([x, y, ring]);
      if (minus) {
        context.fillStyle = colour("--panel");
        context.fillRect(x - 0.25 * cell, y - 0.06 * cell, 0.5 * cell, Math.max(0.12 * cell, 1));
      }
    }
    for (const [x, y, ring] of rings) {
      context.lineWidth = 2.5;
      context.strokeStyle = ring;
      disc(x, y, 1.35);
      context.stroke();
    }
  }

  /** The cell under a pointer; null beside all of them. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const cell = box.width / this.columns;
    const [x, y] = [Math.floor((event.clientX - box.left) / cell), Math.floor((event.clientY - box.top) / cell)];
    const k = y * this.columns + x;
    return x >= 0 && x < this.columns && k >= 0 && k < this.count ? k : null;
  }

  /** The cell that an arrow key leads to from cell k; null for other keys. */
  step(event, k) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    if (!by) return null;
    return k + by >= 0 && k + by < this.count ? k + by : k;
  }
}
