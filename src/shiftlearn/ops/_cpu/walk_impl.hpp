// First spikes: a row's events are walked in time order until every neuron of a block has fired.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "blocks.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace shiftlearn {
namespace {

template <class T>
struct Spikes { T* u; int32_t* count; T* drive; T* z; };

// Where the walk of one vector of neurons has come to; the names are those of walk_row.
template <class T>
struct Progress {
  typename Simd<T>::V total, excess;
  typename Simd<T>::M count;
  typename Simd<T>::K waiting;
  T last;
  int64_t k;
};

constexpr int kTogether = 8;  // rows

// Walks rows for one vector of neurons, side by side: alone, each would wait for its last operation. Ends where a row
// ends, or soon after all have fired.
template <class T, bool FULL>
void walk_together(const Events<T>& e, int64_t row, const T* shift, int64_t ld, int tail, Progress<T>* rows) {
  constexpr int NV = kTogether;
  using S = Simd<T>;
  const auto real = S::first(tail);
  typename S::V total[NV], excess[NV];
  typename S::M count[NV];
  typename S::K waiting[NV];
  T last[NV];
  const T* z[NV];
  const int32_t* channel[NV];
  int64_t listed = e.inputs;
  FOR_VECTORS {
    total[v] = S::fill(-1);
    excess[v] = typename S::V{};
    count[v] = typename S::M{};
    waiting[v] = real;
    last[v] = 0;
    z[v] = e.z + e.offsets[row + v];
    channel[v] = e.channel + e.offsets[row + v];
    listed = std::min(listed, e.listed(row + v));
  }
  const auto all_fired = [&]() __attribute__((always_inline)) {
    auto any = waiting[0];
    FOR_VECTORS any = any | waiting[v];
    return !S::any(any);
  };
  int64_t k = 0;
  for (; k < listed && (k % 4 || !all_fired()); ++k) {
    FOR_VECTORS {
      const auto next = excess[v] + total[v] * (z[v][k] - last[v]);
      last[v] = z[v][k];
      waiting[v] = S::without(waiting[v], next);
      excess[v] = S::select(waiting[v], next, excess[v]);
      total[v] = S::add(waiting[v], total[v], load_vector<T, 1, FULL>(shift + channel[v][k] * ld, 0, real));
      count[v] = S::increment(waiting[v], count[v]);
    }
  }
  FOR_VECTORS rows[v] = {total[v], excess[v], count[v], waiting[v], last[v], k};
}

// With `from`, which is of one vector, the walk goes on from there.
template <class T, int NV, bool FULL>
void walk_row(const Events<T>& e, int64_t row, const T* shift, int64_t ld, int tail, const T* sums, const T* delay,
              std::vector<T>& times, const Progress<T>* from, Spikes<T> out) {
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
  if (from) {
    FOR_VECTORS {
      total[v] = from->total;
      excess[v] = from->excess;
      count[v] = from->count;
      waiting[v] = from->waiting;
    }
    last = from->last;
    k = from->k;
  } else {
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
  }
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
        Progress<T> progress[kTogether];
        for (int64_t row = begin; row < end; ++row) {
          const int64_t at = row * outputs + block.begin, within = row % kTogether;
          const bool together = nv() == 1 && row - within + kTogether <= end;
          if (together && within == 0)
            walk_together<T, full()>(e, row, shift + block.begin, outputs, block.tail, progress);
          walk_row<T, nv(), full()>(e, row, shift + block.begin, outputs, block.tail, sums.data() + block.begin,
                                    delay ? delay + block.begin : nullptr, times, together ? progress + within : nullptr,
                                    {u + at, count + at, drive + at, delay ? z + at : nullptr});
        }
      });
    }
  }
  failure.rethrow();
}

}  // namespace
}  // namespace shiftlearn
