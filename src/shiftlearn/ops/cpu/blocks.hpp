// Columns (output neurons) in blocks of vectors, whose running sums stay in registers.
#pragma once
#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels.hpp"
#include "simd.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

// Vectors of a block of columns, at most: what the registers hold of a walk's or an adjustment's state.
constexpr int kWalkVectors = VECTOR_BYTES == 64 ? 5 : 3;
constexpr int kGroupWalkVectors = VECTOR_BYTES == 64 ? 5 : 4;  // so many that much of their weights stays nearest
constexpr int kGroupVectors = 8;
constexpr int kAdjustVectors = VECTOR_BYTES == 64 ? 4 : 3;
constexpr int kPairVectors = VECTOR_BYTES == 64 ? 2 : 4;
constexpr int kFeedbackVectors = 6;
constexpr int64_t kL2Bytes = 256 << 10;  // bytes that stay in a core's own cache

// Columns [begin, begin + width), as `vectors` vectors of which the last holds `tail` real lanes.
struct Block {
  int64_t begin;
  int vectors, tail;
  template <class T>
  int64_t columns() const { return (vectors - 1) * Simd<T>::width + tail; }
};

// As few as there can be, of `most` vectors at most each, but the same number to every thread.
template <class T>
std::vector<Block> column_blocks(int64_t outputs, int64_t most, int threads = 1) {
  constexpr int64_t width = Simd<T>::width;
  const int64_t vectors = (outputs + width - 1) / width;
  const int64_t least = (vectors + most - 1) / most;
  const int64_t blocks = least < threads ? least : std::min(vectors, (least + threads - 1) / threads * threads);
  std::vector<Block> result;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t first = b * vectors / blocks, next = (b + 1) * vectors / blocks;
    const int64_t tail = std::min(width, outputs - (next - 1) * width);
    result.push_back({first * width, int(next - first), int(tail)});
  }
  return result;
}

// The place in the row that the last of these neurons waited for.
inline int32_t largest_count(const int32_t* count, int64_t neurons) {
  int32_t most = 0;
  for (int64_t j = 0; j < neurons; ++j) most = std::max(most, count[j]);
  return most;
}

// Calls f with the block's number of vectors, at most MOST, as a compile-time constant, and whether the last one is full.
template <class T, int MOST, class F>
void specialise(const Block& block, F&& f) {
  constexpr std::integral_constant<int, MOST> vectors;
  if constexpr (MOST > 1)
    if (block.vectors < MOST) return specialise<T, MOST - 1>(block, f);
  if (block.tail == Simd<T>::width) f(vectors, std::true_type{});
  else f(vectors, std::false_type{});
}

// Vector v of NV at p; only the last can be partial. `real` is the set of its real lanes.
template <class T, int NV, bool FULL>
inline typename Simd<T>::V load_vector(const T* p, int v, typename Simd<T>::K real) {
  using S = Simd<T>;
  return FULL || v + 1 < NV ? S::load(p + v * S::width) : S::load(p + v * S::width, real);
}
template <class T, int NV, bool FULL>
inline void store_vector(T* p, int v, typename Simd<T>::K real, typename Simd<T>::V x) {
  using S = Simd<T>;
  if (FULL || v + 1 < NV) S::store(p + v * S::width, x);
  else S::store(p + v * S::width, x, real);
}

// Loops over the NV vectors of a block are unrolled early, or the compiler keeps the vectors in memory.
#define FOR_VECTORS _Pragma("GCC unroll 8") for (int v = 0; v < NV; ++v)

// Memory that a loop comes to only after a while: a block's row is on a page of its own, where the machine's prefetching
// does not follow.
template <int NV, bool TO_WRITE = false, class T>
inline void prefetch(const T* vectors) {
  for (int at = 0; at < NV * VECTOR_BYTES; at += 64)
    __builtin_prefetch(reinterpret_cast<const char*>(vectors) + at, TO_WRITE);
}

// Weights that are read often are first gathered block by block: else each of their rows is a memory page of its own.
template <class T>
bool is_worth_packing(const Events<T>& e, const std::vector<Block>& blocks) {
  return blocks.size() > 1 && e.listed() >= 4 * e.inputs;
}

constexpr int64_t kRowsAhead = 16;

// A block's columns, row after row, in `strip`.
template <class T, int MOST>
const T* pack(const T* weight, int64_t inputs, int64_t ld, const Block& block, std::vector<typename Simd<T>::V>& strip) {
  strip.resize(inputs * block.vectors);
  T* to = reinterpret_cast<T*>(strip.data());
  specialise<T, MOST>(block, [&](auto nv, auto full) {
    constexpr int NV = nv(), width = Simd<T>::width;
    const auto real = Simd<T>::first(block.tail);
    for (int64_t i = 0; i < inputs; ++i) {
      prefetch<NV>(weight + (i + kRowsAhead) * ld);
      FOR_VECTORS Simd<T>::store(to + (i * NV + v) * width, load_vector<T, NV, full()>(weight + i * ld, v, real));
    }
  });
  return to;
}

// Weights beyond the caches, each row of which lies on a page of its own, are asked for some events ahead.
constexpr int64_t kBeyondCaches = 8 << 20, kAhead = 8;  // bytes of weights; events

template <class T>
bool is_far(int64_t inputs, int64_t ld) { return inputs * ld * int64_t(sizeof(T)) > kBeyondCaches; }

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
