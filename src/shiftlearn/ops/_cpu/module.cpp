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
  // Weights come as members of an ensemble, to which the rows of the events belong in order. f(member, threads, row).
  template <class F>
  static void for_members(int64_t members, int64_t rows, int threads, F&& f) {
    if (members == 1) return f(0, threads, 0);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t m = 0; m < members; ++m) f(m, 1, m * (rows / members));
  }
  static Events<T> part(const Events<T>& e, int64_t row, int64_t rows) {
    return {e.z, e.channel, e.offsets + row, e.rest + row, rows, e.inputs};
  }
  static void first_spike(In<T, 1> z, In<int32_t, 1> channel, In<int64_t, 1> offsets, In<T, 1> rest, In<T, 3> shift,
                          Out<T, 3> u, Out<int32_t, 3> count, Out<T, 3> drive, int threads) {
    const int64_t members = shift.shape(0), inputs = shift.shape(1), outputs = shift.shape(2), rows = u.shape(1);
    const auto e = events(z, channel, offsets, rest, inputs);
    for_members(members, e.rows, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs;
      active<T>().first_spike(part(e, row, rows), shift.data() + m * inputs * outputs, outputs, u.data() + at,
                              count.data() + at, drive.data() + at, team);
    });
  }
  static void plasticity(In<T, 1> z, In<int32_t, 1> channel, In<int64_t, 1> offsets, In<T, 1> rest,
                         In<int32_t, 3> count, In<T, 3> a, In<T, 3> c, Out<T, 3> result, int threads) {
    const int64_t members = result.shape(0), inputs = result.shape(1), outputs = result.shape(2), rows = a.shape(1);
    const auto e = events(z, channel, offsets, rest, inputs);
    for_members(members, e.rows, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs;
      active<T>().plasticity(part(e, row, rows), count.data() + at, a.data() + at, c.data() + at, outputs,
                             result.data() + m * inputs * outputs, team);
    });
  }
  static void feedback(In<T, 1> z, In<int32_t, 1> channel, In<int64_t, 1> offsets, In<T, 1> rest, In<int32_t, 3> count,
                       In<T, 3> f, In<T, 3> weight, Out<T, 3> result, int threads) {
    const int64_t members = weight.shape(0), inputs = weight.shape(1), outputs = weight.shape(2), rows = f.shape(1);
    const auto e = events(z, channel, offsets, rest, inputs);
    for_members(members, e.rows, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs;
      active<T>().feedback(part(e, row, rows), count.data() + at, f.data() + at, weight.data() + m * inputs * outputs,
                           outputs, result.data() + row * inputs, team);
    });
  }
  static void coefficients(int rule, In<T, 3> delta, In<T, 3> u, In<T, 3> drive, In<T, 2> delay, double min_drive,
                           Out<T, 3> a, Out<T, 3> c, Out<T, 3> f, Out<T, 2> g, int threads) {
    const int64_t members = u.shape(0), rows = u.shape(1), outputs = u.shape(2);
    for_members(members, members * rows, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs, first = m * outputs;
      active<T>().coefficients(Rule(rule), delta.data() + at, u.data() + at, drive.data() + at, delay.data() + first,
                               T(min_drive), rows, outputs, a.data() + at, c.data() + at, f.data() + at,
                               g.data() + first, team);
    });
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
