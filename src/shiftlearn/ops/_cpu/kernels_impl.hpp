// The kernels, compiled once per instruction set. Columns (output neurons) are cut into blocks whose running sums
// stay in registers; a row's events are walked in time order until every neuron of the block has fired.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

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
    I k[S::width];
    T earliest[S::width], latest[S::width];
    std::memcpy(k, &count[v], sizeof k);
    for (int i = 0; i < S::width; ++i) {
      earliest[i] = times[k[i]];
      latest[i] = times[k[i] + 1];
    }
    const V from = S::load(earliest), until = S::load(latest);
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
  for (int64_t r = 0; r < e.rows; ++r) rest |= e.rest[r] < std::numeric_limits<T>::infinity();
  std::vector<T> sums(rest ? outputs : 0);
  const int64_t chunk = 32, chunks = (e.rows + chunk - 1) / chunk;
  const int team = useful_threads(threads, (e.offsets[e.rows] + (rest ? e.inputs : 0)) * outputs);
#pragma omp parallel num_threads(team)
  {
#pragma omp for schedule(static)
    for (int64_t b = 0; b < int64_t(rest ? blocks.size() : 0); ++b) {
      const Block block = blocks[b];
      column_sums(shift + block.begin, e.inputs, outputs, (block.vectors - 1) * Simd<T>::width + block.tail,
                  sums.data() + block.begin);
    }
    std::vector<T> times;
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < int64_t(blocks.size()) * chunks; ++task) {
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
}

// ----------------------------------------------------------------------------------------------- plasticity

// Adds one row's adjustments to the block `sum` (inputs × NV vectors), except what every channel gets at rest: that
// goes to `common`.
template <class T, int NV, bool FULL>
void adjust_row(const Events<T>& e, int64_t row, const int32_t* count, const T* a, const T* c, int tail, T* sum,
                typename Simd<T>::V* common) {
  using S = Simd<T>;
  using I = typename S::I;
  const auto real = S::first(tail);
  typename S::V av[NV], cv[NV];
  typename S::M cause[NV];
  I most = 0;
  FOR_VECTORS {
    const int lanes = v + 1 == NV ? tail : S::width;
    av[v] = load_vector<T, NV, FULL>(a, v, real);
    cv[v] = load_vector<T, NV, FULL>(c, v, real);
    cause[v] = S::load_count(count + v * S::width, lanes);
    for (int i = 0; i < lanes; ++i) most = std::max<I>(most, count[v * S::width + i]);
  }
  const I listed = I(e.listed(row));
  if (most > listed) {
    // The listed channels get a·z − c; `common` gives every channel a·rest − c, so their own share is a·(z − rest).
    const auto rest = S::fill(e.rest[row]);
    FOR_VECTORS {
      common[v] += S::keep(S::greater(cause[v], listed), av[v] * rest - cv[v]);
      cv[v] = S::select(S::greater(cause[v], listed), av[v] * rest, cv[v]);
    }
  }
  const T* z = e.z + e.offsets[row];
  const int32_t* channel = e.channel + e.offsets[row];
  for (I k = 0, end = std::min(most, listed); k < end; ++k) {
    const T now = z[k];
    T* w = sum + channel[k] * int64_t(NV * S::width);
    FOR_VECTORS {
      const auto term = S::keep(S::greater(cause[v], k), av[v] * now - cv[v]);
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
  const int team = useful_threads(threads, (e.offsets[e.rows] + e.inputs) * outputs);
#pragma omp parallel num_threads(team)
  {
    // of one block: small enough for the core's own cache; kept, since fresh memory costs page faults
    static thread_local std::vector<T> sum;
#pragma omp for schedule(static)
    for (int64_t task = 0; task < int64_t(blocks.size()) * parts; ++task) {
      const Block block = blocks[task / parts];
      const int64_t part = task % parts;
      T* target = (part ? partial.data() + (part - 1) * size : result) + block.begin;
      specialise<T>(block, [&](auto nv, auto full) {
        constexpr int NV = nv(), ld = NV * S::width;
        typename S::V common[NV] = {};
        sum.assign(e.inputs * ld, T(0));
        for (int64_t row = part * e.rows / parts; row < (part + 1) * e.rows / parts; ++row) {
          const int64_t at = row * outputs + block.begin;
          adjust_row<T, NV, full()>(e, row, count + at, a + at, c + at, block.tail, sum.data(), common);
        }
        for (int64_t i = 0; i < e.inputs; ++i)
          FOR_VECTORS store_vector<T, NV, full()>(target + i * outputs, v, S::first(block.tail),
                                                  S::load(&sum[i * ld + v * S::width]) + common[v]);
      });
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (parts > 1 ? e.inputs : 0); ++i)
      for (int64_t part = 0; part < parts - 1; ++part)
        for (int64_t j = 0; j < outputs; ++j) result[i * outputs + j] += partial[part * size + i * outputs + j];
  }
}

// ------------------------------------------------------------------------------------------------- feedback

// What row `row` sends back through one block of columns, added to `result` (inputs).
template <class T, int NV, bool FULL>
void send_row(const Events<T>& e, int64_t row, const int32_t* count, const T* f, const T* weight, int64_t ld, int tail,
              T* result) {
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
    std::vector<char> unlisted(e.inputs, 1);
    for (I k = 0; k < listed; ++k) unlisted[channel[k]] = 0;
    for (int64_t i = 0; i < e.inputs; ++i)
      if (unlisted[i]) result[i] += sent(i, listed);
  }
  for (I k = 0, end = std::min(most, listed); k < end; ++k) result[channel[k]] += sent(channel[k], k);
}

template <class T>
void feedback(const Events<T>& e, const int32_t* count, const T* f, const T* weight, int64_t outputs, T* result,
              int threads) {
  const auto blocks = column_blocks<T>(outputs, kAdjustVectors);
  const int64_t chunk = 8, chunks = (e.rows + chunk - 1) / chunk;
  const int team = useful_threads(threads, e.offsets[e.rows] * outputs);
#pragma omp parallel for schedule(dynamic) num_threads(team)
  for (int64_t task = 0; task < chunks; ++task) {
    const int64_t begin = task * chunk, end = std::min(begin + chunk, e.rows);
    std::fill_n(result + begin * e.inputs, (end - begin) * e.inputs, T(0));
    for (const Block& block : blocks)
      specialise<T>(block, [&](auto nv, auto full) {
        for (int64_t row = begin; row < end; ++row) {
          const int64_t at = row * outputs + block.begin;
          send_row<T, nv(), full()>(e, row, count + at, f + at, weight + block.begin, outputs, block.tail,
                            result + row * e.inputs);
        }
      });
  }
}

template <class T>
Kernels<T> kernels() {
  return {sort_spikes<T>, sort_levels<T>, first_spike<T>, plasticity<T>, feedback<T>, coefficients<T>, cross_entropy<T>};
}

}  // namespace
}  // namespace shiftlearn
