// The Python face of the kernels. What they get was checked and laid out by __init__.py.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

// Defined in isa_*.cpp.
namespace shiftlearn {
namespace baseline { template <class T> Kernels<T> kernels(); }
namespace avx2 { template <class T> Kernels<T> kernels(); }
namespace avx512 { template <class T> Kernels<T> kernels(); }
}  // namespace shiftlearn

namespace nb = nanobind;
using namespace nb::literals;
using namespace shiftlearn;

namespace {

// Addresses of arrays, contiguous and of the right type: __init__.py sees to that.
using Address = uintptr_t;
template <class T>
const T* in(Address x) { return reinterpret_cast<const T*>(x); }
template <class T>
T* out(Address x) { return reinterpret_cast<T*>(x); }

// Each runs what those before it run.
constexpr const char* kSets[] = {"baseline", "avx2", "avx512"};

// The widest set that this machine runs, as an index of kSets.
int widest() {
#if defined(SHIFTLEARN_X86)
  static const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  static const bool middle = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return wide ? 2 : middle ? 1 : 0;
#else
  return 0;
#endif
}

// The set whose kernels run from now on.
std::atomic<int>& in_use() {
  static std::atomic<int> set = widest();
  return set;
}

void use(const std::string& isa) {
  for (int set = 0; set <= widest(); ++set)
    if (isa == kSets[set]) return in_use().store(set);
  throw nb::value_error(("this machine cannot run the instruction set " + isa).c_str());
}

// The kernels of a set that this machine runs.
template <class T>
const Kernels<T>& kernels_of(int set) {
#if defined(SHIFTLEARN_X86)
  static const Kernels<T> all[] = {baseline::kernels<T>(), widest() > 0 ? avx2::kernels<T>() : baseline::kernels<T>(),
                                   widest() > 1 ? avx512::kernels<T>() : baseline::kernels<T>()};
#else
  static const Kernels<T> all[] = {baseline::kernels<T>()};
#endif
  if (set < 0 || set > widest()) throw std::out_of_range("no instruction set of this machine");
  return all[set];
}

// Weights are members of an ensemble, to which the rows of the events belong in order. f(member, threads, row).
template <class F>
void for_members(int64_t members, int64_t batch, int threads, F&& f) {
  if (members == 1) return f(0, threads, 0);
  Failure failure;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t m = 0; m < members; ++m) failure.guard([&] { f(m, 1, m * batch); });
  failure.rethrow();
}

struct Shape { int64_t members, batch, inputs, outputs; };

// What a forward pass keeps for the backward pass, in one piece of memory: its instruction set, which decides on all
// else; the spikes that it sorted (if it did); and what the neurons did (without a backward pass, nothing: 0 outputs).
// Of neurons that know until when they waited (`narrow`), that takes the place of the count.
template <class T>
struct Trace {
  Address set, offsets, z, rest, u, drive, until, channel, count, end;

  Trace(Address memory, bool sorted, bool narrow, int64_t rows, int64_t inputs, int64_t outputs) {
    const int64_t spikes = sorted ? rows * inputs : 0, neurons = rows * outputs;
    set = memory;
    offsets = set + sizeof(int64_t);
    z = offsets + (sorted ? (rows + 1) * sizeof(int64_t) : 0);
    rest = z + spikes * sizeof(T);
    u = rest + (sorted ? rows * sizeof(T) : 0);
    drive = u + neurons * sizeof(T);
    until = drive + neurons * sizeof(T);
    channel = until + (narrow ? neurons * sizeof(T) : 0);
    count = channel + spikes * sizeof(int32_t);
    end = count + (narrow ? 0 : neurons * sizeof(int32_t));
  }
};

