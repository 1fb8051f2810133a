// Layers of few outputs, from dense spike times. Their spikes are put in order only as far as it matters: roughly, by
// counting, and one by one where some output may fire. What an output waited for is what came no later than a moment that
// is kept, so that the way back needs no order at all.
#pragma once
#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "blocks.hpp"
#include "kernels.hpp"
#include "simd.hpp"
#include "sort_impl.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

constexpr int kNarrowVectors = 3;  // of outputs, at most
constexpr int kSlots = 512, kParts = 2;
constexpr int64_t kBulk = 8;  // spikes, at least, that are taken together where no output can fire

// A row's spikes by slots of time: in order from slot to slot, and in a slot by input. The last group, or the silent ones,
// come after all.
template <class T>
struct Slots {
  const T* z;                             // of each input
  std::vector<int32_t> spike, of_input;   // inputs by slot, and the slot of each
  int32_t end[kSlots + 1];                // of each slot, and of the last group
  Range<T> range;
  int low;  // bits of a key that slots do not tell apart

  // False if the row holds NaN or a z <= 0.
  bool fill(const T* values, int64_t inputs) {
    if (!range.find(values, inputs)) return false;
    constexpr int coarse = 8 * sizeof(T) - 24;  // bits of a key that do not matter to a mean
    uint64_t sum = 0, n = 0;                    // of the keys of all but the last group
    for (int64_t i = 0; i < inputs; ++i) {
      const Bits<T> key = bits_of(values[i]);
      sum += key < range.latest ? (key - range.earliest) >> coarse : 0;
      n += key < range.latest;
    }
    // Slots reach as far beyond the mean as that is from the earliest; the last one takes what comes even later.
    const uint64_t span = n ? 2 * sum / n : 0;
    low = 0;
    while (span << coarse >> low >= kSlots) ++low;
    z = values;
    spike.resize(inputs);
    of_input.resize(inputs);
    int32_t* slot = of_input.data();
    for (int64_t i = 0; i < inputs; i += 16) __builtin_prefetch(spike.data() + i, 1);  // the weights have driven it out
    for (int64_t i = 0; i < inputs; ++i) {
      const Bits<T> key = bits_of(values[i]);
      const auto k = (key - range.earliest) >> low;
      slot[i] = key == range.latest ? kSlots : int32_t(std::min<Bits<T>>(k, kSlots - 1));
    }
    // Each part of the row counts for itself, or additions to one number would wait for each other.
    const int64_t part = inputs / kParts, left = inputs % kParts;
    const auto for_inputs = [&](auto&& f) __attribute__((always_inline)) {
      for (int64_t i = 0; i < part; ++i)
#pragma GCC unroll 8
        for (int p = 0; p < kParts; ++p) f(p, p * part + i);
      for (int64_t i = inputs - left; i < inputs; ++i) f(kParts - 1, i);
    };
    int32_t next[kParts][kSlots + 1] = {};
    for_inputs([&](int p, int64_t i) { ++next[p][slot[i]]; });
    int32_t from = 0;
    for (int k = 0; k <= kSlots; ++k) {
      int32_t sum = 0;
#pragma GCC unroll 8
      for (int p = 0; p < kParts; ++p) sum += std::exchange(next[p][k], from + sum);
      end[k] = from += sum;
    }
    for_inputs([&](int p, int64_t i) { spike[next[p][slot[i]]++] = int32_t(i); });
    return true;
  }
  int64_t listed() const { return end[kSlots - 1]; }
  // The last moment of a slot that comes before the last group.
  T last_of(int slot) const {
    const Bits<T> end = slot == kSlots - 1 ? range.last + 1 : range.earliest + (Bits<T>(slot + 1) << low);
    return of_bits<T>(std::min(end, range.latest) - 1);
  }
  // Puts spikes in order of time, and of inputs.
  void put_in_order(int64_t from, int64_t until) {
    int32_t* x = spike.data();
    if (until - from > kInsertionSortMax) {
      std::sort(x + from, x + until, [&](int32_t a, int32_t b) { return z[a] < z[b] || (z[a] == z[b] && a < b); });
      return;
    }
    for (int64_t i = from + 1; i < until; ++i) {
      const int32_t next = x[i];
      int64_t at = i;
      for (; at > from && z[x[at - 1]] > z[next]; --at) x[at] = x[at - 1];
      x[at] = next;
    }
  }
};

