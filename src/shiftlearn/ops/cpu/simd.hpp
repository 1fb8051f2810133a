// Vectors of the compiler's own kind (GCC and Clang), plus the few operations that they lack.
// VECTOR_BYTES is set by the including isa_*.cpp.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace shiftlearn::SHIFTLEARN_ISA {
namespace {

template <class T> struct IntegerOf;
template <> struct IntegerOf<float> { using type = int32_t; };
template <> struct IntegerOf<double> { using type = int64_t; };

template <class T>
struct Simd {
  using I = typename IntegerOf<T>::type;
  static constexpr int width = VECTOR_BYTES / sizeof(T);
  typedef T V __attribute__((vector_size(VECTOR_BYTES)));
  typedef I M __attribute__((vector_size(VECTOR_BYTES)));

  static V load(const T* p) { V v; std::memcpy(&v, p, sizeof v); return v; }
  static void store(T* p, V v) { std::memcpy(p, &v, sizeof v); }
  static V fill(T x) { return V{} + x; }
  static M load_count(const int32_t* p, int n) {
    I lanes[width] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    M m;
    std::memcpy(&m, lanes, sizeof m);
    return m;
  }
  static void store_count(int32_t* p, M m, int n) {
    if (sizeof(I) == sizeof *p && n == width) std::memcpy(p, &m, sizeof m);
    else
      for (int i = 0; i < n; ++i) p[i] = int32_t(m[i]);
  }

  // A set of lanes, K: bits where the machine has mask registers, else all-ones and all-zero lanes. &, | and ~ work.
  // Comparisons with NaN are false.
#if defined(__AVX512F__)
  static constexpr bool free_masks = true;  // an addition may leave lanes out at no cost
  using K = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;
  static K first(int n) { return K((1u << n) - 1); }
  static bool any(K k) { return k != 0; }
  static K not_negative(V v) {
    if constexpr (sizeof(T) == 4) return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GE_OQ);
    else return _mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_GE_OQ);
  }
  static K positive(V v) {
    if constexpr (sizeof(T) == 4) return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GT_OQ);
    else return _mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_GT_OQ);
  }
  static K greater(M m, I k) {
    if constexpr (sizeof(T) == 4) return _mm512_cmpgt_epi32_mask((__m512i)m, _mm512_set1_epi32(k));
    else return _mm512_cmpgt_epi64_mask((__m512i)m, _mm512_set1_epi64(k));
  }
  static K at_most(V v, T x) {
    if constexpr (sizeof(T) == 4) return _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(x), _CMP_LE_OQ);
    else return _mm512_cmp_pd_mask((__m512d)v, _mm512_set1_pd(x), _CMP_LE_OQ);
  }
  // The lanes of k whose v is not 0 or more.
  static K without(K k, V v) {
    if constexpr (sizeof(T) == 4) return _mm512_mask_cmp_ps_mask(k, (__m512)v, _mm512_setzero_ps(), _CMP_NGE_UQ);
    else return _mm512_mask_cmp_pd_mask(k, (__m512d)v, _mm512_setzero_pd(), _CMP_NGE_UQ);
  }
  // a + b in the lanes of k, a in the others.
  static V add(K k, V a, V b) {
    if constexpr (sizeof(T) == 4) return (V)_mm512_mask_add_ps((__m512)a, k, (__m512)a, (__m512)b);
    else return (V)_mm512_mask_add_pd((__m512d)a, k, (__m512d)a, (__m512d)b);
  }
  static M increment(K k, M m) {
    if constexpr (sizeof(T) == 4) return (M)_mm512_mask_add_epi32((__m512i)m, k, (__m512i)m, _mm512_set1_epi32(1));
    else return (M)_mm512_mask_add_epi64((__m512i)m, k, (__m512i)m, _mm512_set1_epi64(1));
  }
  static V load(const T* p, K k) {
    if constexpr (sizeof(T) == 4) return (V)_mm512_maskz_loadu_ps(k, p);
    else return (V)_mm512_maskz_loadu_pd(k, p);
  }
  static void store(T* p, V v, K k) {
    if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(p, k, (__m512)v);
    else _mm512_mask_storeu_pd(p, k, (__m512d)v);
  }
  static M select(K k, M a, M b) {
    if constexpr (sizeof(T) == 4) return (M)_mm512_mask_mov_epi32((__m512i)b, k, (__m512i)a);
    else return (M)_mm512_mask_mov_epi64((__m512i)b, k, (__m512i)a);
  }
  static T sum(V v) {
    if constexpr (sizeof(T) == 4) return _mm512_reduce_add_ps((__m512)v);
    else return _mm512_reduce_add_pd((__m512d)v);
  }
#else
  static constexpr bool free_masks = false;
  using K = M;
  static K first(int n) {
    M index{};
    for (int i = 0; i < width; ++i) index[i] = i;
    return index < M{} + I(n);
  }
  static K not_negative(V v) { return v >= 0; }
  static K positive(V v) { return v > 0; }
  static K at_most(V v, T x) { return v <= x; }
  static K without(K k, V v) { return k & ~(v >= 0); }
  static V add(K k, V a, V b) { return a + keep(k, b); }
  static M increment(K k, M m) { return m - k; }
  static K greater(M m, I k) { return m > k; }
  static M select(K k, M a, M b) { return k < 0 ? a : b; }
#if defined(__AVX2__)
  static T sum(V v) {
    if constexpr (sizeof(T) == 4) {
      __m128 x = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
      x = _mm_add_ps(x, _mm_movehl_ps(x, x));
      return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
    } else {
      const __m128d x = _mm_add_pd(_mm256_castpd256_pd128((__m256d)v), _mm256_extractf128_pd((__m256d)v, 1));
      return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
    }
  }
  static bool any(K k) { return !_mm256_testz_si256((__m256i)k, (__m256i)k); }
  static V load(const T* p, K k) {
    if constexpr (sizeof(T) == 4) return (V)_mm256_maskload_ps(p, (__m256i)k);
    else return (V)_mm256_maskload_pd(p, (__m256i)k);
  }
  static void store(T* p, V v, K k) {
    if constexpr (sizeof(T) == 4) _mm256_maskstore_ps(p, (__m256i)k, (__m256)v);
    else _mm256_maskstore_pd(p, (__m256i)k, (__m256d)v);
  }
#else
  static T sum(V v) {
    for (int half = width / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) v[i] += v[i + half];
    return v[0];
  }
  static bool any(K k) {
    I all = 0;
    for (int i = 0; i < width; ++i) all |= k[i];
    return all != 0;
  }
  static V load(const T* p, K k) {
    V v{};
    for (int i = 0; i < width; ++i)
      if (k[i]) v[i] = p[i];
    return v;
  }
  static void store(T* p, V v, K k) {
    for (int i = 0; i < width; ++i)
      if (k[i]) p[i] = v[i];
  }
#endif
#endif
  // p[k + more] of every lane's k.
  static V gather(const T* p, M k, int more = 0) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return (V)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), K(-1), (__m512i)k, p + more, 4);
    else return (V)_mm512_mask_i64gather_pd(_mm512_setzero_pd(), K(-1), (__m512i)k, p + more, 8);
#else
    T lanes[width];
    for (int i = 0; i < width; ++i) lanes[i] = p[k[i] + more];
    return load(lanes);
#endif
  }
  static V select(K k, V a, V b) { return (V)select(k, (M)a, (M)b); }
  static V keep(K k, V v) { return (V)select(k, (M)v, M{}); }
};

}  // namespace
}  // namespace shiftlearn::SHIFTLEARN_ISA
