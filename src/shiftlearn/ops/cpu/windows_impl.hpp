// Square windows of images, one at every pixel: their spikes, sorted once for each image; and what they hand back.
#pragma once
#include "sort_impl.hpp"

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

// Row and column of a pixel, and map · size² + row · size + column: its channel in the window that begins at (v, u) is
// less by v · size + u.
struct Pixel { int32_t y, x, channel; };

inline std::vector<Pixel> pixels_of(const Windows& w) {
  std::vector<Pixel> pixels;
  pixels.reserve(w.pixels());
  for (int64_t map = 0; map < w.channels; ++map)
    for (int64_t y = 0; y < w.rows; ++y)
      for (int64_t x = 0; x < w.columns; ++x)
        pixels.push_back({int32_t(y), int32_t(x), int32_t((map * w.size + y) * w.size + x)});
  return pixels;
}

// One image; false if it holds NaN or a z <= 0.
template <class T>
bool sort_image(const T* image, const Windows& w, const std::vector<Pixel>& pixels, T* z, int32_t* channel, T* rest,
                std::vector<Spike<T>>& spikes, std::vector<Spike<T>>& spare, std::vector<int64_t>& next) {
  constexpr T never = std::numeric_limits<T>::infinity();
  const int64_t inputs = w.inputs(), across = w.across(), size = w.size;
  Range<T> range;
  if (!range.find(image, w.pixels())) return false;
  const Dense<T> dense = {image, w.pixels(), range.earliest, range.last, bits_of(never)};
  const int64_t n = sort_dense(dense, spikes, spare);
  for (int64_t window = 0; window < w.of_image(); ++window) next[window] = window * inputs;
  for (int64_t k = 0; k < n; ++k) {
    const T time = dense.time(spikes[k]);
    const auto [y, x, corner] = pixels[int32_t(spikes[k])];
    const int64_t right = std::min<int64_t>(across - 1, x), left = std::max<int64_t>(x - size + 1, 0);
    const int64_t bottom = std::min<int64_t>(w.down() - 1, y);
    for (int64_t v = std::max<int64_t>(y - size + 1, 0); v <= bottom; ++v)
      for (int64_t u = left; u <= right; ++u) {
        const int64_t at = next[v * across + u]++;
        z[at] = time;
        channel[at] = int32_t(corner - v * size - u);
      }
  }
  for (int64_t window = 0; window < w.of_image(); ++window) {  // its last group becomes rest, as in sort_row
    const int64_t begin = window * inputs;
    int64_t end = next[window];
    rest[window] = inputs && end == begin + inputs ? z[end - 1] : never;
    while (end > begin && z[end - 1] == rest[window]) --end;
    std::fill(z + end, z + begin + inputs, never);
    std::fill(channel + end, channel + begin + inputs, 0);
  }
  return true;
}

// The events of all windows; returns the first image that holds NaN or a z <= 0, or -1.
template <class T>
int64_t sort_windows(const T* images, const Windows& w, T* z, int32_t* channel, T* rest, int threads) {
  const std::vector<Pixel> pixels = pixels_of(w);
  int64_t invalid = w.count;
  Failure failure;
  const int team = useful_threads(threads, w.count * w.pixels());
#pragma omp parallel num_threads(team) reduction(min : invalid)
  {
    std::vector<Spike<T>> spikes, spare;
    std::vector<int64_t> next;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < w.count; ++i) failure.guard([&] {
      spikes.resize(w.pixels());
      spare.resize(w.pixels());
      next.resize(w.of_image());
      const int64_t at = i * w.of_image();
      if (!sort_image(images + i * w.pixels(), w, pixels, z + at * w.inputs(), channel + at * w.inputs(), rest + at,
                      spikes, spare, next))
        invalid = std::min(invalid, i);
    });
  }
  failure.rethrow();
  return invalid == w.count ? -1 : invalid;
}

// Every pixel's sum over the windows that it lies in, of values (windows, inputs).
template <class T>
void sum_windows(const T* values, const Windows& w, T* images, int threads) {
  const int team = useful_threads(threads, w.count * w.of_image() * w.inputs());
#pragma omp parallel for schedule(static) num_threads(team)
  for (int64_t i = 0; i < w.count; ++i) {
    T* image = images + i * w.pixels();
    const T* value = values + i * w.of_image() * w.inputs();
    std::fill(image, image + w.pixels(), T(0));
    for (int64_t v = 0; v < w.down(); ++v)
      for (int64_t u = 0; u < w.across(); ++u)
        for (int64_t map = 0; map < w.channels; ++map)
          for (int64_t y = 0; y < w.size; ++y, value += w.size) {
            T* pixel = image + (map * w.rows + v + y) * w.columns + u;
            for (int64_t x = 0; x < w.size; ++x) pixel[x] += value[x];
          }
  }
}

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
