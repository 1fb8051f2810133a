// What errors send back to the inputs, through the weights or through another matrix.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "blocks.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

// The events of all rows by tiles of inputs, within a row tile by tile, and in each in time order: a block of a tile's
// weights stays in a core's own cache. One tile is the events as they are.
template <class T>
struct TileLists {
  struct Part {  // of a row: inputs, counted from the tile's first, and positions in the row (null: 0, 1, ...)
    const int32_t *input, *position;
    int64_t events;
  };
  const Events<T>& e;
  int64_t size, tiles;
  std::vector<int64_t> begin;  // of (row, tile), tile fastest, and the end
  std::vector<int32_t> input, position;

  TileLists(const Events<T>& e, int64_t size) : e(e), size(size), tiles((e.inputs + size - 1) / size) {
    if (tiles <= 1) return;
    begin.resize(e.rows * tiles + 1);
    input.resize(e.spikes());
    position.resize(e.spikes());
    std::vector<int64_t> next(tiles);
    for (int64_t row = 0; row < e.rows; ++row) {
      const int32_t* channel = e.channel + e.offsets[row];
      const int64_t listed = e.listed(row);
      int64_t* from = begin.data() + row * tiles;
      for (int64_t k = 0; k < listed; ++k) ++from[channel[k] / size + 1];
      for (int64_t i = 0; i < tiles; ++i) {
        next[i] = from[i];
        from[i + 1] += from[i];
      }
      for (int64_t k = 0; k < listed; ++k) {
        const int64_t at = next[channel[k] / size]++;
        input[at] = channel[k] % size;
        position[at] = k;
      }
    }
  }
  Part part(int64_t row, int64_t tile, int64_t listed) const {
    if (tiles <= 1) return {e.channel + e.offsets[row], nullptr, listed};
    const int64_t* at = begin.data() + row * tiles + tile;
    return {input.data() + at[0], position.data() + at[0], at[1] - at[0]};
  }
};

// What row `row` sends back to `inputs` of a tile through one block of columns, added to `result` (inputs).
template <class T, int NV, bool FULL>
void send_row(const Events<T>& e, int64_t row, const TileLists<T>& lists, int64_t tile, int64_t inputs,
              const int32_t* count, const T* f, const T* weight, int64_t ld, int tail, std::vector<char>& unlisted,
              T* result) {
  using S = Simd<T>;
  using I = typename S::I;
  const auto real = S::first(tail);
  typename S::V fv[NV];
  typename S::M cause[NV];
  FOR_VECTORS {
    fv[v] = load_vector<T, NV, FULL>(f, v, real);
    cause[v] = S::load_count(count + v * S::width, v + 1 == NV ? tail : S::width);
  }
  const I most = largest_count(count, (NV - 1) * S::width + tail);
  const auto sent = [&](int64_t input, I k) {
    typename S::V sum{};
    FOR_VECTORS
      sum += S::keep(S::greater(cause[v], k), fv[v]) * load_vector<T, NV, FULL>(weight + input * ld, v, real);
    return S::sum(sum);
  };
  const I listed = I(e.listed(row));
  const auto part = lists.part(row, tile, listed);
  if (most > listed && e.has_rest(row, listed)) {  // some neuron waited for rest; no channel repeats in such a row
    unlisted.assign(inputs, 1);
    for (int64_t n = 0; n < part.events; ++n) unlisted[part.input[n]] = 0;
    for (int64_t i = 0; i < inputs; ++i)
      if (unlisted[i]) result[i] += sent(i, listed);
  }
  const bool far = is_far<T>(inputs, ld);
  for (int64_t n = 0; n < part.events; ++n) {
    const I k = part.position ? part.position[n] : n;
    if (k >= most) break;
    if (far && n + kAhead < part.events) prefetch<NV>(weight + part.input[n + kAhead] * ld);
    result[part.input[n]] += sent(part.input[n], k);
  }
}

template <class T>
void feedback(const Events<T>& e, const int32_t* count, const T* f, const T* weight, int64_t outputs, T* result,
              int threads) {
  const auto blocks = column_blocks<T>(outputs, kFeedbackVectors);
  const bool packed = is_worth_packing(e, blocks);
  // Each chunk of rows reads all weights: as large as leaves every thread some, but packed ones serve 64 reads of each.
  int64_t chunk = e.rows / ((packed ? 1 : 4) * threads);
  if (packed) chunk = std::min(chunk, 64 * e.inputs * e.rows / std::max<int64_t>(e.listed(), 1));
  chunk = std::max<int64_t>(chunk, 8);
  const int64_t chunks = (e.rows + chunk - 1) / chunk;
  constexpr int64_t of_tile = kL2Bytes / int64_t(kFeedbackVectors * sizeof(typename Simd<T>::V));
  const TileLists<T> lists(e, packed ? of_tile : std::max<int64_t>(e.inputs, 1));
  Failure failure;
  const int team = useful_threads(threads, e.spikes() * outputs);
#pragma omp parallel num_threads(team)
  {
    std::vector<char> unlisted;
    static thread_local std::vector<typename Simd<T>::V> strip;  // kept, since fresh memory costs page faults
    failure.guard([&] {
      if (packed) strip.reserve(lists.size * kFeedbackVectors);
      unlisted.reserve(lists.size + 1);  // last: rows are not looked at without it
    });
    const auto send_tile = [&](int64_t tile, int64_t begin, int64_t end) {
      const int64_t first = tile * lists.size, inputs = std::min(lists.size, e.inputs - first);
      for (const Block& block : blocks) {
        const T* w = weight + first * outputs + block.begin;
        int64_t ld = outputs;
        if (packed) {
          w = pack<T, kFeedbackVectors>(w, inputs, ld, block, strip);
          ld = block.vectors * Simd<T>::width;
        }
        specialise<T, kFeedbackVectors>(block, [&](auto nv, auto full) {
          for (int64_t row = begin; row < end; ++row) {
            const int64_t at = row * outputs + block.begin;
            send_row<T, nv(), full()>(e, row, lists, tile, inputs, count + at, f + at, w, ld, block.tail, unlisted,
                                      result + row * e.inputs + first);
          }
        });
      }
    };
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < chunks; ++task) {
      if (unlisted.capacity() == 0) continue;
      const int64_t begin = task * chunk, end = std::min(begin + chunk, e.rows);
      std::fill_n(result + begin * e.inputs, (end - begin) * e.inputs, T(0));
      for (int64_t tile = 0; tile < lists.tiles; ++tile) send_tile(tile, begin, end);
    }
  }
  failure.rethrow();
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
