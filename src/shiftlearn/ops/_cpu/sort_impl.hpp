// Dense spike times to events, by a radix sort of their bit patterns: positive floats order as integers do.
#pragma once
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels.hpp"

namespace shiftlearn {
namespace {

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

template <class T>
struct Spike { Bits<T> key; int32_t channel; };

// Stable, ascending by key; keys lie in 0 … largest. The result ends up in `spikes`.
template <class T>
void radix_sort(std::vector<Spike<T>>& spikes, std::vector<Spike<T>>& spare, int64_t n, Bits<T> largest) {
  int bits = 0;
  while (bits < int(8 * sizeof(T)) && (largest >> bits) != 0) ++bits;
  const int passes = (bits + 8) / 9;
  const int digit = passes ? (bits + passes - 1) / passes : 0;
  const Bits<T> mask = (Bits<T>(1) << digit) - 1;
  uint32_t start[8][513];  // of each pass: where the spikes with a given digit go
  std::memset(start, 0, passes * sizeof start[0]);
  for (int64_t i = 0; i < n; ++i)
    for (int pass = 0; pass < passes; ++pass) ++start[pass][((spikes[i].key >> (pass * digit)) & mask) + 1];
  for (int pass = 0; pass < passes; ++pass) {
    uint32_t* place = start[pass];
    for (Bits<T> d = 0; d < mask; ++d) place[d + 1] += place[d];
    for (int64_t i = 0; i < n; ++i) spare[place[(spikes[i].key >> (pass * digit)) & mask]++] = spikes[i];
    std::swap(spikes, spare);
  }
}

template <class T>
bool sort_row(const T* dense, int64_t inputs, T* z, int32_t* channel, T* rest, std::vector<Spike<T>>& spikes,
              std::vector<Spike<T>>& spare) {
  Bits<T> latest = 0, earliest = std::numeric_limits<Bits<T>>::max();
  bool valid = true;
  for (int64_t i = 0; i < inputs; ++i) {
    Bits<T> key;
    std::memcpy(&key, dense + i, sizeof key);
    valid &= dense[i] > 0;  // false for NaN too
    latest = std::max(latest, key);
    earliest = std::min(earliest, key);
  }
  if (!valid) return false;
  int64_t n = 0;
  for (int64_t i = 0; i < inputs; ++i) {
    Bits<T> key;
    std::memcpy(&key, dense + i, sizeof key);
    spikes[n] = {Bits<T>(key - earliest), int32_t(i)};
    n += key < latest;  // the tied group of last spikes, or the silent ones, become rest
  }
  radix_sort<T>(spikes, spare, n, latest - earliest);
  for (int64_t i = 0; i < n; ++i) {
    const Bits<T> key = spikes[i].key + earliest;
    std::memcpy(z + i, &key, sizeof key);
    channel[i] = spikes[i].channel;
  }
  std::fill(z + n, z + inputs, std::numeric_limits<T>::infinity());
  std::fill(channel + n, channel + inputs, 0);
  if (inputs) std::memcpy(rest, &latest, sizeof latest);
  else *rest = std::numeric_limits<T>::infinity();
  return true;
}

// Sorts dense rows; returns the first row that holds NaN or a z <= 0, or -1.
template <class T>
int64_t sort_spikes(const T* dense, int64_t rows, int64_t inputs, T* z, int32_t* channel, T* rest, int threads) {
  int64_t invalid = rows;
  const int team = useful_threads(threads, rows * inputs);
#pragma omp parallel num_threads(team) reduction(min : invalid)
  {
    std::vector<Spike<T>> spikes(inputs), spare(inputs);
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = r * inputs;
      if (!sort_row(dense + at, inputs, z + at, channel + at, rest + r, spikes, spare)) invalid = std::min(invalid, r);
    }
  }
  return invalid == rows ? -1 : invalid;
}

}  // namespace
}  // namespace shiftlearn