// What is written of neurons: z always, the others where they are wanted (null: not). `until`: what came no later is what
// the neuron waited for.
template <class T>
struct NarrowSpikes {
  T *u, *drive, *until, *z;
};

// Weights of NV vectors a row, the sum of each column, and the largest weight of each or 0.
template <class T, int NV>
struct NarrowWeights {
  std::vector<typename Simd<T>::V> row;
  typename Simd<T>::V sum[NV], largest[NV];

  NarrowWeights(const T* shift, int64_t inputs, int64_t outputs) : row(inputs * NV) {
    double total[NV * Simd<T>::width] = {};
    const auto real = Simd<T>::first(int(outputs - (NV - 1) * Simd<T>::width));
    FOR_VECTORS largest[v] = typename Simd<T>::V{};
    for (int64_t i = 0; i < inputs; ++i) {
      FOR_VECTORS {
        const auto w = load_vector<T, NV, false>(shift + i * outputs, v, real);
        row[i * NV + v] = w;
        largest[v] = w > largest[v] ? w : largest[v];
      }
      for (int64_t j = 0; j < outputs; ++j) total[j] += shift[i * outputs + j];
    }
    FOR_VECTORS for (int j = 0; j < Simd<T>::width; ++j) sum[v][j] = T(total[v * Simd<T>::width + j]);
  }
};

