// Inputs that come at one time, as pixels of one grey do: `mnist-quick` (four levels) takes 26 % less of a step with groups.
// Without them: a group is that many events with one time, one after the other, as in ../reference.py.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "blocks.hpp"
#include "kernels.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

// The groups of tied events of all rows, if they are so large that it pays to go group by group.
template <class T>
struct Groups {
  static constexpr int64_t kLargeGroup = 4;  // events of a group, on the average
  std::vector<int64_t> begin;           // of each row's groups, and the end; empty if they are smaller
  std::vector<int32_t> end;             // of each group: positions in the row

  Groups(const Events<T>& e, int threads) {
    std::vector<int64_t> before(e.rows + 1);
    int64_t groups = 0, all = 0;
    for (int64_t r = 0; r < e.rows; ++r) {
      const T* z = e.z + e.offsets[r];
      const int64_t listed = e.listed(r);
      int32_t changes = 0;  // of the width of a float: so the loop becomes vectors
      for (int64_t k = 1; k < listed; ++k) changes += z[k] != z[k - 1];
      before[r] = groups;
      groups += changes + (listed > 0);
      all += listed;
      if (kLargeGroup * groups > e.spikes()) return;  // there cannot be enough
    }
    if (groups == 0 || kLargeGroup * groups > all) return;
    before[e.rows] = groups;
    begin = std::move(before);
    end.resize(groups);
#pragma omp parallel for schedule(static) num_threads(useful_threads(threads, 4 * all))
    for (int64_t r = 0; r < e.rows; ++r) {
      int32_t* next = end.data() + begin[r];
      const T* z = e.z + e.offsets[r];
      const int64_t listed = e.listed(r);
      for (int64_t k = 1; k <= listed; ++k)
        if (k == listed || z[k] != z[k - 1]) *next++ = int32_t(k);
    }
  }
  bool large() const { return !begin.empty(); }
};

// Every channel's groups, row by row, in chunks of rows that have no more than `most` groups (or are one row).
template <class T>
struct GroupLists {
  struct Chunk { int64_t first, last, at; };  // rows; where its channels' beginnings are
  std::vector<Chunk> chunks;
  std::vector<int64_t> beginnings;  // of (chunk, channel), channel fastest, and each chunk's end
  std::vector<int32_t> group;       // counted from the chunk's first

  int64_t begin(const Chunk& chunk, int64_t channel) const { return beginnings[chunk.at + channel]; }

  // Groups that no neuron waited for are left out. Counts are (rows, outputs). Each thread has rows of its own, whose groups
  // follow one another as they would on one thread.
  GroupLists(const Events<T>& e, const Groups<T>& groups, const int32_t* count, int64_t outputs, int64_t most, int threads)
      : group(e.spikes()) {
    std::vector<int64_t> waited(e.rows), next(threads * e.inputs);  // next: of (thread, channel), where its next group goes
    int64_t placed = 0;
    for (int64_t first = 0, last; first < e.rows; first = last) {
      for (last = first + 1; last < e.rows && groups.begin[last + 1] - groups.begin[first] <= most;) ++last;
      const int64_t at = beginnings.size();
      chunks.push_back({first, last, at});
      beginnings.resize(at + e.inputs + 1);
      std::fill(next.begin(), next.end(), 0);
      const auto begin_of = [&](int thread) { return first + thread * (last - first) / threads; };
      const auto for_events = [&](int thread, auto&& f) {
        for (int64_t row = begin_of(thread); row < begin_of(thread + 1); ++row) {
          const int32_t* channel = e.channel + e.offsets[row];
          int64_t k = 0;
          for (int64_t g = groups.begin[row]; k < waited[row]; ++g)
            for (const int64_t end = groups.end[g]; k < end; ++k) f(channel[k], int32_t(g - groups.begin[first]));
        }
      };
#pragma omp parallel num_threads(threads)
      {
#pragma omp for schedule(static)
        for (int t = 0; t < threads; ++t) {
          for (int64_t row = begin_of(t); row < begin_of(t + 1); ++row)
            waited[row] = std::min<int64_t>(largest_count(count + row * outputs, outputs), e.listed(row));
          for_events(t, [&](int32_t channel, int32_t) { ++next[t * e.inputs + channel]; });
        }
#pragma omp single
        {
          for (int64_t i = 0; i < e.inputs; ++i) {
            beginnings[at + i] = placed;
            for (int t = 0; t < threads; ++t) placed += std::exchange(next[t * e.inputs + i], placed);
          }
          beginnings[at + e.inputs] = placed;
        }
#pragma omp for schedule(static)
        for (int t = 0; t < threads; ++t)
          for_events(t, [&](int32_t channel, int32_t g) { group[next[t * e.inputs + channel]++] = g; });
      }
    }
  }
};

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
