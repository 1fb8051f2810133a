// The clock of the race: play, pause, and a slider through time.

const SECONDS = 6; // of a whole race, at speed 1

/**
 * @param elements {play: button, slider: range input, speed: select}
 * @param on {tick(), finish(), describe() -> text}: after each change of the time; when playing has come to the end;
 *   what the slider says to a screen reader
 */
export class Clock {
  constructor({ play, slider, speed }, on) {
    Object.assign(this, { play, slider, speed, on, begin: 0, end: 1, time: 1, frame: 0 });
    play.addEventListener("click", () => (this.frame ? this.pause() : this.start()));
    slider.addEventListener("input", () => {
      this.pause();
      this.set(this.begin + (slider.value / slider.max) * (this.end - this.begin));
    });
  }

  /** A new race, whose time runs from `begin` to `end`; it stands at its end. */
  span(begin, end) {
    this.pause();
    Object.assign(this, { begin, end });
    this.set(end);
  }

  set(time) {
    this.time = Math.min(time, this.end);
    this.slider.value = ((this.time - this.begin) / (this.end - this.begin)) * this.slider.max;
    this.on.tick();
    this.slider.setAttribute("aria-valuetext", this.on.describe());
  }

  /** Play from here, or from the beginning if this is the end. */
  start() {
    if (this.time >= this.end) this.set(this.begin);
    let before = performance.now();
    const step = (now) => {
      const passed = Math.max(now - before, 0) / 1000;
      before = now;
      this.set(this.time + (passed / SECONDS) * this.speed.value * (this.end - this.begin));
      if (this.time < this.end) this.frame = requestAnimationFrame(step);
      else {
        this.pause();
        this.on.finish();
      }
    };
    this.frame = requestAnimationFrame(step);
    this.label();
  }

  pause() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.label();
  }

  label() {
    this.play.textContent = this.frame ? "Pause" : "Play";
    this.play.dataset.playing = Boolean(this.frame);
  }
}
