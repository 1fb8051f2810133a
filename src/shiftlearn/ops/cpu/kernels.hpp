// What the instruction-set builds offer, and the events they walk. See ../reference.py for the readable form.
#pragma once
#include <cstdint>
#include <exception>
#include <limits>

// Of an inline function that several builds hold, the linker keeps one: these leave none to keep, so that no build runs
// another one's instructions. (.ci/baseline looks whether that holds.)
#define ALWAYS_INLINE inline __attribute__((always_inline))

namespace shiftlearn {

// Of a row, and of its channels: a count may be one more, and is looked up with the one after it, in 32 bits.
constexpr int64_t kMostSpikes = (int64_t(1) << 31) - 3;

template <class T>
struct Events {
  const T* z;              // ascending within a row; inf ends it
  const int32_t* channel;
  const int64_t* offsets;  // rows + 1
  const T* rest;           // when the unlisted channels of a row spike; inf: never
  int64_t rows;
  int64_t inputs;

  ALWAYS_INLINE int64_t spikes() const { return offsets[rows] - offsets[0]; }  // there is room for
  // Number of events that row r lists: z ascends, so the first inf is found by bisection.
  ALWAYS_INLINE int64_t listed(int64_t r) const {
    int64_t low = offsets[r], high = offsets[r + 1];
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (z[middle] < std::numeric_limits<T>::infinity()) low = middle + 1;
      else high = middle;
    }
    return low - offsets[r];
  }
  // Of all rows: fewer than there is room for, where rows end with inf.
  ALWAYS_INLINE int64_t listed() const {
    int64_t sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += listed(r);
    return sum;
  }
  // Whether some channel is left to spike at rest.
  ALWAYS_INLINE bool has_rest(int64_t r, int64_t listed) const {
    return rest[r] < std::numeric_limits<T>::infinity() && listed < inputs;
  }
};

// Images (count, channels, rows, columns), and windows of (channels, size, size) in the order of their corners.
struct Windows {
  int64_t count, channels, rows, columns, size;
  ALWAYS_INLINE int64_t down() const { return rows - size + 1; }
  ALWAYS_INLINE int64_t across() const { return columns - size + 1; }
  ALWAYS_INLINE int64_t of_image() const { return down() * across(); }
  ALWAYS_INLINE int64_t pixels() const { return channels * rows * columns; }
  ALWAYS_INLINE int64_t inputs() const { return channels * size * size; }
};

enum class Rule { shifting, normalized, exact };

template <class T>
struct Kernels {
  bool (*well_formed)(const Events<T>&, int64_t spikes);
  int64_t (*sort_spikes)(const T* dense, int64_t rows, int64_t inputs, T* z, int32_t* channel, T* rest, int threads);
  int64_t (*sort_levels)(const uint8_t* levels, const T* of_level, int64_t rows, int64_t inputs, T* z, int32_t* channel,
                         int64_t* offsets, T* rest, int threads);
  int64_t (*sort_windows)(const T* images, const Windows&, T* z, int32_t* channel, T* rest, int threads);
  void (*sum_windows)(const T* values, const Windows&, T* images, int threads);
  // With delays, z = u · delay is written too; without (null), z is not looked at. Without u, count and drive (all null),
  // it is z alone.
  void (*first_spike)(const Events<T>&, const T* shift, const T* delay, int64_t outputs, T* u, int32_t* count, T* drive,
                      T* z, int threads);
  void (*plasticity)(const Events<T>&, const int32_t* count, const T* a, const T* c, int64_t outputs, T* result,
                     int threads);
  void (*feedback)(const Events<T>&, const int32_t* count, const T* f, const T* weight, int64_t outputs, T* result,
                   int threads);
  // f is left out where it is null.
  void (*coefficients)(Rule, const T* delta, const T* u, const T* drive, const T* delay, T min_drive, int64_t rows,
                       int64_t outputs, T* a, T* c, T* f, T* g, int threads);
  // Layers of up to `narrow` outputs, from dense spikes that nobody sorted. Without u, drive and until (all null), it is z
  // alone. Returns what sort_spikes does. `until`: an output waited for what came no later; 0 if it is silent.
  int64_t narrow;
  int64_t (*narrow_first_spike)(const T* dense, int64_t rows, int64_t inputs, const T* shift, const T* delay, int64_t outputs, T* u,
                        T* drive, T* until, T* z, int threads);
  // To the inputs and to the weights; null where not wanted.
  void (*narrow_gradients)(const T* dense, int64_t rows, int64_t inputs, const T* until, const T* a, const T* c, const T* f,
                          const T* weight, int64_t outputs, T* to_input, T* to_shift, int threads);
  int64_t (*cross_entropy)(const T* z, const int64_t* target, T beta, T smoothing, T horizon, int64_t rows,
                           int64_t classes, T* loss, T* error);
};

// Keeps what goes wrong in a thread of a parallel region (no memory is left), to be thrown after the region: within it,
// an exception would end the process.
class Failure {
 public:
  template <class F>
  ALWAYS_INLINE void guard(F&& f) noexcept {
    try {
      f();
    } catch (...) {
#pragma omp critical(shiftlearn_failure)
      kept_ = std::current_exception();
    }
  }
  ALWAYS_INLINE void rethrow() const {
    if (kept_) std::rethrow_exception(kept_);
  }

 private:
  std::exception_ptr kept_;
};

// Work below which starting a thread costs more than it saves, in multiply-adds.
ALWAYS_INLINE int useful_threads(int threads, int64_t work) {
  return work < 20000 ? 1 : threads;
}

}  // namespace shiftlearn

// The definitions, in each isa_*.cpp.
#ifdef SHIFTLEARN_ISA
#include "check_impl.hpp"
#include "coefficients_impl.hpp"
#include "feedback_impl.hpp"
#include "narrow_impl.hpp"
#include "loss_impl.hpp"
#include "plasticity_impl.hpp"
#include "sort_impl.hpp"
#include "walk_impl.hpp"
#include "windows_impl.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {

template <class T>
Kernels<T> kernels() {
  return {well_formed<T>,
          sort_spikes<T>,
          sort_levels<T>,
          sort_windows<T>,
          sum_windows<T>,
          first_spike<T>,
          plasticity<T>,
          feedback<T>,
          coefficients<T>,
          kNarrowVectors * Simd<T>::width,
          narrow_first_spike<T>,
          narrow_gradients<T>,
          cross_entropy<T>};
}
template Kernels<float> kernels<float>();
template Kernels<double> kernels<double>();

}  // namespace shiftlearn::SHIFTLEARN_ISA
#endif