template <class T, int NV>
void walk_slots(Slots<T>& slots, int64_t inputs, const NarrowWeights<T, NV>& weights, const T* delay, int64_t outputs,
                NarrowSpikes<T> out) {
  using S = Simd<T>;
  using V = typename S::V;
  using K = typename S::K;
  constexpr T inf = std::numeric_limits<T>::infinity();
  const auto real = S::first(int(outputs - (NV - 1) * S::width));
  const int64_t listed = slots.listed();
  const T rest = inputs ? of_bits<T>(slots.range.latest) : inf;
  // As in walk_row, total and excess are those at the time `now`, or, of neurons that have fired, at the time `at`. Both are
  // times of inputs, so that sums which can be exact are.
  T now = listed ? of_bits<T>(slots.range.earliest) : 0;
  V total[NV], excess[NV], at[NV], until[NV], next_input[NV];
  K waiting[NV];
  FOR_VECTORS {
    total[v] = S::fill(-1);
    excess[v] = S::fill(-now);
    at[v] = until[v] = S::fill(now);
    next_input[v] = S::fill(inf);
    waiting[v] = v + 1 < NV ? S::first(S::width) : real;
  }
  const auto all_fired = [&]() __attribute__((always_inline)) {
    K any = waiting[0];
    FOR_VECTORS any = any | waiting[v];
    return !S::any(any);
  };
  // An input comes at `time`: who fires before waits no more.
  const auto pass = [&](T time) __attribute__((always_inline)) {
    FOR_VECTORS {
      const V potential = excess[v] + total[v] * (time - now);
      next_input[v] = S::select(waiting[v], S::fill(time), next_input[v]);
      waiting[v] = S::without(waiting[v], potential);
      excess[v] = S::select(waiting[v], potential, excess[v]);
      at[v] = S::select(waiting[v], S::fill(time), at[v]);
      until[v] = S::select(waiting[v], S::fill(time), until[v]);
    }
    now = time;
  };
  for (int64_t k = 0, end; k < listed && !all_fired(); k = end) {
    const int slot = slots.of_input[slots.spike[std::min(k + kBulk, listed) - 1]];
    end = slots.end[slot];
    const T limit = slots.last_of(slot);
    K might{};  // fire before that
    FOR_VECTORS {
      const V rising = (total[v] > 0 ? total[v] : V{}) + weights.largest[v] * T(end - k);
      might = might | (waiting[v] & S::not_negative(excess[v] + rising * (limit - now)));
    }
    if (!S::any(might)) {
      const T time = slots.z[slots.spike[end - 1]];
      V more[NV] = {}, moved[NV] = {};
      for (; k < end; ++k) {
        const int64_t input = slots.spike[k];
        const V* w = weights.row.data() + input * NV;
        FOR_VECTORS {
          more[v] += w[v];
          moved[v] += w[v] * (time - slots.z[input]);
        }
      }
      FOR_VECTORS {
        excess[v] = S::select(waiting[v], excess[v] + total[v] * (time - now) + moved[v], excess[v]);
        total[v] = S::add(waiting[v], total[v], more[v]);
        at[v] = S::select(waiting[v], S::fill(time), at[v]);
        until[v] = S::select(waiting[v], S::fill(limit), until[v]);
      }
      now = time;
    } else {
      slots.put_in_order(k, end);
      for (; k < end; ++k) {
        const int64_t input = slots.spike[k];
        const V* w = weights.row.data() + input * NV;
        if (slots.z[input] != now) pass(slots.z[input]);
        FOR_VECTORS total[v] = S::add(waiting[v], total[v], w[v]);
      }
    }
  }
  if (rest < inf && !all_fired()) {
    pass(rest);
    FOR_VECTORS total[v] = S::select(waiting[v], weights.sum[v] - S::fill(1), total[v]);
  }
  FOR_VECTORS {
    V u = (total[v] * at[v] - excess[v]) / total[v];
    next_input[v] = S::select(waiting[v], S::fill(inf), next_input[v]);
    u = u < next_input[v] ? u : next_input[v];  // rounding must not move the crossing across an input
    u = u > until[v] ? u : until[v];
    const auto fired = S::positive(total[v]) & S::positive(inf - u);  // a quotient that overflows is silence
    u = S::select(fired, u, S::fill(inf));
    store_vector<T, NV, false>(out.z, v, real, u * load_vector<T, NV, false>(delay, v, real));
    if (!out.u) continue;
    store_vector<T, NV, false>(out.u, v, real, u);
    store_vector<T, NV, false>(out.drive, v, real, S::keep(fired, total[v]));
    store_vector<T, NV, false>(out.until, v, real, S::keep(fired, until[v]));
  }
}

// Calls f with the number of vectors of the outputs, a compile-time constant.
template <class T, class F>
void for_narrow(int64_t outputs, F&& f) {
  const Block all{0, int((outputs + Simd<T>::width - 1) / Simd<T>::width), 1};
  specialise<T, kNarrowVectors>(all, [&](auto nv, auto) { f(nv); });
}

// Returns the first row that holds NaN or a z <= 0, or -1.
template <class T>
int64_t narrow_first_spike(const T* dense, int64_t rows, int64_t inputs, const T* shift, const T* delay, int64_t outputs, T* u,
                   T* drive, T* until, T* z, int threads) {
  int64_t invalid = rows;
  if (outputs > 0) for_narrow<T>(outputs, [&](auto nv) {
    Failure failure;
    const NarrowWeights<T, nv()> weights(shift, inputs, outputs);
#pragma omp parallel num_threads(useful_threads(threads, rows * inputs * outputs)) reduction(min : invalid)
    {
      Slots<T> slots;
#pragma omp for schedule(static)
      for (int64_t r = 0; r < rows; ++r) failure.guard([&] {
        const int64_t at = r * outputs;
        if (!slots.fill(dense + r * inputs, inputs)) invalid = std::min(invalid, r);
        else
          walk_slots<T, nv()>(slots, inputs, weights, delay, outputs,
                              {u ? u + at : u, u ? drive + at : u, u ? until + at : u, z + at});
      });
    }
    failure.rethrow();
  });
  return invalid == rows ? -1 : invalid;
}

