// The kernels, compiled once per instruction set. Columns (output neurons) are cut into blocks whose running sums
// stay in registers; a row's events are walked in time order until every neuron of the block has fired.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check_impl.hpp"
#include "coefficients_impl.hpp"
#include "kernels.hpp"
#include "loss_impl.hpp"
#include "simd.hpp"
#include "sort_impl.hpp"

namespace shiftlearn {
namespace {

// Vectors of a block of columns, at most: what the registers hold of a walk's or an adjustment's state.
constexpr int kWalkVectors = VECTOR_BYTES == 64 ? 5 : 3;
constexpr int kAdjustVectors = VECTOR_BYTES == 64 ? 4 : 3;

// Columns [begin, begin + width), as `vectors` vectors of which the last holds `tail` real lanes.
struct Block { int64_t begin; int vectors; int tail; };

// As few as there can be, of `most` vectors at most each, but the same number to every thread.
template <class T>
std::vector<Block> column_blocks(int64_t outputs, int64_t most, int threads = 1) {
  constexpr int64_t width = Simd<T>::width;
  const int64_t vectors = (outputs + width - 1) / width;
  const int64_t least = (vectors + most - 1) / most;
  const int64_t blocks = least < threads ? least : std::min(vectors, (least + threads - 1) / threads * threads);
  std::vector<Block> result;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t first = b * vectors / blocks, next = (b + 1) * vectors / blocks;
    const int64_t tail = std::min(width, outputs - (next - 1) * width);
    result.push_back({first * width, int(next - first), int(tail)});
  }
  return result;
}

// Calls f with the block's number of vectors as a compile-time constant, and whether the last one is full.
template <class T, class F>
void specialise(const Block& block, F&& f) {
  const auto with = [&](auto vectors) {
    if (block.tail == Simd<T>::width) f(vectors, std::true_type{});
    else f(vectors, std::false_type{});
  };
  switch (block.vectors) {
    case 1: with(std::integral_constant<int, 1>{}); break;
    case 2: with(std::integral_constant<int, 2>{}); break;
    case 3: with(std::integral_constant<int, 3>{}); break;
#if VECTOR_BYTES == 64
    case 4: with(std::integral_constant<int, 4>{}); break;
    case 5: with(std::integral_constant<int, 5>{}); break;
#endif
  }
}

// Vector v of NV at p; only the last can be partial. `real` is the set of its real lanes.
template <class T, int NV, bool FULL>
inline typename Simd<T>::V load_vector(const T* p, int v, typename Simd<T>::K real) {
  using S = Simd<T>;
  return FULL || v + 1 < NV ? S::load(p + v * S::width) : S::load(p + v * S::width, real);
}
template <class T, int NV, bool FULL>
inline void store_vector(T* p, int v, typename Simd<T>::K real, typename Simd<T>::V x) {
  using S = Simd<T>;
  if (FULL || v + 1 < NV) S::store(p + v * S::width, x);
  else S::store(p + v * S::width, x, real);
}

// Loops over the NV vectors of a block are unrolled early, or the compiler keeps the vectors in memory.
#define FOR_VECTORS _Pragma("GCC unroll 8") for (int v = 0; v < NV; ++v)

// ---------------------------------------------------------------------------------------------- first spike

// Weights beyond the caches, each row of which lies on a page of its own, are asked for some events ahead.
constexpr int64_t kFar = 8 << 20, kAhead = 8;  // bytes of weights; events

template <class T>
bool is_far(const Events<T>& e, int64_t ld) { return e.inputs * ld * int64_t(sizeof(T)) > kFar; }

template <int NV, class T>
inline void ask_ahead(const T* weight, int64_t ld, const int32_t* channel, int64_t k, int64_t listed) {
  if (k + kAhead >= listed) return;
  const T* w = weight + channel[k + kAhead] * ld;
  FOR_VECTORS __builtin_prefetch(w + v * Simd<T>::width);
}

template <class T>
struct Spikes { T* u; int32_t* count; T* drive; T* z; };

template <class T, int NV, bool FULL>
void walk_row(const Events<T>& e, int64_t row, const T* shift, int64_t ld, int tail, const T* sums, const T* delay,
              std::vector<T>& times, Spikes<T> out) {
  using S = Simd<T>;
  using V = typename S::V;
  using M = typename S::M;
  using K = typename S::K;
  using I = typename S::I;
  constexpr T inf = std::numeric_limits<T>::infinity();
  const auto real = S::first(tail);
  // With S = Σ w − θ and N = Σ w z of the inputs so far, the potential exceeds threshold by excess / z, where
  // excess = S z − N, below 0 until the neuron fires. Between inputs it drifts by S dz; an input adds to S and leaves it
  // as it is. A neuron that has fired takes part no more, so that its S and excess stay those of its causal set.
  V total[NV], excess[NV];
  M count[NV];
  K waiting[NV];
  FOR_VECTORS {
    total[v] = S::fill(-1);  // θ = 1
    excess[v] = V{};
    count[v] = M{};
    waiting[v] = v + 1 < NV ? S::first(S::width) : real;
  }
  const T* z = e.z + e.offsets[row];
  const int32_t* channel = e.channel + e.offsets[row];
  const int64_t listed = e.listed(row);
  const bool has_rest = e.has_rest(row, listed);
  const T rest = e.rest[row];
  const bool far = is_far(e, ld);

  // Lets dz pass: those that reach threshold fire. Tied inputs join the causal set together, as nobody fires at dz = 0.
  const auto drift = [&](T dz) __attribute__((always_inline)) {
    FOR_VECTORS {
      const V next = excess[v] + total[v] * dz;
      waiting[v] = S::without(waiting[v], next);
      excess[v] = S::select(waiting[v], next, excess[v]);
    }
  };
  const auto all_fired = [&]() __attribute__((always_inline)) {
    K any = waiting[0];
    FOR_VECTORS any = any | waiting[v];
    return !S::any(any);
  };

  T last = 0;
  int64_t k = 0;
  // Until the first of the block fires: no masks.
  for (; k < listed; ++k) {
    const T dz = z[k] - last;
    V next[NV], most = S::fill(-inf);
    FOR_VECTORS {
      next[v] = excess[v] + total[v] * dz;
      most = next[v] > most ? next[v] : most;  // NaN (an overflow) does not count
    }
    if (S::any(S::not_negative(most))) break;
    if (far) ask_ahead<NV>(shift, ld, channel, k, listed);
    last = z[k];
    const T* w = shift + channel[k] * ld;
    FOR_VECTORS {
      excess[v] = next[v];
      total[v] += load_vector<T, NV, FULL>(w, v, real);
    }
  }
  FOR_VECTORS count[v] = M{} + I(k);
  // From then on: no branches, which would seldom be foreseen.
  for (; k < listed && (k % 4 || !all_fired()); ++k) {
    if (far) ask_ahead<NV>(shift, ld, channel, k, listed);
    drift(z[k] - last);
    last = z[k];
    const T* w = shift + channel[k] * ld;
    FOR_VECTORS {
      total[v] = S::add(waiting[v], total[v], load_vector<T, NV, FULL>(w, v, real));
      count[v] = S::increment(waiting[v], count[v]);
    }
  }
  if (has_rest && !all_fired()) {
    drift(rest - last);
    FOR_VECTORS {
      total[v] = S::select(waiting[v], load_vector<T, NV, FULL>(sums, v, real) - S::fill(1), total[v]);
      count[v] = S::increment(waiting[v], count[v]);
    }
  }
  // With no input to come, whoever has positive drive fires; the others stay silent.

  times.assign(listed + 3, inf);  // times[k]: when the k-th input came, so that what follows needs no branches
  times[0] = 0;
  std::copy_n(z, listed, times.begin() + 1);
  if (has_rest) times[listed + 1] = rest;
  FOR_VECTORS {
    const V from = S::gather(times.data(), count[v]), until = S::gather(times.data(), count[v], 1);
    V u = (total[v] * from - excess[v]) / total[v];
    u = u < until ? u : until;  // rounding must not move the crossing across an input
    u = u > from ? u : from;
    const auto fired = S::positive(total[v]) & S::positive(inf - u);  // a quotient that overflows is silence
    u = S::select(fired, u, S::fill(inf));
    store_vector<T, NV, FULL>(out.u, v, real, u);
    if (delay) store_vector<T, NV, FULL>(out.z, v, real, u * load_vector<T, NV, FULL>(delay, v, real));
    store_vector<T, NV, FULL>(out.drive, v, real, S::keep(fired, total[v]));
    S::store_count(out.count + v * S::width, S::select(fired, count[v], M{}), FULL || v + 1 < NV ? S::width : tail);
  }
}

template <class T>
void column_sums(const T* shift, int64_t inputs, int64_t ld, int columns, T* sums) {
  std::vector<double> total(columns, 0.0);
  for (int64_t i = 0; i < inputs; ++i)
    for (int j = 0; j < columns; ++j) total[j] += shift[i * ld + j];
  for (int j = 0; j < columns; ++j) sums[j] = T(total[j]);
}

template <class T>
void first_spike(const Events<T>& e, const T* shift, const T* delay, int64_t outputs, T* u, int32_t* count, T* drive, T* z,
                 int threads) {
  const auto blocks = column_blocks<T>(outputs, kWalkVectors);
  bool rest = false;
  int64_t longest = 0;
  for (int64_t r = 0; r < e.rows; ++r) {
    rest |= e.rest[r] < std::numeric_limits<T>::infinity();
    longest = std::max(longest, e.offsets[r + 1] - e.offsets[r]);
  }
  std::vector<T> sums(rest ? outputs : 0);
  const int64_t chunk = 32, chunks = (e.rows + chunk - 1) / chunk;
  Failure failure;
  const int team = useful_threads(threads, (e.offsets[e.rows] + (rest ? e.inputs : 0)) * outputs);
#pragma omp parallel num_threads(team)
  {
#pragma omp for schedule(static)
    for (int64_t b = 0; b < int64_t(rest ? blocks.size() : 0); ++b) failure.guard([&] {
      const Block block = blocks[b];
      column_sums(shift + block.begin, e.inputs, outputs, (block.vectors - 1) * Simd<T>::width + block.tail,
                  sums.data() + block.begin);
    });
    std::vector<T> times;  // gets its memory here: a guard around the walk would make it slow
    failure.guard([&] { times.reserve(longest + 3); });
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < int64_t(blocks.size()) * chunks; ++task) {
      if (times.capacity() == 0) continue;
      const Block block = blocks[task / chunks];
      const int64_t begin = task % chunks * chunk, end = std::min(begin + chunk, e.rows);
      specialise<T>(block, [&](auto nv, auto full) {
        for (int64_t row = begin; row < end; ++row) {
          const int64_t at = row * outputs + block.begin;
          walk_row<T, nv(), full()>(e, row, shift + block.begin, outputs, block.tail, sums.data() + block.begin,
                                    delay ? delay + block.begin : nullptr, times,
                                    {u + at, count + at, drive + at, delay ? z + at : nullptr});
        }
      });
    }
  }
  failure.rethrow();
}

