// Cross-entropy of first-spike times: the loss and its error in one pass. See cross_entropy in ../reference.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

// Writes each row's loss and the derivatives ∂loss/∂z; returns the first row whose class does not exist, or -1.
template <class T>
int64_t cross_entropy(const T* z, const int64_t* target, T beta, T smoothing, T horizon, int64_t rows, int64_t classes,
                      T* loss, T* error) {
  const auto logit = [&](T time) { return -beta * (time < std::numeric_limits<T>::infinity() ? time : horizon); };
  const T wrong = smoothing / T(classes), right = 1 - smoothing + wrong;
  for (int64_t r = 0; r < rows; ++r, z += classes, error += classes) {
    if (target[r] < 0 || target[r] >= classes) return r;
    T highest = -std::numeric_limits<T>::infinity(), total = 0, mean = 0;
    for (int64_t j = 0; j < classes; ++j) highest = std::max(highest, logit(z[j]));
    for (int64_t j = 0; j < classes; ++j) {
      const T x = logit(z[j]) - highest;
      error[j] = std::exp(x);
      total += error[j];
      mean += x * wrong;
    }
    loss[r] = std::log(total) - mean - (1 - smoothing) * (logit(z[target[r]]) - highest);
    for (int64_t j = 0; j < classes; ++j) {
      const T wanted = j == target[r] ? right : wrong;
      error[j] = z[j] < std::numeric_limits<T>::infinity() ? beta * (wanted - error[j] / total) : T(0);
    }
  }
  return -1;
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
