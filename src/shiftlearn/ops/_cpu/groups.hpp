// Inputs that come at one time, as pixels of one grey do.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "blocks.hpp"
#include "kernels.hpp"

namespace shiftlearn {
namespace {

// The groups of tied events of all rows, if they are so large that it pays to go group by group.
template <class T>
struct Groups {
  static constexpr int64_t kLarge = 4;  // events of a group, on the average
  std::vector<int64_t> begin;           // of each row's groups, and the end; empty if they are smaller
  std::vector<int32_t> end;             // of each group: positions in the row

  explicit Groups(const Events<T>& e) {
    int64_t groups = 0, all = 0;
    for (int64_t r = 0; r < e.rows; ++r) {
      const T* z = e.z + e.offsets[r];
      const int64_t listed = e.listed(r);
      int32_t changes = 0;  // of the width of a float: so the loop becomes vectors
      for (int64_t k = 1; k < listed; ++k) changes += z[k] != z[k - 1];
      groups += changes + (listed > 0);
      all += listed;
      if (kLarge * groups > e.spikes()) return;  // there cannot be enough
    }
    if (groups == 0 || kLarge * groups > all) return;
    begin.reserve(e.rows + 1);
    end.reserve(groups);
    for (int64_t r = 0; r < e.rows; ++r) {
      begin.push_back(end.size());
      const T* z = e.z + e.offsets[r];
      const int64_t listed = e.listed(r);
      for (int64_t k = 1; k <= listed; ++k)
        if (k == listed || z[k] != z[k - 1]) end.push_back(int32_t(k));
    }
    begin.push_back(end.size());
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

  // Groups that no neuron waited for are left out. Counts are (rows, outputs).
  GroupLists(const Events<T>& e, const Groups<T>& groups, const int32_t* count, int64_t outputs, int64_t most)
      : group(e.spikes()) {
    int64_t placed = 0;
    for (int64_t first = 0, last; first < e.rows; first = last) {
      for (last = first + 1; last < e.rows && groups.begin[last + 1] - groups.begin[first] <= most;) ++last;
      const int64_t at = beginnings.size();
      chunks.push_back({first, last, at});
      beginnings.resize(at + e.inputs + 2);  // one more, so that counting leaves them where placing needs them
      int64_t* next = beginnings.data() + at;
      const auto for_events = [&](auto&& f) {
        for (int64_t row = first; row < last; ++row) {
          const int32_t* channel = e.channel + e.offsets[row];
          const int64_t waited = std::min<int64_t>(largest_count(count + row * outputs, outputs), e.listed(row));
          int64_t k = 0;
          for (int64_t g = groups.begin[row]; k < waited; ++g)
            for (const int64_t end = groups.end[g]; k < end; ++k) f(channel[k], int32_t(g - groups.begin[first]));
        }
      };
      for_events([&](int32_t channel, int32_t) { ++next[channel + 2]; });
      next[0] = next[1] = placed;
      for (int64_t i = 0; i < e.inputs; ++i) next[i + 2] += next[i + 1];
      placed = next[e.inputs + 1];
      for_events([&](int32_t channel, int32_t g) { group[next[channel + 1]++] = g; });
    }
  }
};

}  // namespace
}  // namespace shiftlearn
