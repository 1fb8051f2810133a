// The drawing pad: ink on a grid finer than the pixels, by pointer (mouse, pen, finger) or by keyboard.
import { colour, sheet } from "./paint.js";

export const FINE = 4; // points of the pad along a pixel

/**
 * @param canvas the pad
 * @param side pixels of the images
 * @param on {begin, change, end(how), pen(down)}: called when a stroke begins, as ink comes, when a stroke ends,
 *   and when the keyboard's pen goes down or up
 */
export class Pad {
  constructor(canvas, side, on) {
    this.canvas = canvas;
    this.side = side;
    this.size = side * FINE;
    this.on = on;
    this.radius = this.size * (side > 8 ? 0.045 : 0.06);
    this.ink = new Float64Array(this.size ** 2);
    this.pen = { x: this.size / 2, y: this.size / 2, down: false, shown: false };
    this.small = Object.assign(document.createElement("canvas"), { width: this.size, height: this.size });
    this.stroke = null; // where the pointer was last, while it draws
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.release());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.show(canvas.matches(":focus-visible")));
    canvas.addEventListener("blur", () => this.lift());
  }

  get drawing() {
    return this.stroke !== null || this.pen.down;
  }

  clear() {
    this.ink.fill(0);
    this.paint();
  }

  /** Show an image of the dataset. */
  load(pixels) {
    for (let y = 0; y < this.size; y++) {
      for (let x = 0; x < this.size; x++) {
        this.ink[y * this.size + x] = pixels[Math.floor(y / FINE) * this.side + Math.floor(x / FINE)];
      }
    }
    this.paint();
  }

  press(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.show(false);
    this.canvas.setPointerCapture(event.pointerId);
    this.stroke = this.place(event);
    this.on.begin();
    this.line(this.stroke, this.stroke);
  }

  drag(event) {
    if (!this.stroke) return;
    const parts = event.getCoalescedEvents?.() ?? [];
    for (const part of parts.length ? parts : [event]) {
      const next = this.place(part);
      this.line(this.stroke, next);
      this.stroke = next;
    }
  }

  release() {
    if (!this.stroke) return;
    this.stroke = null;
    this.on.end();
  }

  key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const pen = this.pen;
    if (step) {
      const before = { x: pen.x, y: pen.y };
      const by = FINE * (this.side > 8 ? 1 : 0.5);
      pen.x = Math.min(Math.max(pen.x + step[0] * by, 0), this.size);
      pen.y = Math.min(Math.max(pen.y + step[1] * by, 0), this.size);
      this.show(true);
      if (pen.down) this.line(before, pen);
    } else if (event.key === " ") {
      if (event.repeat) return event.preventDefault();
      if (pen.down) this.lift();
      else {
        pen.down = true;
        this.on.begin();
        this.on.pen(true);
        this.line(pen, pen);
      }
      this.show(true);
    } else if (event.key === "Escape") this.lift();
    else return;
    event.preventDefault();
  }

  lift() {
    if (this.pen.down) {
      this.pen.down = false;
      this.on.pen(false);
      this.on.end();
    }
    this.show(false);
  }

  show(visible) {
    this.pen.shown = visible;
    this.paint();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.size,
      y: ((event.clientY - box.top) / box.height) * this.size,
    };
  }

  /** Ink along a line, with a soft edge. */
  line(from, to) {
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length2 = dx * dx + dy * dy;
    const reach = this.radius + 1;
    const clip = (v) => Math.min(Math.max(v, 0), this.size - 1);
    for (let y = clip(Math.floor(Math.min(from.y, to.y) - reach)); y <= clip(Math.max(from.y, to.y) + reach); y++) {
      for (let x = clip(Math.floor(Math.min(from.x, to.x) - reach)); x <= clip(Math.max(from.x, to.x) + reach); x++) {
        const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
        const share = length2 ? Math.min(Math.max((px * dx + py * dy) / length2, 0), 1) : 0;
        const distance = Math.hypot(px - share * dx, py - share * dy);
        const ink = Math.min(Math.max(this.radius + 0.5 - distance, 0), 1);
        const k = y * this.size + x;
        this.ink[k] = Math.max(this.ink[k], ink);
      }
    }
    this.paint();
    this.on.change();
  }

  paint() {
    const { context, width } = sheet(this.canvas);
    const point = width / this.size;
    const [red, green, blue] = colour("--ink").match(/\d+/g);
    const image = new ImageData(this.size, this.size);
    this.ink.forEach((ink, k) => image.data.set([red, green, blue, 255 * ink], 4 * k));
    this.small.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(this.small, 0, 0, width, width);
    if (!this.pen.shown) return;
    context.lineWidth = this.pen.down ? 4 : 2;
    context.strokeStyle = colour("--focus");
    context.beginPath();
    context.arc(this.pen.x * point, this.pen.y * point, this.radius * point + 3, 0, 2 * Math.PI);
    context.moveTo(this.pen.x * point - 4, this.pen.y * point);
    context.lineTo(this.pen.x * point + 4, this.pen.y * point);
    context.moveTo(this.pen.x * point, this.pen.y * point - 4);
    context.lineTo(this.pen.x * point, this.pen.y * point + 4);
    context.stroke();
  }
}
