// Dense spike times to events, by a radix sort of their bit patterns: positive floats order as integers do.
#pragma once
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
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

constexpr int64_t kFew = 32, kSome = 2048, kMany = 8192;  // spikes
constexpr int kDigit = 10;                                // bits of a digit, at most

// Stable, ascending by key. False, with a part of the work done, if spikes would have to move more than `most` places.
template <class T>
bool insertion_sort(std::vector<Spike<T>>& spikes, int64_t n, int64_t most) {
  Bits<T> largest = n ? spikes[0].key : 0;
  for (int64_t i = 1; i < n; ++i) {
    if (spikes[i].key >= largest) {
      largest = spikes[i].key;
      continue;
    }
    const Spike<T> spike = spikes[i];
    int64_t at = i;
    for (; at > 0 && spikes[at - 1].key > spike.key; --at) spikes[at] = spikes[at - 1];
    spikes[at] = spike;
    if ((most -= i - at) < 0) return false;
  }
  return true;
}

// Stable, ascending by bits [low, high) of the key. The result ends up in `spikes`.
template <class T>
void radix_sort(std::vector<Spike<T>>& spikes, std::vector<Spike<T>>& spare, int64_t n, int low, int high) {
  const int passes = (high - low + kDigit - 1) / kDigit;
  const int digit = passes ? (high - low + passes - 1) / passes : 0;
  const Bits<T> mask = (Bits<T>(1) << digit) - 1;
  uint32_t place[1 << kDigit];  // where the next spike with a given digit goes
  for (; low < high; low += digit) {
    std::fill_n(place, mask + 1, 0);
    for (int64_t i = 0; i < n; ++i) ++place[(spikes[i].key >> low) & mask];
    uint32_t next = 0;
    for (Bits<T> d = 0; d <= mask; ++d) next += std::exchange(place[d], next);
    const Spike<T>* from = spikes.data();
    Spike<T>* to = spare.data();
    for (int64_t i = 0; i < n; ++i) to[place[(from[i].key >> low) & mask]++] = from[i];
    std::swap(spikes, spare);
  }
}

// Stable, ascending by key; keys lie in 0 … largest. The result ends up in `spikes`.
template <class T>
void sort_by_key(std::vector<Spike<T>>& spikes, std::vector<Spike<T>>& spare, int64_t n, Bits<T> largest) {
  if (n <= kFew) {  // counting would cost more than it saves
    insertion_sort<T>(spikes, n, n * n);
    return;
  }
  int bits = 0;
  while (bits < int(8 * sizeof(T)) && (largest >> bits) != 0) ++bits;
  // The upper bits tell almost all spikes of a row apart, unless they lie very close together.
  const int upper = n <= kSome ? 18 : n <= kMany ? 20 : bits, low = std::max(bits - upper, 0);
  radix_sort<T>(spikes, spare, n, low, bits);
  if (low > 0 && !insertion_sort<T>(spikes, n, 8 * n)) radix_sort<T>(spikes, spare, n, 0, bits);
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
  sort_by_key<T>(spikes, spare, n, latest - earliest);
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
  Failure failure;
  const int team = useful_threads(threads, rows * inputs);
#pragma omp parallel num_threads(team) reduction(min : invalid)
  {
    std::vector<Spike<T>> spikes, spare;
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) failure.guard([&] {
      const int64_t at = r * inputs;
      spikes.resize(inputs);
      spare.resize(inputs);
      if (!sort_row(dense + at, inputs, z + at, channel + at, rest + r, spikes, spare)) invalid = std::min(invalid, r);
    });
  }
  failure.rethrow();
  return invalid == rows ? -1 : invalid;
}

// ------------------------------------------------------------------------------------------- quantised values

constexpr int kLevels = 256;

// Calls f(i, n) for values i … i + n − 1 that are all equal and one by one for the others. An image's background goes
// eight at a time.
template <class F>
void for_runs(const uint8_t* level, int64_t inputs, F&& f) {
  int64_t i = 0;
  for (; i + 8 <= inputs; i += 8) {
    uint64_t word;
    std::memcpy(&word, level + i, sizeof word);
    if (word == level[i] * 0x0101010101010101u) f(i, 8);
    else
      for (int b = 0; b < 8; ++b) f(i + b, 1);
  }
  for (; i < inputs; ++i) f(i, 1);
}

