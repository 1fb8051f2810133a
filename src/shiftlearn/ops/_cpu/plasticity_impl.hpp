// Adjustments of the synapses: sums over the events of all rows that lie in a neuron's causal set.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "blocks.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace shiftlearn {
namespace {

constexpr int64_t kNearby = 256 << 10;  // bytes of adjustments that stay in a core's own cache

// The events of all rows, sorted into tiles of channels so that a tile's adjustments stay nearby; within a tile row by
// row, and in each in time order.
template <class T>
struct Tiles {
  struct Spike { T z; int32_t channel; int32_t position; };  // channel within the tile, position within the row
  int bits;                                                 // a tile has 1 << bits channels
  int64_t count;
  std::vector<Spike> spikes;
  std::vector<int64_t> begin;  // of (tile, row), row fastest; and the end

  // For adjustments of `bytes` a channel.
  Tiles(const Events<T>& e, int64_t bytes) : bits(4) {
    while ((bytes << (bits + 1)) <= kNearby) ++bits;
    count = std::max<int64_t>((e.inputs + (int64_t(1) << bits) - 1) >> bits, 1);
    if (count == 1) return;
    begin.assign(count * e.rows + 1, 0);
    spikes.resize(e.offsets[e.rows] - e.offsets[0]);
  }

  // Calls f with the number of spikes that a row has in a tile, and a function from their number to the Spike.
  template <class F>
  void with_row(const Events<T>& e, int64_t tile, int64_t row, F&& f) const {
    if (count == 1) {
      const T* z = e.z + e.offsets[row];
      const int32_t* channel = e.channel + e.offsets[row];
      f(e.listed(row), [=](int64_t k) { return Spike{z[k], channel[k], int32_t(k)}; });
    } else {
      const int64_t* at = begin.data() + tile * e.rows + row;
      const Spike* first = spikes.data() + at[0];
      f(at[1] - at[0], [=](int64_t i) { return first[i]; });
    }
  }

  // Called by every thread of a team.
  void sort(const Events<T>& e, Failure& failure) {
    if (count == 1) return;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < e.rows; ++row) {
      const int32_t* channel = e.channel + e.offsets[row];
      for (int64_t k = 0, end = e.listed(row); k < end; ++k) ++begin[(channel[k] >> bits) * e.rows + row + 1];
    }
#pragma omp single
    for (int64_t i = 0; i < count * e.rows; ++i) begin[i + 1] += begin[i];
#pragma omp for schedule(static)
    for (int64_t row = 0; row < e.rows; ++row) failure.guard([&] {
      std::vector<int64_t> next(count);
      for (int64_t tile = 0; tile < count; ++tile) next[tile] = begin[tile * e.rows + row];
      const T* z = e.z + e.offsets[row];
      const int32_t* channel = e.channel + e.offsets[row];
      for (int64_t k = 0, end = e.listed(row); k < end; ++k)
        spikes[next[channel[k] >> bits]++] = {z[k], channel[k] & ((1 << bits) - 1), int32_t(k)};
    });
  }
};

// A row's coefficients for the columns of a block, and the causal sets that they are for.
template <class T, int NV>
struct Terms {
  typename Simd<T>::V a[NV], c[NV];
  typename Simd<T>::M cause[NV];
  typename Simd<T>::I most;  // the largest of the counts
};

// Of the terms, what every channel gets at rest goes to `common`.
template <class T, int NV, bool FULL>
Terms<T, NV> terms_of(const Events<T>& e, int64_t row, const int32_t* count, const T* a, const T* c, int tail,
                      typename Simd<T>::V* common) {
  using S = Simd<T>;
  using I = typename S::I;
  const auto real = S::first(tail);
  Terms<T, NV> t;
  t.most = 0;
  FOR_VECTORS {
    const int lanes = v + 1 == NV ? tail : S::width;
    t.a[v] = load_vector<T, NV, FULL>(a, v, real);
    t.c[v] = load_vector<T, NV, FULL>(c, v, real);
    t.cause[v] = S::load_count(count + v * S::width, lanes);
    for (int i = 0; i < lanes; ++i) t.most = std::max<I>(t.most, count[v * S::width + i]);
  }
  const I listed = I(e.listed(row));
  if (t.most > listed && e.has_rest(row, listed)) {
    // The listed channels get a·z − c; `common` gives every channel a·rest − c, so their own share is a·(z − rest).
    const auto rest = S::fill(e.rest[row]);
    FOR_VECTORS {
      common[v] += S::keep(S::greater(t.cause[v], listed), t.a[v] * rest - t.c[v]);
      t.c[v] = S::select(S::greater(t.cause[v], listed), t.a[v] * rest, t.c[v]);
    }
  }
  return t;
}

