// What a built-in rule of ../../rules.py makes of the error.
#pragma once
#include <cmath>

#include "blocks.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

constexpr int kRuleVectors = 4;  // of a block of columns: two cache lines or more

// A built-in rule for a block of columns, at whose first all pointers begin; g is summed over the rows.
template <class T, Rule RULE, int NV, bool FULL>
void coefficients_block(const T* delta, const T* u, const T* drive, const T* delay, T min_drive, int64_t rows,
                        int64_t outputs, int tail, T* a, T* c, T* f, T* g) {
  using S = Simd<T>;
  using V = typename S::V;
  const auto real = S::first(tail);
  const V zero{}, one = S::fill(1), floor = S::fill(min_drive);
  V d[NV], gain[NV];
  double sum[NV * S::width] = {};
  FOR_VECTORS {
    d[v] = gain[v] = load_vector<T, NV, FULL>(delay, v, real);
    if (RULE != Rule::exact)
      for (int j = 0; j < S::width; ++j) gain[v][j] = std::exp(d[v][j]);
  }
  for (int64_t at = 0; at < rows * outputs; at += outputs) {
    const int64_t later = at + 8 * outputs;
    for (const T* x : {delta, u, drive}) prefetch<NV>(x + later);
    for (const T* x : {a, c, f})
      if (x) prefetch<NV, true>(x + later);
    FOR_VECTORS {
      const V time = load_vector<T, NV, FULL>(u + at, v, real), slope = load_vector<T, NV, FULL>(drive + at, v, real);
      const V sent = load_vector<T, NV, FULL>(delta + at, v, real);
      // silent neurons are taken out before any product; inf · 0 is NaN
      const auto fired = S::not_negative(time * d[v] * zero);
      const V raw = S::select(fired, sent, zero), crossing = S::select(fired, time, zero);
      const V D = RULE == Rule::shifting ? one : S::select(fired, slope < floor ? floor : slope, one);
      const V error = raw / D, term = error * gain[v], z = RULE == Rule::exact ? crossing : crossing * d[v];
      store_vector<T, NV, FULL>(a + at, v, real, term);
      store_vector<T, NV, FULL>(c + at, v, real, term * z);
      if (f) store_vector<T, NV, FULL>(f + at, v, real, RULE == Rule::exact ? term : error);
      const V product = (RULE == Rule::exact ? raw : error) * z;
      for (int j = 0; j < S::width; ++j) sum[v * S::width + j] += product[j];
    }
  }
  for (int j = 0; j < (NV - 1) * S::width + tail; ++j) g[j] = T(sum[j]);
}

template <class T, Rule RULE>
void coefficients_of(const T* delta, const T* u, const T* drive, const T* delay, T min_drive, int64_t rows,
                     int64_t outputs, T* a, T* c, T* f, T* g, int threads) {
  const auto blocks = column_blocks<T>(outputs, kRuleVectors);
#pragma omp parallel for schedule(static) num_threads(useful_threads(threads, rows * outputs))
  for (int64_t i = 0; i < int64_t(blocks.size()); ++i)
    specialise<T, kRuleVectors>(blocks[i], [&](auto nv, auto full) {
      const int64_t j = blocks[i].begin;
      coefficients_block<T, RULE, nv(), full()>(delta + j, u + j, drive + j, delay + j, min_drive, rows, outputs,
                                                blocks[i].tail, a + j, c + j, f ? f + j : nullptr, g + j);
    });
}

template <class T>
void coefficients(Rule rule, const T* delta, const T* u, const T* drive, const T* delay, T min_drive, int64_t rows,
                  int64_t outputs, T* a, T* c, T* f, T* g, int threads) {
  const auto run = rule == Rule::shifting     ? coefficients_of<T, Rule::shifting>
                   : rule == Rule::normalized ? coefficients_of<T, Rule::normalized>
                                              : coefficients_of<T, Rule::exact>;
  run(delta, u, drive, delay, min_drive, rows, outputs, a, c, f, g, threads);
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
