// From a drawing to an image as the dataset has them: MNIST's digits were scaled to a box, and centred by mass.

/** The mean of each block: a drawing of (side * fine)^2 values as side^2 pixels. */
export function shrink(ink, side, fine) {
  const pixels = new Float64Array(side * side);
  for (let y = 0; y < side * fine; y++) {
    for (let x = 0; x < side * fine; x++) {
      pixels[Math.floor(y / fine) * side + Math.floor(x / fine)] += ink[y * side * fine + x] / fine ** 2;
    }
  }
  return pixels;
}

/**
 * The drawing, scaled so that its longer side fills the box, with its middle in the middle.
 *
 * @param pictures {side, box, centre: "mass" or "box"}
 */
export function normalise(ink, pictures, fine) {
  const { side, box, centre } = pictures;
  const size = side * fine;
  const found = extent(ink, size);
  if (!found) return shrink(ink, side, fine);
  const scale = Math.max(found.right - found.left, found.bottom - found.top) / (box * fine);
  const [middleX, middleY] =
    centre === "mass"
      ? [found.massX, found.massY]
      : [(found.left + found.right) / 2, (found.top + found.bottom) / 2];
  const moved = new Float64Array(size * size);
  // Samples between the new, finer grid's points, so that thin lines survive when a large drawing becomes small.
  const taps = Math.max(1, Math.ceil(scale));
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let sum = 0;
      for (let b = 0; b < taps; b++) {
        for (let a = 0; a < taps; a++) {
          const fromX = middleX + (x + (a + 0.5) / taps - size / 2) * scale;
          const fromY = middleY + (y + (b + 0.5) / taps - size / 2) * scale;
          sum += at(ink, size, fromX - 0.5, fromY - 0.5);
        }
      }
      moved[y * size + x] = sum / taps ** 2;
    }
  }
  return shrink(moved, side, fine);
}

/** Box and centre of mass of the ink; null if there is none. */
function extent(ink, size) {
  let [left, right, top, bottom] = [size, 0, size, 0];
  let [mass, massX, massY] = [0, 0, 0];
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const value = ink[y * size + x];
      if (value < 0.1) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
      mass += value;
      massX += value * (x + 0.5);
      massY += value * (y + 0.5);
    }
  }
  return mass ? { left, right, top, bottom, massX: massX / mass, massY: massY / mass } : null;
}

/** Bilinear; no ink outside. */
function at(ink, size, x, y) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, low] = [x - left, y - top];
  const value = (column, row) =>
    column >= 0 && column < size && row >= 0 && row < size ? ink[row * size + column] : 0;
  return (
    (1 - low) * ((1 - right) * value(left, top) + right * value(left + 1, top)) +
    low * ((1 - right) * value(left, top + 1) + right * value(left + 1, top + 1))
  );
}
