// The lanes of the outputs: the potential of each class on its way to threshold, and who was there first.
import { potential } from "./neuron.js";

const PLACES = ["1st", "2nd", "3rd"];

export class Outputs {
  /** @param list the element of the lanes; choose(j) is called when lane j is chosen */
  constructor(list, classes, choose) {
    this.lanes = classes.map((name, j) => {
      const item = list.appendChild(document.createElement("li"));
      const lane = item.appendChild(document.createElement("button"));
      lane.type = "button";
      lane.className = "lane";
      const [label, track, note] = ["label", "track", "note"].map((part) => {
        const element = lane.appendChild(document.createElement("span"));
        element.className = part;
        return element;
      });
      label.textContent = name;
      const bar = track.appendChild(document.createElement("span"));
      lane.addEventListener("click", () => choose(j));
      return { lane, bar, note };
    });
  }

  /** @param pasts the history of each output; z: when they fire; now: the clock's time as z; chosen: a lane, or null */
  paint(pasts, z, now, chosen) {
    const places = [...z.keys()].sort((a, b) => z[a] - z[b] || a - b);
    this.lanes.forEach(({ lane, bar, note }, j) => {
      const fired = z[j] <= now;
      const place = places.indexOf(j);
      const V = fired ? 1 : Math.min(Math.max(potential(pasts[j], now), 0), 1);
      bar.style.width = `${100 * V}%`;
      lane.dataset.fired = fired;
      lane.dataset.first = fired && place === 0;
      lane.setAttribute("aria-pressed", j === chosen);
      note.textContent = fired ? `${PLACES[place] ?? ""} ${Math.log(z[j]).toFixed(2)}` : `${Math.round(100 * V)} %`;
    });
  }
}
