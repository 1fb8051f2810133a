// The events of many rows by pairs of channels.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "blocks.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

// What channels 2i and 2i + 1 sent in one row: when, and at what position in the row. One that sent nothing has a
// position beyond all causal sets.
template <class T>
struct Pair {
  int32_t row;
  typename Simd<T>::I position[2];
  T z[2];
};

// Every pair's events in chunks of rows, within a chunk row by row, and in each in time order. (Neighbouring pixels
// often spike together.)
template <class T>
struct PairLists {
  static constexpr int64_t kRows = 64;  // of a chunk: a block's terms for them stay in the first-level cache
  int64_t pairs, chunks;
  std::vector<int64_t> begin;  // of (chunk, pair), pair fastest, and each chunk's end
  std::unique_ptr<Pair<T>[]> list;

  explicit PairLists(const Events<T>& e)
      : pairs((e.inputs + 1) / 2), chunks(std::max<int64_t>((e.rows + kRows - 1) / kRows, 1)),
        begin(chunks * (pairs + 1)), list(new Pair<T>[e.spikes()]) {}

  template <class F>
  void for_pair(int64_t chunk, int64_t pair, F&& f) const {
    const int64_t* at = begin.data() + chunk * (pairs + 1) + pair;
    for (const Pair<T>*p = list.get() + at[0], *end = list.get() + at[1]; p < end; ++p) f(*p);
  }

  // Chunks may be sorted side by side. Counts are (rows, outputs).
  void sort(const Events<T>& e, const int32_t* count, int64_t outputs, int64_t chunk) {
    constexpr auto never = std::numeric_limits<typename Simd<T>::I>::max();
    const int64_t first = chunk * kRows, rows = std::min(kRows, e.rows - first);
    int64_t spikes[kRows];
    for (int64_t r = 0; r < rows; ++r)
      spikes[r] = std::min<int64_t>(largest_count(count + (first + r) * outputs, outputs), e.listed(first + r));
    std::vector<int16_t> latest(pairs);  // of a pair: 4 · row within the chunk + bits of the halves that have spiked
    // Calls f(row, k, channel, whether there is room beside the other half's spike).
    const auto for_events = [&](auto&& f) {
      std::fill(latest.begin(), latest.end(), int16_t(-1));
      for (int64_t r = 0; r < rows; ++r) {
        const int32_t* channel = e.channel + e.offsets[first + r];
        for (int64_t k = 0; k < spikes[r]; ++k) {
          int16_t& seen = latest[channel[k] / 2];
          const int half = 1 << channel[k] % 2;
          const bool room = seen == (r << 2 | (3 - half));
          seen = int16_t(room ? seen | half : r << 2 | half);
          f(first + r, k, channel[k], room);
        }
      }
    };
    int64_t* from = begin.data() + chunk * (pairs + 1);
    for_events([&](int64_t, int64_t, int32_t channel, bool room) { from[channel / 2 + 1] += !room; });
    from[0] = rows > 0 ? e.offsets[first] - e.offsets[0] : 0;  // there is room for as many as there are events
    for (int64_t i = 0; i < pairs; ++i) from[i + 1] += from[i];
    std::vector<int64_t> next(from, from + pairs);
    for_events([&](int64_t row, int64_t k, int32_t channel, bool room) {
      const int half = channel % 2;
      if (!room) list[next[channel / 2]++] = {int32_t(row), {never, never}, {}};
      Pair<T>& pair = list[next[channel / 2] - 1];
      pair.position[half] = k;
      pair.z[half] = e.z[e.offsets[row] + k];
    });
  }
};

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