// Adds a row's adjustments to the tile `sum` (channels × NV vectors), without what every channel gets.
// spike(i) is the i-th of `spikes` spikes: its time, its channel within the tile, and its position in the row.
template <class T, int NV, class F>
void adjust_row(int64_t spikes, F&& spike, const Terms<T, NV>& t, T* sum) {
  using S = Simd<T>;
  typename S::V a[NV], c[NV];
  typename S::M cause[NV];
  FOR_VECTORS {
    a[v] = t.a[v];
    c[v] = t.c[v];
    cause[v] = t.cause[v];
  }
  for (int64_t i = 0; i < spikes; ++i) {
    const auto [now, channel, position] = spike(i);
    if (position >= t.most) break;
    T* w = sum + channel * int64_t(NV * S::width);
    FOR_VECTORS {
      const auto term = S::keep(S::greater(cause[v], position), a[v] * now - c[v]);
      S::store(w + v * S::width, S::load(w + v * S::width) + term);
    }
  }
}

template <class T>
void plasticity(const Events<T>& e, const int32_t* count, const T* a, const T* c, int64_t outputs, T* result,
                int threads) {
  using S = Simd<T>;
  const auto blocks = column_blocks<T>(outputs, kAdjustVectors, threads);
  const int64_t size = e.inputs * outputs;
  // Few columns: share out the rows too, always into the same parts, so that sums do not depend on the threads.
  const int64_t parts = outputs >= 8 * kAdjustVectors * S::width ? 1 : std::clamp<int64_t>(e.rows / 16, 1, 8);
  std::vector<T> partial((parts - 1) * size);
  Tiles<T> tiles(e, (blocks.empty() ? 1 : blocks[0].vectors) * sizeof(typename S::V));
  Failure failure;
  const int team = useful_threads(threads, (e.offsets[e.rows] + e.inputs) * outputs);
#pragma omp parallel num_threads(team)
  {
    tiles.sort(e, failure);
    // kept, since fresh memory costs page faults
    static thread_local std::vector<T> sum;
#pragma omp for schedule(static)
    for (int64_t task = 0; task < int64_t(blocks.size()) * parts; ++task) failure.guard([&] {
      const Block block = blocks[task / parts];
      const int64_t part = task % parts, first = part * e.rows / parts, last = (part + 1) * e.rows / parts;
      T* target = (part ? partial.data() + (part - 1) * size : result) + block.begin;
      specialise<T>(block, [&](auto nv, auto full) {
        constexpr int NV = nv(), ld = NV * S::width;
        typename S::V common[NV] = {};
        std::vector<Terms<T, NV>> terms;
        terms.reserve(last - first);
        for (int64_t row = first; row < last; ++row) {
          const int64_t at = row * outputs + block.begin;
          terms.push_back(terms_of<T, NV, full()>(e, row, count + at, a + at, c + at, block.tail, common));
        }
        for (int64_t tile = 0; tile < tiles.count; ++tile) {
          const int64_t from = tile << tiles.bits, channels = std::min(e.inputs - from, int64_t(1) << tiles.bits);
          sum.assign(channels * ld, T(0));
          for (int64_t row = first; row < last; ++row) tiles.with_row(e, tile, row, [&](int64_t spikes, auto&& spike) {
            adjust_row(spikes, spike, terms[row - first], sum.data());
          });
          for (int64_t i = 0; i < channels; ++i)
            FOR_VECTORS store_vector<T, NV, full()>(target + (from + i) * outputs, v, S::first(block.tail),
                                                    S::load(&sum[i * ld + v * S::width]) + common[v]);
        }
      });
    });
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (parts > 1 ? e.inputs : 0); ++i)
      for (int64_t part = 0; part < parts - 1; ++part)
        for (int64_t j = 0; j < outputs; ++j) result[i * outputs + j] += partial[part * size + i * outputs + j];
  }
  failure.rethrow();
}

}  // namespace
}  // namespace shiftlearn
