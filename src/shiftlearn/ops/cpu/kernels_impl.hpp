// All kernels, compiled once per instruction set.
#pragma once
#include "check_impl.hpp"
#include "coefficients_impl.hpp"
#include "feedback_impl.hpp"
#include "few_impl.hpp"
#include "kernels.hpp"
#include "loss_impl.hpp"
#include "plasticity_impl.hpp"
#include "sort_impl.hpp"
#include "walk_impl.hpp"
#include "windows_impl.hpp"

namespace shiftlearn {
namespace {

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
          kFewVectors * Simd<T>::width,
          few_spikes<T>,
          few_adjustments<T>,
          cross_entropy<T>};
}

}  // namespace
}  // namespace shiftlearn
