// First spikes: a row's events are walked in time order until every neuron of a block has fired.
#pragma once
#include <algorithm>
#include <limits>
#include <vector>

#include "blocks.hpp"
#include "groups.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

// What is written of neurons: z where there are delays, the others where they are wanted (null: not).
template <class T>
struct Spikes {
  T* u;
  int32_t* count;
  T* drive;
  T* z;

  Spikes from(int64_t neuron) const {
    return {u ? u + neuron : u, count ? count + neuron : count, drive ? drive + neuron : drive, z ? z + neuron : z};
  }
};

// With GROUPED, `group` has the row's groups.
template <class T, int NV, bool FULL, bool GROUPED>
void walk_row(const Events<T>& e, int64_t row, const T* shift, int64_t ld, int tail, const T* sums, const T* delay,
              std::vector<T>& times, const int32_t* group, Spikes<T> out) {
  using S = Simd<T>;
  using V = typename S::V;
  using M = typename S::M;
  using K = typename S::K;
  using I = typename S::I;
  constexpr T inf = std::numeric_limits<T>::infinity();
  const auto real = S::first(tail);
  // With S = Σ w − θ and N = Σ w z of the inputs so far, the potential exceeds threshold by excess / z, where
  // excess = S z − N, below 0 until the neuron fires. Between inputs it drifts by S dz; an input adds to S and leaves it
  // as it is, so that tied inputs (pixels of one grey) need no drift between them. A neuron that has fired takes part no
  // more, so that its S and excess stay those of its causal set.
  V total[NV], excess[NV];
  M count[NV];
  K waiting[NV];
  FOR_VECTORS {
    total[v] = S::fill(-1);  // θ = 1
    excess[v] = V{};
    count[v] = M{};
    waiting[v] = v + 1 < NV ? S::first(S::width) : real;
  }
  const int32_t* channel = e.channel + e.offsets[row];
  const int64_t listed = e.listed(row);
  const bool has_rest = e.has_rest(row, listed);
  const T rest = e.rest[row];
  times.resize(listed + 4);  // times[k]: when the k-th input came, so that what follows needs no branches
  times[0] = 0;
  std::copy_n(e.z + e.offsets[row], listed, times.begin() + 1);
  times[listed + 1] = has_rest ? rest : inf;
  times[listed + 2] = times[listed + 3] = inf;
  const T* z = times.data() + 1;
  const bool far = is_far<T>(e.inputs, ld);
  const auto all_fired = [&]() __attribute__((always_inline)) {
    K any = waiting[0];
    FOR_VECTORS any = any | waiting[v];
    return !S::any(any);
  };
  T last = 0;
  int64_t k = 0;
  // Calls f with the weights of the k-th input and of those tied with it, or, without groups, if at least three more are.
  // (Ends of shorter runs would be foreseen too seldom.)
  const auto for_tied = [&](auto&& f) __attribute__((always_inline)) {
    const auto next = [&]() __attribute__((always_inline)) {
      if (far && k + kAhead < listed) prefetch<NV>(shift + channel[k + kAhead] * ld);
      f(shift + channel[k++] * ld);
    };
    if (GROUPED) {
      for (const int64_t end = *group++; k < end;) next();
      return;
    }
    next();
    if (z[k + 2] == last)
      while (k < listed && z[k] == last) next();  // those at rest may be tied, too
  };
  // Until the first of the block fires: no masks.
  while (k < listed) {
    const T dz = z[k] - last;
    V next[NV], most = S::fill(-inf);
    FOR_VECTORS {
      next[v] = excess[v] + total[v] * dz;
      most = next[v] > most ? next[v] : most;  // NaN (an overflow) does not count
    }
    if (S::any(S::not_negative(most))) break;
    last = z[k];
    FOR_VECTORS excess[v] = next[v];
    for_tied([&](const T* w) __attribute__((always_inline)) {
      FOR_VECTORS total[v] += load_vector<T, NV, FULL>(w, v, real);
    });
  }
  FOR_VECTORS count[v] = M{} + I(k);
  // From then on few branches, which would seldom be foreseen. Without free masks, all go on in `potential` and `sum`,
  // and `excess` and `total` keep what they were when a neuron fired.
  V potential[NV], sum[NV];
  FOR_VECTORS {
    potential[v] = excess[v];
    sum[v] = total[v];
  }
  for (int turn = 0; k < listed && (turn % 4 || !all_fired()); ++turn) {
    const T dz = z[k] - last;
    FOR_VECTORS {
      potential[v] = S::free_masks ? excess[v] + total[v] * dz : potential[v] + sum[v] * dz;
      waiting[v] = S::without(waiting[v], potential[v]);
      excess[v] = S::select(waiting[v], potential[v], excess[v]);
    }
    last = z[k];
    for_tied([&](const T* w) __attribute__((always_inline)) {
      FOR_VECTORS {
        const V more = load_vector<T, NV, FULL>(w, v, real);
        if (S::free_masks) total[v] = S::add(waiting[v], total[v], more);
        else sum[v] += more;
      }
    });
    FOR_VECTORS {
      if (!S::free_masks) total[v] = S::select(waiting[v], sum[v], total[v]);
      count[v] = S::select(waiting[v], M{} + I(k), count[v]);
    }
  }
  if (has_rest && !all_fired()) {
    FOR_VECTORS {
      const V next = excess[v] + total[v] * (rest - last);
      waiting[v] = S::without(waiting[v], next);
      excess[v] = S::select(waiting[v], next, excess[v]);
      total[v] = S::select(waiting[v], load_vector<T, NV, FULL>(sums, v, real) - S::fill(1), total[v]);
      count[v] = S::increment(waiting[v], count[v]);
    }
  }
  // With no input to come, whoever has positive drive fires; the others stay silent.

  FOR_VECTORS {
    const V from = S::gather(times.data(), count[v]), until = S::gather(times.data(), count[v], 1);
    V u = (total[v] * from - excess[v]) / total[v];
    u = u < until ? u : until;  // rounding must not move the crossing across an input
    u = u > from ? u : from;
    const auto fired = S::positive(total[v]) & S::positive(inf - u);  // a quotient that overflows is silence
    u = S::select(fired, u, S::fill(inf));
    if (delay) store_vector<T, NV, FULL>(out.z, v, real, u * load_vector<T, NV, FULL>(delay, v, real));
    if (!out.u) continue;
    store_vector<T, NV, FULL>(out.u, v, real, u);
    store_vector<T, NV, FULL>(out.drive, v, real, S::keep(fired, total[v]));
    S::store_count(out.count + v * S::width, S::select(fired, count[v], M{}), FULL || v + 1 < NV ? S::width : tail);
  }
}

