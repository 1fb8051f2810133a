// What the kernels take for granted of events: they would read and write elsewhere, or walk back in time.
#pragma once
#include <cstdint>

#include "kernels.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

// Whether offsets ascend from 0 to the number of spikes, z is positive and ascends within each row up to rest, and
// every listed channel exists. (A finite rest where a channel repeats is not looked for: it does no harm here.)
template <class T>
bool well_formed(const Events<T>& e, int64_t spikes) {
  if (e.offsets[0] != 0 || e.offsets[e.rows] != spikes) return false;
  for (int64_t r = 0; r < e.rows; ++r) {
    const int64_t begin = e.offsets[r], n = e.offsets[r + 1] - begin;
    if (n < 0 || n > spikes - begin || n > kMostSpikes) return false;
    const T* z = e.z + begin;
    int32_t wrong = 0;  // of the width of a float: so the loops become vectors
    for (int64_t k = 1; k < n; ++k) wrong |= !(z[k - 1] <= z[k]);
    if (wrong || (n && !(z[0] > 0))) return false;
    const int64_t listed = e.listed(r);
    if (!(e.rest[r] > 0) || (listed && e.rest[r] < z[listed - 1])) return false;
    const int32_t* channel = e.channel + begin;
    const uint32_t inputs = uint32_t(e.inputs);
    for (int64_t k = 0; k < listed; ++k) wrong |= uint32_t(channel[k]) >= inputs;
    if (wrong) return false;
  }
  return true;
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