// Functions of kernels and of what Python hands over. To most of them `bind` gives the kernels in use.
template <class T>
struct Binding {
  using K = Kernels<T>;
  static Events<T> events(Address z, Address channel, Address offsets, Address rest, int64_t row, const Shape& s) {
    return {in<T>(z), in<int32_t>(channel), in<int64_t>(offsets) + row, in<T>(rest) + row, s.batch, s.inputs};
  }
  static bool positive(const T* x, int64_t size) { return std::all_of(x, x + size, [](T v) { return v > 0; }); }
  static bool well_formed(const K& k, Address z, Address channel, Address offsets, Address rest, int64_t spikes,
                          int64_t rows, int64_t inputs) {
    return k.well_formed(events(z, channel, offsets, rest, 0, {1, rows, inputs, 0}), spikes);
  }
  static int64_t sort(const K& k, Address dense, Address z, Address channel, Address rest, int64_t rows, int64_t inputs,
                      int threads) {
    return k.sort_spikes(in<T>(dense), rows, inputs, out<T>(z), out<int32_t>(channel), out<T>(rest), threads);
  }
  static int64_t sort_levels(const K& k, Address levels, Address of_level, Address z, Address channel, Address offsets,
                             Address rest, int64_t rows, int64_t inputs, int threads) {
    return k.sort_levels(in<uint8_t>(levels), in<T>(of_level), rows, inputs, out<T>(z), out<int32_t>(channel),
                         out<int64_t>(offsets), out<T>(rest), threads);
  }
  static int64_t sort_windows(const K& k, Address images, Address z, Address channel, Address rest, int64_t count,
                              int64_t channels, int64_t rows, int64_t columns, int64_t size, int threads) {
    const Windows w{count, channels, rows, columns, size};
    return k.sort_windows(in<T>(images), w, out<T>(z), out<int32_t>(channel), out<T>(rest), threads);
  }
  static void sum_windows(const K& k, Address values, Address images, int64_t count, int64_t channels, int64_t rows,
                          int64_t columns, int64_t size, int threads) {
    k.sum_windows(in<T>(values), {count, channels, rows, columns, size}, out<T>(images), threads);
  }
  static void first_spike(const K& k, Address z, Address channel, Address offsets, Address rest, Address shift,
                          Address u, Address count, Address drive, int64_t members, int64_t batch, int64_t inputs,
                          int64_t outputs, int threads) {
    delayed(k, z, channel, offsets, rest, shift, 0, u, count, drive, 0, members, batch, inputs, outputs, threads);
  }
  // delay and z_out: what to multiply u by, and where to write that, or 0; u, count and drive are 0 where z_out is all
  // that is wanted. False, with nothing done, if a delay is not positive.
  static bool delayed(const K& k, Address z, Address channel, Address offsets, Address rest, Address shift,
                      Address delay, Address u, Address count, Address drive, Address z_out, int64_t members,
                      int64_t batch, int64_t inputs, int64_t outputs, int threads) {
    const T* d = in<T>(delay);
    if (d && !positive(d, members * outputs)) return false;
    const Shape s{members, batch, inputs, outputs};
    for_members(members, batch, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs;
      k.first_spike(events(z, channel, offsets, rest, row, s), in<T>(shift) + m * inputs * outputs,
                    d ? d + m * outputs : nullptr, outputs, u ? out<T>(u) + at : nullptr,
                    u ? out<int32_t>(count) + at : nullptr, u ? out<T>(drive) + at : nullptr,
                    d ? out<T>(z_out) + at : nullptr, team);
    });
    return true;
  }
  static void plasticity(const K& k, Address z, Address channel, Address offsets, Address rest, Address count,
                         Address a, Address c, Address result, int64_t members, int64_t batch, int64_t inputs,
                         int64_t outputs, int threads) {
    const Shape s{members, batch, inputs, outputs};
    for_members(members, batch, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs;
      k.plasticity(events(z, channel, offsets, rest, row, s), in<int32_t>(count) + at, in<T>(a) + at,
                   in<T>(c) + at, outputs, out<T>(result) + m * inputs * outputs, team);
    });
  }
  static void feedback(const K& k, Address z, Address channel, Address offsets, Address rest, Address count, Address f,
                       Address weight, Address result, int64_t members, int64_t batch, int64_t inputs, int64_t outputs,
                       int threads) {
    const Shape s{members, batch, inputs, outputs};
    for_members(members, batch, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs;
      k.feedback(events(z, channel, offsets, rest, row, s), in<int32_t>(count) + at, in<T>(f) + at,
                 in<T>(weight) + m * inputs * outputs, outputs, out<T>(result) + row * inputs, team);
    });
  }
  static void coefficients(const K& k, int rule, Address delta, Address u, Address drive, Address delay,
                           double min_drive, Address a, Address c, Address f, Address g, int64_t members, int64_t batch,
                           int64_t outputs, int threads) {
    for_members(members, batch, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs, first = m * outputs;
      k.coefficients(Rule(rule), in<T>(delta) + at, in<T>(u) + at, in<T>(drive) + at, in<T>(delay) + first,
                     T(min_drive), batch, outputs, out<T>(a) + at, out<T>(c) + at,
                     f ? out<T>(f) + at : nullptr, out<T>(g) + first, team);
    });
  }
  // Calls f(a, c, f) with what a rule makes of the error. f is 0 if nothing goes to the inputs.
  template <class F>
  static void with_coefficients(const K& k, int rule, Address delta, Address u, Address drive, Address delay,
                                double min_drive, bool to_input, Address to_delay, int64_t members, int64_t batch,
                                int64_t outputs, int threads, F&& go_on) {
    static thread_local std::vector<T> scratch;  // kept, since fresh memory costs page faults
    const int64_t size = members * batch * outputs;
    if (int64_t(scratch.size()) < 3 * size) scratch.resize(3 * size);
    const auto a = Address(scratch.data()), c = Address(scratch.data() + size);
    const auto f = to_input ? Address(scratch.data() + 2 * size) : 0;
    coefficients(k, rule, delta, u, drive, delay, min_drive, a, c, f, to_delay, members, batch, outputs, threads);
    go_on(a, c, f);
  }
  static bool is_narrow(const K& k, bool given, int64_t outputs) { return !given && outputs <= k.narrow; }
  static int64_t trace_bytes(int set, bool given, int64_t rows, int64_t inputs, int64_t outputs, bool keep) {
    const bool narrow = is_narrow(kernels_of<T>(set), given, outputs);
    return Trace<T>(0, !given && !narrow, narrow, rows, inputs, keep ? outputs : 0).end;
  }
  // A layer's z_out of spikes that are given, or else (offsets is 0) dense, with the instruction set of trace_bytes.
  // `keep`: for a backward pass. Returns -1 if all is well, -2 if the spikes are not well formed, -3 if a delay is not
  // positive, or a row of `dense` that holds NaN or a z <= 0.
  static int64_t forward(int set, Address dense, Address z, Address channel, Address offsets, Address rest,
                         int64_t spikes, Address shift, Address delay, bool keep, Address trace, Address z_out,
                         int64_t members, int64_t batch, int64_t inputs, int64_t outputs, int threads) {
    const int64_t rows = members * batch;
    const K& k = kernels_of<T>(set);
    const bool narrow = is_narrow(k, offsets, outputs);
    const Trace<T> t(trace, !offsets && !narrow, narrow, rows, inputs, keep ? outputs : 0);
    *out<int64_t>(t.set) = set;
    if (narrow) return narrow_first_spike(k, dense, shift, delay, keep, t, z_out, members, batch, inputs, outputs, threads);
    if (!offsets) {
      z = t.z, channel = t.channel, offsets = t.offsets, rest = t.rest;
      for (int64_t r = 0; r <= rows; ++r) out<int64_t>(offsets)[r] = r * inputs;
      const int64_t invalid = sort(k, dense, z, channel, rest, rows, inputs, threads);
      if (invalid >= 0) return invalid;
    } else if (!well_formed(k, z, channel, offsets, rest, spikes, rows, inputs)) {
      return -2;
    }
    const bool fine = delayed(k, z, channel, offsets, rest, shift, delay, keep ? t.u : 0, t.count, t.drive, z_out,
                              members, batch, inputs, outputs, threads);
    return fine ? -1 : -3;
  }
  static int64_t narrow_first_spike(const K& k, Address dense, Address shift, Address delay, bool keep, const Trace<T>& t,
                            Address z_out, int64_t members, int64_t batch, int64_t inputs, int64_t outputs,
                            int threads) {
    const T* d = in<T>(delay);
    if (!positive(d, members * outputs)) return -3;
    std::atomic<int64_t> invalid = -1;
    for_members(members, batch, threads, [&](int64_t m, int team, int64_t row) {
      const int64_t at = row * outputs;
      const int64_t r = k.narrow_first_spike(
          in<T>(dense) + row * inputs, batch, inputs, in<T>(shift) + m * inputs * outputs, d + m * outputs, outputs,
          keep ? out<T>(t.u) + at : nullptr, out<T>(t.drive) + at, out<T>(t.until) + at, out<T>(z_out) + at, team);
      if (r >= 0) invalid = row + r;
    });
    return invalid;
  }
  // The gradients that belong to it, with the instruction set of the forward pass. False, with nothing done, if the
  // spikes given are not well formed (any more).
  static bool backward(int rule, Address dense, Address z, Address channel, Address offsets, Address rest,
                       int64_t spikes, Address trace, Address delta, Address delay, Address weight, double min_drive,
                       Address to_input, Address to_shift, Address to_delay, int64_t members, int64_t batch,
                       int64_t inputs, int64_t outputs, int threads) {
    const int64_t rows = members * batch;
    const K& k = kernels_of<T>(int(*in<int64_t>(trace)));
    const bool narrow = is_narrow(k, offsets, outputs);
    const Trace<T> t(trace, !offsets && !narrow, narrow, rows, inputs, outputs);
    if (narrow) {
      with_coefficients(k, rule, delta, t.u, t.drive, delay, min_drive, to_input, to_delay, members, batch, outputs,
                        threads, [&](Address a, Address c, Address f) {
        for_members(members, batch, threads, [&](int64_t m, int team, int64_t row) {
          const int64_t at = row * outputs, first = m * inputs * outputs;
          k.narrow_gradients(in<T>(dense) + row * inputs, batch, inputs, in<T>(t.until) + at, in<T>(a) + at,
                            in<T>(c) + at, to_input ? in<T>(f) + at : nullptr, in<T>(weight) + first, outputs,
                            to_input ? out<T>(to_input) + row * inputs : nullptr,
                            to_shift ? out<T>(to_shift) + first : nullptr, team);
        });
      });
      return true;
    }
    if (!offsets) z = t.z, channel = t.channel, offsets = t.offsets, rest = t.rest;
    else if (!well_formed(k, z, channel, offsets, rest, spikes, rows, inputs)) return false;
    with_coefficients(k, rule, delta, t.u, t.drive, delay, min_drive, to_input, to_delay, members, batch, outputs,
                      threads, [&](Address a, Address c, Address f) {
      if (to_input)
        feedback(k, z, channel, offsets, rest, t.count, f, weight, to_input, members, batch, inputs, outputs, threads);
      if (to_shift)
        plasticity(k, z, channel, offsets, rest, t.count, a, c, to_shift, members, batch, inputs, outputs, threads);
    });
    return true;
  }
  // The rows' own losses, their sum and their errors, the last two times the rows' weights (0: 1 each) over `among`.
  // Returns the first row whose class does not exist, or -1.
  static int64_t cross_entropy(const K& k, Address z, Address target, Address weight, int64_t among, double beta,
                               double smoothing, double horizon, Address loss, Address error, Address of_row,
                               int64_t rows, int64_t classes) {
    const int64_t invalid = k.cross_entropy(in<T>(z), in<int64_t>(target), T(beta), T(smoothing), T(horizon), rows,
                                            classes, out<T>(of_row), out<T>(error));
    double sum = 0;
    for (int64_t r = 0; r < rows && invalid < 0; ++r) {
      const T w = weight ? in<T>(weight)[r] : T(1);
      sum += double(in<T>(of_row)[r]) * w;
      for (int64_t i = 0; i < classes; ++i) out<T>(error)[r * classes + i] *= w / T(among);
    }
    *out<T>(loss) = T(sum / among);
    return invalid;
  }
  // f with the kernels that are in use when it is called.
  template <class R, class... A>
  static auto now(R (*f)(const K&, A...)) {
    return [f](A... a) { return f(kernels_of<T>(in_use()), a...); };
  }
  static void bind(nb::module_ m) {
    const auto release = nb::call_guard<nb::gil_scoped_release>();
    m.def("well_formed", now(well_formed), release);
    m.def("sort_spikes", now(sort), release);
    m.def("sort_levels", now(sort_levels), release);
    m.def("sort_windows", now(sort_windows), release);
    m.def("sum_windows", now(sum_windows), release);
    m.def("first_spike", now(first_spike), release);
    m.def("plasticity", now(plasticity), release);
    m.def("feedback", now(feedback), release);
    m.def("coefficients", now(coefficients), release);
    m.def("trace_bytes", trace_bytes);
    m.def("forward", forward, release);
    m.def("backward", backward, release);
    m.def("cross_entropy", now(cross_entropy), release);
  }
};

