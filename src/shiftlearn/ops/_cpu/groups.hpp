// Inputs that come at one time, as pixels of one grey do.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels.hpp"

namespace shiftlearn {
namespace {

// The groups of tied events of all rows, if they are large enough for kernels to go group by group.
template <class T>
struct Groups {
  static constexpr int64_t kLarge = 4;  // events of a group, on the average
  std::vector<int64_t> begin;           // of each row's groups, and the end; empty if they are not worth it
  std::vector<int32_t> end;             // of each group: positions in the row

  explicit Groups(const Events<T>& e) {
    int64_t groups = 0;
    for (int64_t r = 0; r < e.rows; ++r) groups += of_row(e, r, [](int64_t) {});
    if (groups == 0 || e.spikes() < kLarge * groups) return;
    begin.reserve(e.rows + 1);
    begin.push_back(0);
    end.reserve(groups);
    for (int64_t r = 0; r < e.rows; ++r) {
      of_row(e, r, [&](int64_t k) { end.push_back(int32_t(k)); });
      begin.push_back(end.size());
    }
  }
  bool large() const { return !begin.empty(); }

 private:
  // Calls f with the end of each group of a row; returns their number.
  template <class F>
  static int64_t of_row(const Events<T>& e, int64_t row, F&& f) {
    const T* z = e.z + e.offsets[row];
    const int64_t listed = e.listed(row);
    int64_t groups = 0;
    for (int64_t k = 1; k <= listed; ++k)
      if (k == listed || z[k] != z[k - 1]) {
        f(k);
        ++groups;
      }
    return groups;
  }
};

}  // namespace
}  // namespace shiftlearn