// Rows begin … end − 1 of a chunk. Meanwhile the weights of the next block, if there is one, are prefetched.
template <class T, int NV, bool FULL>
void walk_rows(const Events<T>& e, const Groups<T>& groups, int64_t begin, int64_t end, const T* weight, int64_t ld,
               int tail, const T* sums, const T* delay, std::vector<T>& times, int64_t outputs, const T* next,
               Spikes<T> out) {
  int64_t fetched = 0;
  for (int64_t row = begin; row < end; ++row) {
    for (const int64_t until = (row + 1 - begin) * e.inputs / (end - begin); next && fetched < until; ++fetched)
      prefetch<NV>(next + fetched * outputs);
    const Spikes<T> to = out.from(row * outputs);
    if (to.u) {
      prefetch<NV, true>(to.u);
      prefetch<NV, true>(to.count);
      prefetch<NV, true>(to.drive);
    }
    if (to.z) prefetch<NV, true>(to.z);
    if (groups.large()) {
      const int32_t* group = groups.end.data() + groups.begin[row];
      walk_row<T, NV, FULL, true>(e, row, weight, ld, tail, sums, delay, times, group, to);
    } else if constexpr (NV <= kWalkVectors) {
      walk_row<T, NV, FULL, false>(e, row, weight, ld, tail, sums, delay, times, nullptr, to);
    }
  }
}

// The sum of each of a block's columns, in double precision.
template <class T>
void column_sums(const T* shift, int64_t inputs, int64_t ld, const Block& block, T* sums) {
  double total[kGroupWalkVectors * Simd<T>::width] = {};
  const int64_t columns = block.columns<T>();
  for (int64_t i = 0; i < inputs; ++i)
    for (int64_t j = 0; j < columns; ++j) total[j] += shift[i * ld + j];
  for (int64_t j = 0; j < columns; ++j) sums[j] = T(total[j]);
}

template <class T>
void first_spike(const Events<T>& e, const T* shift, const T* delay, int64_t outputs, T* u, int32_t* count, T* drive, T* z,
                 int threads) {
  using S = Simd<T>;
  const Groups<T> groups(e, threads);
  const auto blocks = column_blocks<T>(outputs, groups.large() ? kGroupWalkVectors : kWalkVectors);
  bool rest = false;
  int64_t longest = 0;
  for (int64_t r = 0; r < e.rows; ++r) {
    rest |= e.rest[r] < std::numeric_limits<T>::infinity();
    longest = std::max(longest, e.offsets[r + 1] - e.offsets[r]);
  }
  const int team = useful_threads(threads, (e.spikes() + (rest ? e.inputs : 0)) * outputs);
  const bool packed = is_worth_packing(e, blocks);
  const int64_t count_blocks = blocks.size();
  const int64_t chunks = team == 1 || count_blocks == 0 ? 1 : (4 * team + count_blocks - 1) / count_blocks;
  const int64_t chunk = (e.rows + chunks - 1) / chunks;
  Failure failure;
#pragma omp parallel for schedule(static, 1) num_threads(team)
  for (int64_t task = 0; task < count_blocks * chunks; ++task) failure.guard([&] {
    static thread_local std::vector<typename S::V> strip;  // kept, since fresh memory costs page faults
    static thread_local std::vector<T> times;
    const Block block = blocks[task / chunks];
    const int64_t begin = task % chunks * chunk, end = std::min(begin + chunk, e.rows);
    if (begin >= end) return;
    times.reserve(longest + 4);
    const int64_t next = (task + team) / chunks;  // block of this thread's next task
    const T* weight = shift + block.begin;
    int64_t ld = outputs;
    if (packed) {
      weight = pack<T, kGroupWalkVectors>(weight, e.inputs, ld, block, strip);
      ld = block.vectors * S::width;
    }
    T sums[kGroupWalkVectors * S::width] = {};
    if (rest) column_sums(weight, e.inputs, ld, block, sums);
    specialise<T, kGroupWalkVectors>(block, [&](auto nv, auto full) {
      walk_rows<T, nv(), full()>(
          e, groups, begin, end, weight, ld, block.tail, sums, delay ? delay + block.begin : nullptr, times, outputs,
          packed && next < count_blocks ? shift + blocks[next].begin : nullptr,
          Spikes<T>{u, count, drive, delay ? z : nullptr}.from(block.begin));
    });
  });
  failure.rethrow();
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