// The inputs of a row that do not come at the latest time of all, in order; returns how many they are.
inline int32_t find_early(const uint8_t* level, int64_t inputs, const uint8_t* rank, int background, int32_t* found) {
  int32_t n = 0;
  for_runs(level, inputs, [&](int64_t i, int length) {
    if (length == 8 && rank[level[i]] == background) return;
    for (int64_t j = i; j < i + length; ++j) {
      found[n] = int32_t(j);
      n += rank[level[j]] != background;
    }
  });
  return n;
}

// Puts the n inputs found in order of rank, from place[rank] on, but for those of the last rank.
template <class T>
void put_in_order(const uint8_t* level, const int32_t* found, int32_t n, const uint8_t* rank, const T* times, int last,
                  int32_t* __restrict place, T* __restrict z, int32_t* __restrict channel) {
  for (int32_t i = 0; i < n; ++i) {
    const int k = rank[level[found[i]]];
    if (k == last) continue;
    const int32_t at = place[k]++;
    z[at] = times[k];
    channel[at] = found[i];
  }
}

// Sorts rows of values in 0 … 255 by counting, where value v spikes at of_level[v]. Rows take only the room that they
// need: offsets are written too. The last group of each row becomes rest, as in sort_spikes. Returns the number of
// spikes, or -1 if of_level holds NaN or a z <= 0.
template <class T>
int64_t sort_levels(const uint8_t* levels, const T* of_level, int64_t rows, int64_t inputs, T* z, int32_t* channel,
                    int64_t* offsets, T* rest, int threads) {
  if (!std::all_of(of_level, of_level + kLevels, [](T x) { return x > 0; })) return -1;
  std::vector<T> times(of_level, of_level + kLevels);
  std::sort(times.begin(), times.end());
  times.erase(std::unique(times.begin(), times.end()), times.end());
  uint8_t rank[kLevels];
  for (int v = 0; v < kLevels; ++v)
    rank[v] = uint8_t(std::lower_bound(times.begin(), times.end(), of_level[v]) - times.begin());
  const int ranks = int(times.size()), background = ranks - 1;
  std::vector<int32_t> counts(rows * ranks);
  const std::unique_ptr<int32_t[]> early(new int32_t[rows * inputs]);  // each row's inputs before the background
  std::vector<int32_t> earlier(rows);                                  // how many they are
  std::vector<int> last(rows, background);                             // rank of the row's latest spikes
  const int team = useful_threads(threads, rows * inputs);
#pragma omp parallel num_threads(team)
  {
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const uint8_t* level = levels + r * inputs;
      int32_t *found = early.get() + r * inputs, *count = counts.data() + r * ranks;
      const int32_t n = find_early(level, inputs, rank, background, found);
      for (int32_t k = 0; k < n; ++k) ++count[rank[level[found[k]]]];
      earlier[r] = n;
      if (n == inputs)
        while (last[r] > 0 && count[last[r]] == 0) --last[r];
      rest[r] = inputs ? times[last[r]] : std::numeric_limits<T>::infinity();
    }
#pragma omp single
    {
      offsets[0] = 0;
      for (int64_t r = 0; r < rows; ++r)
        offsets[r + 1] = offsets[r] + earlier[r] - (last[r] < background ? counts[r * ranks + last[r]] : 0);
    }
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      int32_t* place = counts.data() + r * ranks;  // from counts to where the next spike of a rank goes
      int32_t next = 0;
      for (int k = 0; k < ranks; ++k) next += std::exchange(place[k], next);
      put_in_order(levels + r * inputs, early.get() + r * inputs, earlier[r], rank, times.data(), last[r], place,
                   z + offsets[r], channel + offsets[r]);
    }
  }
  return offsets[rows];
}

}  // namespace
}  // namespace shiftlearn