constexpr int kOutputsAtOnce = 5, kInputsAtOnce = 2;  // outputs, and vectors of inputs: their sums stay in registers

// What a row does to the weights of an output.
template <class T>
struct NarrowTerm {
  T until, a, c, f;
};

// Adjustments of the weights, and what goes back through `weight`; 0 where not wanted.
template <class T>
void narrow_gradients(const T* dense, int64_t rows, int64_t inputs, const T* until, const T* a, const T* c, const T* f,
                     const T* weight, int64_t outputs, T* to_input, T* to_shift, int threads) {
  using S = Simd<T>;
  using V = typename S::V;
  constexpr int NJ = kOutputsAtOnce, NV = kInputsAtOnce;
  constexpr int64_t step = NV * S::width;
  const int64_t turns = (outputs + NJ - 1) / NJ;
  std::vector<NarrowTerm<T>> terms(turns * rows * NJ);  // beyond the outputs nothing was waited for
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < outputs; ++j) {
      const int64_t at = r * outputs + j;
      terms[(j / NJ * rows + r) * NJ + j % NJ] = {until[at], a[at], c[at], to_input ? f[at] : 0};
    }
#pragma omp parallel for schedule(static) num_threads(useful_threads(threads, rows * inputs * outputs))
  for (int64_t first = 0; first < inputs; first += step) {
    const int64_t here = std::min(inputs - first, step);
    for (int64_t turn = 0; turn < turns; ++turn) {
      const int64_t beyond = std::min<int64_t>(outputs - turn * NJ, NJ);
      T w[NJ][step] = {};
      for (int64_t j = 0; j < beyond; ++j)
        for (int64_t i = 0; i < here; ++i) w[j][i] = weight[(first + i) * outputs + turn * NJ + j];
      V sum[NJ][NV] = {};
      const NarrowTerm<T>* term = terms.data() + turn * rows * NJ;
      const auto rows_of = [&](auto&& load, auto&& store) __attribute__((always_inline)) {
        for (int64_t r = 0; r < rows; ++r) {
          V z[NV], sent[NV];
          FOR_VECTORS {
            z[v] = load(dense + r * inputs + first, v);
            sent[v] = turn > 0 && to_input ? load(to_input + r * inputs + first, v) : V{};
          }
#pragma GCC unroll 8
          for (int j = 0; j < NJ; ++j, ++term) {
            FOR_VECTORS {
              const auto cause = S::at_most(z[v], term->until);
              sum[j][v] = S::add(cause, sum[j][v], z[v] * term->a - term->c);
              sent[v] += S::load(w[j] + v * S::width) * S::keep(cause, S::fill(term->f));
            }
          }
          if (to_input) FOR_VECTORS store(to_input + r * inputs + first, v, sent[v]);
        }
      };
      if (here == step) {
        rows_of([](const T* p, int v) __attribute__((always_inline)) { return S::load(p + v * S::width); },
                [](T* p, int v, V x) __attribute__((always_inline)) { S::store(p + v * S::width, x); });
      } else {
        typename S::K real[NV];
        FOR_VECTORS real[v] = S::first(int(std::clamp<int64_t>(here - v * S::width, 0, S::width)));
        rows_of([&](const T* p, int v) { return S::load(p + v * S::width, real[v]); },
                [&](T* p, int v, V x) { S::store(p + v * S::width, x, real[v]); });
      }
      if (to_shift)
        for (int64_t j = 0; j < beyond; ++j)
          for (int64_t i = 0; i < here; ++i)
            to_shift[(first + i) * outputs + turn * NJ + j] = sum[j][i / S::width][i % S::width];
    }
  }
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
