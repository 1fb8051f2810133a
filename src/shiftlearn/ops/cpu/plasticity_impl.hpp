// Adjustments of the synapses: sums over the events of all rows that lie in a neuron's causal set.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "blocks.hpp"
#include "groups.hpp"
#include "kernels.hpp"
#include "pairs.hpp"
#include "simd.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

constexpr int64_t kWideVectors = 12;  // of columns, from where sorting events by channel pays

// A row's coefficients for the columns of a block, and the causal sets that they are for.
template <class T, int NV>
struct Terms {
  typename Simd<T>::V a[NV], c[NV];
  typename Simd<T>::M cause[NV];

  // Of vector v: the sum, plus what the event at a position of the row adds to it.
  typename Simd<T>::V add_to(typename Simd<T>::V sum, int v, T z, typename Simd<T>::I position) const {
    return Simd<T>::add(Simd<T>::greater(cause[v], position), sum, a[v] * z - c[v]);
  }
};

// Of the terms, what every channel gets at rest goes to `common`.
template <class T, int NV, bool FULL>
Terms<T, NV> terms_of(const Events<T>& e, int64_t row, const int32_t* count, const T* a, const T* c, int tail,
                      typename Simd<T>::V* common) {
  using S = Simd<T>;
  const auto real = S::first(tail);
  Terms<T, NV> t;
  FOR_VECTORS {
    t.a[v] = load_vector<T, NV, FULL>(a, v, real);
    t.c[v] = load_vector<T, NV, FULL>(c, v, real);
    t.cause[v] = S::load_count(count + v * S::width, v + 1 == NV ? tail : S::width);
  }
  const int64_t listed = e.listed(row);
  if (e.has_rest(row, listed)) {
    // The listed channels get a·z − c; `common` gives every channel a·rest − c, so their own share is a·(z − rest).
    const auto rest = S::fill(e.rest[row]);
    FOR_VECTORS {
      common[v] += S::keep(S::greater(t.cause[v], listed), t.a[v] * rest - t.c[v]);
      t.c[v] = S::select(S::greater(t.cause[v], listed), t.a[v] * rest, t.c[v]);
    }
  }
  return t;
}

// By row: a row's events one by one, each adding to what its channel has. Rows are shared out in the same parts on any
// number of threads, so that sums do not depend on it. For few columns.
template <class T>
void plasticity_by_row(const Events<T>& e, const int32_t* count, const T* a, const T* c, int64_t outputs, T* result,
                       int threads) {
  using S = Simd<T>;
  const auto blocks = column_blocks<T>(outputs, kAdjustVectors);
  const int64_t size = e.inputs * outputs, parts = std::clamp<int64_t>(e.rows / 16, 1, 8);
  std::vector<T> partial((parts - 1) * size);
  Failure failure;
#pragma omp parallel num_threads(threads)
  {
    // kept, since fresh memory costs page faults
    static thread_local std::vector<T> sum;
#pragma omp for schedule(static)
    for (int64_t task = 0; task < int64_t(blocks.size()) * parts; ++task) failure.guard([&] {
      const Block block = blocks[task / parts];
      const int64_t part = task % parts, first = part * e.rows / parts, last = (part + 1) * e.rows / parts;
      T* target = (part ? partial.data() + (part - 1) * size : result) + block.begin;
      specialise<T, kAdjustVectors>(block, [&](auto nv, auto full) {
        constexpr int NV = nv(), ld = NV * S::width;
        typename S::V common[NV] = {};
        sum.assign(e.inputs * ld, T(0));
        for (int64_t row = first; row < last; ++row) {
          const int64_t at = row * outputs + block.begin;
          const auto t = terms_of<T, NV, full()>(e, row, count + at, a + at, c + at, block.tail, common);
          const T* z = e.z + e.offsets[row];
          const int32_t* channel = e.channel + e.offsets[row];
          const int64_t spikes = std::min<int64_t>(largest_count(count + at, block.columns<T>()), e.listed(row));
          for (int64_t k = 0; k < spikes; ++k) {
            T* w = sum.data() + channel[k] * int64_t(ld);
            FOR_VECTORS S::store(w + v * S::width, t.add_to(S::load(w + v * S::width), v, z[k], k));
          }
        }
        for (int64_t i = 0; i < e.inputs; ++i)
          FOR_VECTORS store_vector<T, NV, full()>(target + i * outputs, v, S::first(block.tail),
                                                  S::load(&sum[i * ld + v * S::width]) + common[v]);
      });
    });
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (parts > 1 ? e.inputs : 0); ++i)
      for (int64_t part = 0; part < parts - 1; ++part)
        for (int64_t j = 0; j < outputs; ++j) result[i * outputs + j] += partial[part * size + i * outputs + j];
  }
  failure.rethrow();
}