// ----------------------------------------------------------------------------------------------- plasticity

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
  if (t.most > listed) {
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

// ------------------------------------------------------------------------------------------------- feedback

// What row `row` sends back through one block of columns, added to `result` (inputs).
template <class T, int NV, bool FULL>
void send_row(const Events<T>& e, int64_t row, const int32_t* count, const T* f, const T* weight, int64_t ld, int tail,
              std::vector<char>& unlisted, T* result) {
  using S = Simd<T>;
  using I = typename S::I;
  const auto real = S::first(tail);
  typename S::V fv[NV];
  typename S::M cause[NV];
  I most = 0;
  FOR_VECTORS {
    const int lanes = v + 1 == NV ? tail : S::width;
    fv[v] = load_vector<T, NV, FULL>(f, v, real);
    cause[v] = S::load_count(count + v * S::width, lanes);
    for (int i = 0; i < lanes; ++i) most = std::max<I>(most, count[v * S::width + i]);
  }
  const auto sent = [&](int64_t input, I k) {
    typename S::V sum{};
    FOR_VECTORS
      sum += S::keep(S::greater(cause[v], k), fv[v]) * load_vector<T, NV, FULL>(weight + input * ld, v, real);
    return S::sum(sum);
  };
  const I listed = I(e.listed(row));
  const int32_t* channel = e.channel + e.offsets[row];
  if (most > listed) {  // some neuron waited for rest; no channel repeats in such a row
    unlisted.assign(e.inputs, 1);
    for (I k = 0; k < listed; ++k) unlisted[channel[k]] = 0;
    for (int64_t i = 0; i < e.inputs; ++i)
      if (unlisted[i]) result[i] += sent(i, listed);
  }
  const bool far = is_far(e, ld);
  for (I k = 0, end = std::min(most, listed); k < end; ++k) {
    if (far) ask_ahead<NV>(weight, ld, channel, k, end);
    result[channel[k]] += sent(channel[k], k);
  }
}

template <class T>
void feedback(const Events<T>& e, const int32_t* count, const T* f, const T* weight, int64_t outputs, T* result,
              int threads) {
  const auto blocks = column_blocks<T>(outputs, kAdjustVectors);
  // Each chunk of rows reads all weights: as large as leaves every thread some.
  const int64_t chunk = std::max<int64_t>(8, e.rows / (4 * threads)), chunks = (e.rows + chunk - 1) / chunk;
  Failure failure;
  const int team = useful_threads(threads, e.offsets[e.rows] * outputs);
#pragma omp parallel num_threads(team)
  {
    std::vector<char> unlisted;
    failure.guard([&] { unlisted.reserve(e.inputs + 1); });
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < chunks; ++task) {
      if (unlisted.capacity() == 0) continue;
      const int64_t begin = task * chunk, end = std::min(begin + chunk, e.rows);
      std::fill_n(result + begin * e.inputs, (end - begin) * e.inputs, T(0));
      for (const Block& block : blocks)
        specialise<T>(block, [&](auto nv, auto full) {
          for (int64_t row = begin; row < end; ++row) {
            const int64_t at = row * outputs + block.begin;
            send_row<T, nv(), full()>(e, row, count + at, f + at, weight + block.begin, outputs, block.tail, unlisted,
                                      result + row * e.inputs);
          }
        });
    }
  }
  failure.rethrow();
}

template <class T>
Kernels<T> kernels() {
  return {well_formed<T>, sort_spikes<T>,  sort_levels<T>,  first_spike<T>,
          plasticity<T>,  feedback<T>,     coefficients<T>, cross_entropy<T>};
}

}  // namespace
}  // namespace shiftlearn
