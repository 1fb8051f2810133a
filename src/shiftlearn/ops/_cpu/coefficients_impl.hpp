// What a built-in rule of ../../rules.py makes of the error.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels.hpp"

namespace shiftlearn {
namespace {

constexpr int64_t kColumns = 64;  // of a task

// A built-in rule of rules.py for columns [begin, begin + columns); g is summed over the rows.
template <class T, Rule RULE>
void coefficients_block(const T* __restrict delta, const T* __restrict u, const T* __restrict drive,
                        const T* __restrict delay, T min_drive, int64_t rows, int64_t outputs, int64_t begin,
                        int64_t columns, T* __restrict a, T* __restrict c, T* __restrict f, T* __restrict g) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  T gain[kColumns];
  double sum[kColumns] = {};
  for (int64_t j = 0; j < columns; ++j) gain[j] = RULE == Rule::exact ? delay[begin + j] : std::exp(delay[begin + j]);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = row * outputs + begin;
    for (int64_t j = 0; j < columns; ++j) {
      const T d = delay[begin + j];
      const bool fired = u[at + j] * d < inf;  // silent neurons are taken out before any product
      const T sent = delta[at + j], slope = drive[at + j], time = u[at + j];  // loaded in any case: no branches
      const T raw = fired ? sent : T(0), crossing = fired ? time : T(0), floored = slope < min_drive ? min_drive : slope;
      const T D = RULE != Rule::shifting && fired ? floored : T(1);
      const T error = raw / D, term = error * gain[j];
      const T z = RULE == Rule::exact ? crossing : crossing * d;
      a[at + j] = term;
      c[at + j] = term * z;
      f[at + j] = RULE == Rule::exact ? term : error;
      sum[j] += (RULE == Rule::exact ? raw : error) * z;
    }
  }
  for (int64_t j = 0; j < columns; ++j) g[begin + j] = T(sum[j]);
}

template <class T>
void coefficients(Rule rule, const T* delta, const T* u, const T* drive, const T* delay, T min_drive, int64_t rows,
                  int64_t outputs, T* a, T* c, T* f, T* g, int threads) {
  const auto block = rule == Rule::shifting     ? coefficients_block<T, Rule::shifting>
                     : rule == Rule::normalized ? coefficients_block<T, Rule::normalized>
                                                : coefficients_block<T, Rule::exact>;
  const int team = useful_threads(threads, rows * outputs);
#pragma omp parallel for schedule(static) num_threads(team)
  for (int64_t begin = 0; begin < outputs; begin += kColumns)
    block(delta, u, drive, delay, min_drive, rows, outputs, begin, std::min(kColumns, outputs - begin), a, c, f, g);
}

}  // namespace
}  // namespace shiftlearn
