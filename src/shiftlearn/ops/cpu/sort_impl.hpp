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

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

template <class T>
Bits<T> bits_of(T value) {
  Bits<T> bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
template <class T>
T of_bits(Bits<T> bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// A spike as one number, which orders as spikes do: its key above the 32 bits of its channel.
__extension__ typedef unsigned __int128 Wide;
template <class T>
using Spike = std::conditional_t<sizeof(T) == 4, uint64_t, Wide>;

template <class T>
Bits<T> key_of(Spike<T> spike) { return Bits<T>(spike >> 32); }

constexpr int64_t kInsertionSortMax = 32, kNineBitsMax = 2048, kTwoDigitsMax = 8192;  // spikes
constexpr int kDigit = 10;                                // bits of a digit

// Ascending. False, with a part of the work done, if spikes would have to move more than `most` places.
template <class T>
bool insertion_sort(Spike<T>* spikes, int64_t n, int64_t most) {
  Spike<T> largest = n ? spikes[0] : 0;
  for (int64_t i = 1; i < n; ++i) {
    const Spike<T> spike = spikes[i];
    if (spike >= largest) {
      largest = spike;
      continue;
    }
    int64_t at = i;
    for (; at > 0 && spikes[at - 1] > spike; --at) spikes[at] = spikes[at - 1];
    spikes[at] = spike;
    if ((most -= i - at) < 0) return false;
  }
  return true;
}

// Stable, ascending by the keys, which have that many bits. The result ends up in `spikes`.
template <class T>
void radix_sort(std::vector<Spike<T>>& spikes, std::vector<Spike<T>>& spare, int64_t n, int bits) {
  constexpr Bits<T> mask = (1 << kDigit) - 1;
  uint32_t place[1 << kDigit];  // where the next spike with a given digit goes
  for (int low = 0; low < bits; low += kDigit) {
    std::fill_n(place, mask + 1, 0);
    for (int64_t i = 0; i < n; ++i) ++place[(key_of<T>(spikes[i]) >> low) & mask];
    uint32_t next = 0;
    for (uint32_t& x : place) next += std::exchange(x, next);
    const Spike<T>* from = spikes.data();
    Spike<T>* to = spare.data();
    for (int64_t i = 0; i < n; ++i) to[place[(key_of<T>(from[i]) >> low) & mask]++] = from[i];
    std::swap(spikes, spare);
  }
}

// Values, of which those before `until` are spikes: from `earliest` to `latest`. Their keys count from `earliest`.
template <class T>
struct Dense {
  const T* values;
  int64_t size;
  Bits<T> earliest, latest, until;

  // Calls f with every spike, in the order of channels.
  template <class F>
  void for_spikes(F&& f) const {
    for (int64_t i = 0; i < size; ++i) {
      const Bits<T> key = bits_of(values[i]);
      if (key < until) f(Spike<T>(key - earliest) << 32 | Spike<T>(i));
    }
  }
  // The time of a spike.
  T time(Spike<T> spike) const { return of_bits<T>(key_of<T>(spike) + earliest); }
};

// Writes the spikes in order of their keys' bits from `low` on, which are two digits; returns their number.
template <int DIGIT, class T>
int64_t take_by_two_digits(const Dense<T>& dense, int low, Spike<T>* spikes, Spike<T>* spare) {
  constexpr Bits<T> mask = (1 << DIGIT) - 1;
  uint32_t lower[1 << DIGIT] = {}, upper[1 << DIGIT] = {};  // both counted in one reading; then where the next one goes
  dense.for_spikes([&](Spike<T> spike) {
    ++lower[(key_of<T>(spike) >> low) & mask];
    ++upper[key_of<T>(spike) >> low >> DIGIT];
  });
  uint32_t n = 0, m = 0;
  for (Bits<T> d = 0; d <= mask; ++d) {
    n += std::exchange(lower[d], n);
    m += std::exchange(upper[d], m);
  }
  dense.for_spikes([&](Spike<T> spike) { spare[lower[(key_of<T>(spike) >> low) & mask]++] = spike; });
  for (uint32_t i = 0; i < n; ++i) spikes[upper[key_of<T>(spare[i]) >> low >> DIGIT]++] = spare[i];
  return n;
}

// Writes the spikes in order; returns their number. There is room for all values.
template <class T>
int64_t sort_dense(const Dense<T>& dense, std::vector<Spike<T>>& spikes, std::vector<Spike<T>>& spare) {
  const Bits<T> range = dense.latest > dense.earliest ? dense.latest - dense.earliest : 0;
  int bits = 0;
  while (bits < int(8 * sizeof(T)) && (range >> bits) != 0) ++bits;
  int64_t n = 0;
  const auto take = [&] {
    n = 0;
    dense.for_spikes([&](Spike<T> spike) { spikes[n++] = spike; });
  };
  if (dense.size <= kInsertionSortMax) {  // counting would cost more than it saves
    take();
    insertion_sort<T>(spikes.data(), n, n * n);
    return n;
  }
  if (dense.size <= kTwoDigitsMax) {  // the upper bits tell almost all spikes apart, unless they lie very close together
    n = dense.size <= kNineBitsMax ? take_by_two_digits<9>(dense, std::max(bits - 18, 0), spikes.data(), spare.data())
                            : take_by_two_digits<10>(dense, std::max(bits - 20, 0), spikes.data(), spare.data());
    if (insertion_sort<T>(spikes.data(), n, 8 * n)) return n;
  }
  take();
  radix_sort<T>(spikes, spare, n, bits);
  return n;
}

// Of values: the bits of the earliest, of the latest, and of the latest that ever comes (0: none does).
template <class T>
struct Range {
  Bits<T> earliest, latest, last;

  // False if there is NaN or a z <= 0 among them.
  bool find(const T* values, int64_t inputs) {
    using I = std::make_signed_t<Bits<T>>;  // a z <= 0 lies below all, and NaN there or above inf
    const auto never = I(bits_of(std::numeric_limits<T>::infinity()));
    I least = std::numeric_limits<I>::max(), most = 0, finite = 0;
    for (int64_t i = 0; i < inputs; ++i) {
      const auto key = I(bits_of(values[i]));
      least = std::min(least, key);
      most = std::max(most, key);
      finite = std::max(finite, key < never ? key : 0);
    }
    earliest = Bits<T>(least);
    latest = Bits<T>(most);
    last = Bits<T>(finite);
    return least > 0 && most <= never;
  }
};

template <class T>
bool sort_row(const T* values, int64_t inputs, T* z, int32_t* channel, T* rest, std::vector<Spike<T>>& spikes,
              std::vector<Spike<T>>& spare) {
  Range<T> range;
  if (!range.find(values, inputs)) return false;
  // the last group, or the silent ones, become rest
  const Dense<T> dense = {values, inputs, range.earliest, range.last, range.latest};
  const int64_t n = sort_dense(dense, spikes, spare);
  for (int64_t i = 0; i < n; ++i) {
    z[i] = dense.time(spikes[i]);
    channel[i] = int32_t(spikes[i]);
  }
  std::fill(z + n, z + inputs, std::numeric_limits<T>::infinity());
  std::fill(channel + n, channel + inputs, 0);
  *rest = inputs ? of_bits<T>(range.latest) : std::numeric_limits<T>::infinity();
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
inline int64_t find_early(const uint8_t* level, int64_t inputs, const uint8_t* rank, int background, int32_t* found) {
  int64_t n = 0;
  for_runs(level, inputs, [&](int64_t i, int length) {
    if (length == 8 && rank[level[i]] == background) return;
    for (int64_t j = i; j < i + length; ++j) {
      found[n] = int32_t(j);
      n += rank[level[j]] != background;
    }
  });
  return n;
}

// Puts the inputs found in order of rank, from place[rank] on, but for those of the last rank.
template <class T>
void put_in_order(const uint8_t* level, const int32_t* found, const int32_t* end, const uint8_t* rank, const T* times,
                  int last, int32_t* __restrict place, T* __restrict z, int32_t* __restrict channel) {
  for (; found < end; ++found) {
    const int k = rank[level[*found]];
    if (k == last) continue;
    const int32_t at = place[k]++;
    z[at] = times[k];
    channel[at] = *found;
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
  const std::unique_ptr<int32_t[]> early(new int32_t[rows * inputs]);  // the rows' inputs before the background
  std::vector<const int32_t*> begin(rows), end(rows);                  // where each row's are
  std::vector<int> last(rows, background);                             // rank of the row's latest spikes
  const int team = useful_threads(threads, rows * inputs);
#pragma omp parallel num_threads(team)
  {
    int32_t* next = nullptr;  // a thread's rows follow one another, and so do their inputs: there is room
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const uint8_t* level = levels + r * inputs;
      int32_t *found = next ? next : early.get() + r * inputs, *count = counts.data() + r * ranks;
      next = found + find_early(level, inputs, rank, background, found);
      for (const int32_t* i = found; i < next; ++i) ++count[rank[level[*i]]];
      begin[r] = found, end[r] = next;
      if (next - found == inputs)
        while (last[r] > 0 && count[last[r]] == 0) --last[r];
      rest[r] = inputs ? times[last[r]] : std::numeric_limits<T>::infinity();
    }
#pragma omp single
    {
      offsets[0] = 0;
      for (int64_t r = 0; r < rows; ++r)
        offsets[r + 1] = offsets[r] + (end[r] - begin[r]) - (last[r] < background ? counts[r * ranks + last[r]] : 0);
    }
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      int32_t* place = counts.data() + r * ranks;  // from counts to where the next spike of a rank goes
      int32_t next = 0;
      for (int k = 0; k < ranks; ++k) next += std::exchange(place[k], next);
      put_in_order(levels + r * inputs, begin[r], end[r], rank, times.data(), last[r], place, z + offsets[r],
                   channel + offsets[r]);
    }
  }
  return offsets[rows];
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