// Memory that nobody has touched yet comes in pages of 2 MiB, where the system offers that when asked: fewer faults.
void use_large_pages(Address begin, int64_t bytes) {
#if defined(__linux__)
  const Address page = sysconf(_SC_PAGESIZE), first = (begin + page - 1) / page * page;
  if (begin + bytes > first) madvise(out<void>(first), begin + bytes - first, MADV_HUGEPAGE);
#endif
}

}  // namespace

NB_MODULE(_kernels, m) {
  Binding<float>::bind(m.def_submodule("float32"));
  Binding<double>::bind(m.def_submodule("float64"));
  m.def("use_large_pages", use_large_pages);
#if defined(_OPENMP)
  m.attr("openmp") = true;
#else
  m.attr("openmp") = false;
#endif
  m.def("instruction_sets", [] {
    nb::list sets;
    for (int set = 0; set <= widest(); ++set) sets.append(kSets[set]);
    return sets;
  }, "Those that this machine runs, the widest last.");
  m.def("instruction_set", [] { return kSets[widest()]; }, "The widest set that this machine runs.");
  m.def("set_in_use", [] { return in_use().load(); }, "The index in instruction_sets() of the one whose kernels run.");
  m.def("use_instruction_set", use, "isa"_a, "Run the kernels built for `isa` from now on (for tests).");
}
