// The Python face of the kernels. Arrays arrive without copies; shapes and values were checked by ops/cpu.py.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "kernels.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace shiftlearn;

namespace {

template <class T, int N>
using In = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <class T, int N>
using Out = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

const char* instruction_set() {
#if defined(SHIFTLEARN_X86)
  static const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  static const bool middle = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return wide ? "avx512" : middle ? "avx2" : "baseline";
#else
  return "baseline";
#endif
}

template <class T>
Kernels<T> choose(const std::string& isa) {
#if defined(SHIFTLEARN_X86)
  const std::string best = instruction_set();
  if (isa == "avx512" && best == "avx512") return avx512_kernels<T>();
  if (isa == "avx2" && best != "baseline") return avx2_kernels<T>();
#endif
  if (isa == "baseline") return baseline_kernels<T>();
  throw nb::value_error(("this machine cannot run the instruction set " + isa).c_str());
}

template <class T>
Kernels<T>& active() {
  static Kernels<T> kernels = choose<T>(instruction_set());
  return kernels;
}

template <class T>
struct Binding {
  static Events<T> events(const In<T, 1>& z, const In<int32_t, 1>& channel, const In<int64_t, 1>& offsets,
                          const In<T, 1>& rest, int64_t inputs) {
    return {z.data(), channel.data(), offsets.data(), rest.data(), int64_t(rest.shape(0)), inputs};
  }
  static int64_t sort(In<T, 2> dense, Out<T, 1> z, Out<int32_t, 1> channel, Out<T, 1> rest, int threads) {
    return active<T>().sort_spikes(dense.data(), dense.shape(0), dense.shape(1), z.data(), channel.data(), rest.data(), threads);
  }
  static void sort_levels(In<uint8_t, 2> levels, In<T, 1> of_level, Out<T, 1> z, Out<int32_t, 1> channel,
                          Out<int64_t, 1> offsets, Out<T, 1> rest, int threads) {
    active<T>().sort_levels(levels.data(), of_level.data(), levels.shape(0), levels.shape(1), z.data(), channel.data(),
                            offsets.data(), rest.data(), threads);
  }
  static void first_spike(In<T, 1> z, In<int32_t, 1> channel, In<int64_t, 1> offsets, In<T, 1> rest, In<T, 2> shift,
                          Out<T, 2> u, Out<int32_t, 2> count, Out<T, 2> drive, int threads) {
    active<T>().first_spike(events(z, channel, offsets, rest, shift.shape(0)), shift.data(), shift.shape(1), u.data(),
                            count.data(), drive.data(), threads);
  }
  static void plasticity(In<T, 1> z, In<int32_t, 1> channel, In<int64_t, 1> offsets, In<T, 1> rest,
                         In<int32_t, 2> count, In<T, 2> a, In<T, 2> c, Out<T, 2> result, int threads) {
    active<T>().plasticity(events(z, channel, offsets, rest, result.shape(0)), count.data(), a.data(), c.data(),
                           result.shape(1), result.data(), threads);
  }
  static void feedback(In<T, 1> z, In<int32_t, 1> channel, In<int64_t, 1> offsets, In<T, 1> rest, In<int32_t, 2> count,
                       In<T, 2> f, In<T, 2> weight, Out<T, 2> result, int threads) {
    active<T>().feedback(events(z, channel, offsets, rest, weight.shape(0)), count.data(), f.data(), weight.data(),
                         weight.shape(1), result.data(), threads);
  }
  static void coefficients(int rule, In<T, 2> delta, In<T, 2> u, In<T, 2> drive, In<T, 1> delay, double min_drive,
                           Out<T, 2> a, Out<T, 2> c, Out<T, 2> f, Out<T, 1> g, int threads) {
    active<T>().coefficients(Rule(rule), delta.data(), u.data(), drive.data(), delay.data(), T(min_drive),
                             delta.shape(0), delta.shape(1), a.data(), c.data(), f.data(), g.data(), threads);
  }
  static int64_t cross_entropy(In<T, 2> z, In<int64_t, 1> target, double beta, double smoothing, double horizon,
                               Out<T, 1> loss, Out<T, 2> error) {
    return active<T>().cross_entropy(z.data(), target.data(), T(beta), T(smoothing), T(horizon), z.shape(0), z.shape(1),
                                     loss.data(), error.data());
  }
  // noconvert: a converted output would be written and thrown away.
  static void bind(nb::module_& m) {
    m.def("sort_spikes", sort, "dense"_a.noconvert(), "z"_a.noconvert(), "channel"_a.noconvert(),
          "rest"_a.noconvert(), "threads"_a, nb::call_guard<nb::gil_scoped_release>());
    m.def("sort_levels", sort_levels, "levels"_a.noconvert(), "of_level"_a.noconvert(), "z"_a.noconvert(),
          "channel"_a.noconvert(), "offsets"_a.noconvert(), "rest"_a.noconvert(), "threads"_a,
          nb::call_guard<nb::gil_scoped_release>());
    m.def("first_spike", first_spike, "z"_a.noconvert(), "channel"_a.noconvert(), "offsets"_a.noconvert(),
          "rest"_a.noconvert(), "shift"_a.noconvert(), "u"_a.noconvert(), "count"_a.noconvert(),
          "drive"_a.noconvert(), "threads"_a, nb::call_guard<nb::gil_scoped_release>());
    m.def("plasticity", plasticity, "z"_a.noconvert(), "channel"_a.noconvert(), "offsets"_a.noconvert(),
          "rest"_a.noconvert(), "count"_a.noconvert(), "a"_a.noconvert(), "c"_a.noconvert(), "result"_a.noconvert(),
          "threads"_a, nb::call_guard<nb::gil_scoped_release>());
    m.def("feedback", feedback, "z"_a.noconvert(), "channel"_a.noconvert(), "offsets"_a.noconvert(),
          "rest"_a.noconvert(), "count"_a.noconvert(), "f"_a.noconvert(), "weight"_a.noconvert(),
          "result"_a.noconvert(), "threads"_a, nb::call_guard<nb::gil_scoped_release>());
    m.def("coefficients", coefficients, "rule"_a, "delta"_a.noconvert(), "u"_a.noconvert(), "drive"_a.noconvert(),
          "delay"_a.noconvert(), "min_drive"_a, "a"_a.noconvert(), "c"_a.noconvert(), "f"_a.noconvert(),
          "g"_a.noconvert(), "threads"_a, nb::call_guard<nb::gil_scoped_release>());
    m.def("cross_entropy", cross_entropy, "z"_a.noconvert(), "target"_a.noconvert(), "beta"_a, "smoothing"_a,
          "horizon"_a, "loss"_a.noconvert(), "error"_a.noconvert(), nb::call_guard<nb::gil_scoped_release>());
  }
};

}  // namespace

NB_MODULE(_kernels, m) {
  Binding<float>::bind(m);
  Binding<double>::bind(m);
  m.def("instruction_set", [] { return std::string(instruction_set()); }, "The widest set that this machine runs.");
  m.def("use_instruction_set", [](const std::string& isa) {
    active<float>() = choose<float>(isa);
    active<double>() = choose<double>(isa);
  }, "isa"_a, "Run the kernels built for `isa` from now on (for tests).");
}