// By channel: what two channels get stays in registers while their events of all rows go by, and the rows' terms stay
// nearby. Events have to be sorted for it, which pays for many columns.
template <class T>
void plasticity_by_channel(const Events<T>& e, const int32_t* count, const T* a, const T* c, int64_t outputs, T* result,
                           int threads) {
  using S = Simd<T>;
  const auto blocks = column_blocks<T>(outputs, kPairVectors, threads);
  PairLists<T> lists(e);
  const int64_t width = blocks.empty() ? 1 : blocks[0].vectors * sizeof(typename S::V);
  const int64_t of_tile = std::max<int64_t>(kL2Bytes / (2 * width), 1), tiles = (lists.pairs + of_tile - 1) / of_tile;
  Failure failure;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (int64_t chunk = 0; chunk < lists.chunks; ++chunk)
      failure.guard([&] { lists.sort(e, count, outputs, chunk); });
#pragma omp for schedule(static)
    for (int64_t task = 0; task < int64_t(blocks.size()) * tiles; ++task) failure.guard([&] {
      const Block block = blocks[task / tiles];
      const int64_t first = task % tiles * of_tile, last = std::min(first + of_tile, lists.pairs);
      specialise<T, kPairVectors>(block, [&](auto nv, auto full) {
        constexpr int NV = nv();
        constexpr bool FULL = full();
        const auto real = S::first(block.tail);
        typename S::V common[NV] = {};
        std::vector<Terms<T, NV>> terms;
        terms.reserve(e.rows);
        for (int64_t row = 0; row < e.rows; ++row) {
          const int64_t at = row * outputs + block.begin;
          terms.push_back(terms_of<T, NV, FULL>(e, row, count + at, a + at, c + at, block.tail, common));
        }
        for (int64_t chunk = 0; chunk < lists.chunks; ++chunk)
          for (int64_t i = first; i < last; ++i) {
            const bool both = 2 * i + 1 < e.inputs;
            T* target[2] = {result + 2 * i * outputs + block.begin, result + (2 * i + both) * outputs + block.begin};
            typename S::V even[NV] = {}, odd[NV] = {};
            if (chunk > 0) FOR_VECTORS {
              even[v] = load_vector<T, NV, FULL>(target[0], v, real);
              odd[v] = load_vector<T, NV, FULL>(target[1], v, real);
            }
            lists.for_pair(chunk, i, [&](const Pair<T>& pair) __attribute__((always_inline)) {
              const Terms<T, NV>& t = terms[pair.row];
              FOR_VECTORS {
                even[v] = t.add_to(even[v], v, pair.z[0], pair.position[0]);
                odd[v] = t.add_to(odd[v], v, pair.z[1], pair.position[1]);
              }
            });
            if (chunk + 1 == lists.chunks) FOR_VECTORS {
              even[v] += common[v];
              odd[v] += common[v];
            }
            FOR_VECTORS {
              if (both) store_vector<T, NV, FULL>(target[1], v, real, odd[v]);
              store_vector<T, NV, FULL>(target[0], v, real, even[v]);
            }
          }
      });
    });
  }
  failure.rethrow();
}

// By groups of tied events: what one gives to a channel is the same for all of its channels.
template <class T>
void plasticity_by_group(const Events<T>& e, const Groups<T>& groups, const int32_t* count, const T* a, const T* c,
                         int64_t outputs, T* result, int threads) {
  using S = Simd<T>;
  const auto blocks = column_blocks<T>(outputs, kGroupVectors, threads);
  const GroupLists<T> lists(e, groups, count, outputs, kL2Bytes / (2 * kGroupVectors * sizeof(typename S::V)), threads);
  Failure failure;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t task = 0; task < int64_t(blocks.size()); ++task) failure.guard([&] {
    const Block block = blocks[task];
    specialise<T, kGroupVectors>(block, [&](auto nv, auto full) {
      constexpr int NV = nv();
      constexpr bool FULL = full();
      static thread_local std::vector<typename S::V> terms;  // kept, since fresh memory costs page faults
      const auto real = S::first(block.tail);
      typename S::V common[NV] = {};
      for (const auto& chunk : lists.chunks) {
        const int64_t before = groups.begin[chunk.first];
        terms.resize((groups.begin[chunk.last] - before) * NV);
        for (int64_t row = chunk.first; row < chunk.last; ++row) {
          const int64_t at = row * outputs + block.begin;
          prefetch<NV>(count + at + 12 * outputs);
          prefetch<NV>(a + at + 12 * outputs);
          prefetch<NV>(c + at + 12 * outputs);
          const auto t = terms_of<T, NV, FULL>(e, row, count + at, a + at, c + at, block.tail, common);
          const T* z = e.z + e.offsets[row];
          int32_t begin = 0;
          for (int64_t g = groups.begin[row]; g < groups.begin[row + 1]; begin = groups.end[g++]) {
            typename S::V* term = terms.data() + (g - before) * NV;
            FOR_VECTORS term[v] = t.add_to(typename S::V{}, v, z[begin], begin);
          }
        }
        for (int64_t i = 0; i < e.inputs; ++i) {
          T* target = result + i * outputs + block.begin;
          prefetch<NV, true>(target + 8 * outputs);
          typename S::V sum[NV] = {};
          if (chunk.first > 0) FOR_VECTORS sum[v] = load_vector<T, NV, FULL>(target, v, real);
          const int32_t* group = lists.group.data() + lists.begin(chunk, i);
          const int32_t* end = lists.group.data() + lists.begin(chunk, i + 1);
          for (; group < end; ++group)
            FOR_VECTORS sum[v] += terms[*group * NV + v];
          if (chunk.last == e.rows) FOR_VECTORS sum[v] += common[v];
          FOR_VECTORS store_vector<T, NV, FULL>(target, v, real, sum[v]);
        }
      }
    });
  });
  failure.rethrow();
}

template <class T>
void plasticity(const Events<T>& e, const int32_t* count, const T* a, const T* c, int64_t outputs, T* result,
                int threads) {
  const bool many = outputs >= kWideVectors * Simd<T>::width || e.inputs * VECTOR_BYTES > kL2Bytes;
  const int team = useful_threads(threads, (e.spikes() + e.inputs) * outputs);
  if (!many) return plasticity_by_row(e, count, a, c, outputs, result, team);
  const Groups<T> groups(e, team);
  if (groups.large()) plasticity_by_group(e, groups, count, a, c, outputs, result, team);
  else plasticity_by_channel(e, count, a, c, outputs, result, team);
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
