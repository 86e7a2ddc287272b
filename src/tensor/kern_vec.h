/* Vectors of VL floats for kern_tmpl.c: 4, 8 or 16 lanes by the instruction set this file is
 * compiled for. GCC/clang vector extensions wherever they say what is meant; intrinsics for what
 * they cannot say (partial loads, blends, minimum, square root).
 *
 * Everything is static: a copy compiled with AVX-512 must never be linked into generic code. */
#ifndef DUET_KERN_VEC_H
#define DUET_KERN_VEC_H

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX2__)
#define VL 8
#else
#define VL 4
#endif

#define VEC static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint32_t vu __attribute__((vector_size(4 * VL)));
typedef uint16_t vs __attribute__((vector_size(2 * VL)));
typedef double vd __attribute__((vector_size(4 * VL))); /* VL / 2 lanes */

/* Every lane x. Subtracting zero keeps -0 and NaN, so compilers reduce it to the broadcast. */
VEC vf splat(float x) {
    return x - (vf){0};
}

/* Lanes [0, k) from p, 0 < k <= VL, the others zero. With k == VL known at compile time it is one
 * unaligned load; otherwise nothing outside p[0, k) is touched. */
VEC vf load(const float *p, int k) {
    vf v = {0};
    if (k == VL) {
        memcpy(&v, p, sizeof v);
        return v;
    }
#if VL == 16
    v = (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << k) - 1), p);
#else
    float part[VL] = {0};
    for (int l = 0; l < VL - 1; l++) /* constant bounds: stays in registers */
        if (l < k) memcpy(part + l, p + l, sizeof *p);
    memcpy(&v, part, sizeof v);
#endif
    return v;
}

/* Lanes [0, k) of v to p. */
VEC void store(float *p, vf v, int k) {
    if (k == VL) {
        memcpy(p, &v, sizeof v);
        return;
    }
#if VL == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << k) - 1), (__m512)v);
#else
    float part[VL];
    memcpy(part, &v, sizeof v);
    for (int l = 0; l < VL - 1; l++)
        if (l < k) memcpy(p + l, part + l, sizeof *p);
#endif
}

VEC vs load16(const uint16_t *p, int k) {
    vs v = {0};
    if (k == VL) {
        memcpy(&v, p, sizeof v);
        return v;
    }
    uint16_t part[VL] = {0};
    for (int l = 0; l < VL - 1; l++)
        if (l < k) memcpy(part + l, p + l, sizeof *p);
    memcpy(&v, part, sizeof v);
    return v;
}

VEC void store16(uint16_t *p, vs v, int k) {
    if (k == VL) {
        memcpy(p, &v, sizeof v);
        return;
    }
    uint16_t part[VL];
    memcpy(part, &v, sizeof v);
    for (int l = 0; l < VL - 1; l++)
        if (l < k) memcpy(p + l, part + l, sizeof *p);
}

VEC vu widen_u16(vs v) {
#if VL == 8 /* compilers would do it by halves */
    return (vu)_mm256_cvtepu16_epi32((__m128i)v);
#else
    return __builtin_convertvector(v, vu);
#endif
}

/* 2 VL numbers: those of even and those of odd place. */
VEC void load_pairs(const float *p, vf *even, vf *odd) {
#if VL == 16
    const __m512i low = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512 a = (__m512)load(p, VL), b = (__m512)load(p + VL, VL);
    *even = (vf)_mm512_permutex2var_ps(a, low, b);
    *odd = (vf)_mm512_permutex2var_ps(a, _mm512_or_si512(low, _mm512_set1_epi32(1)), b);
#elif VL == 8
    const __m256 a = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
                                          _mm_loadu_ps(p + 8), 1),
                 b = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 4)),
                                          _mm_loadu_ps(p + 12), 1);
    *even = (vf)_mm256_shuffle_ps(a, b, 0x88);
    *odd = (vf)_mm256_shuffle_ps(a, b, 0xdd);
#else
    *even = (vf){p[0], p[2], p[4], p[6]};
    *odd = (vf){p[1], p[3], p[5], p[7]};
#endif
}

/* Of 2 VL halves: even ones are the upper halves of a, odd ones those of b. */
VEC vu upper_halves(vu a, vu b) {
#if VL == 16
    return (vu)_mm512_mask_blend_epi16(0xAAAAAAAA, (__m512i)(a >> 16), (__m512i)b);
#elif VL == 8
    return (vu)_mm256_blend_epi16((__m256i)(a >> 16), (__m256i)b, 0xAA);
#else
    return (a >> 16) | (b & 0xFFFF0000u);
#endif
}

/* The highest bit of lane l is number from + step l of bits. */
VEC vu bits_of_lanes(uint32_t bits, const int from, const int step) {
    vu n = {0};
#if VL == 4 /* no shift by lanes */
    for (int l = 0; l < VL; l++) n[l] = 1u << (from + step * l);
    return (vu)((((vu){0} + bits) & n) == n);
#else
    for (int l = 0; l < VL; l++) n[l] = (uint32_t)(31 - from - step * l);
    return ((vu){0} + bits) << n;
#endif
}

/* a where the highest bit of `by` is set, else -a, which minus is. */
VEC vf plus_or_minus(vf a, vf minus, vu by) {
#if VL == 8
    return (vf)_mm256_blendv_ps((__m256)minus, (__m256)a, (__m256)by);
#else
    (void)a;
    return (vf)((by & 0x80000000u) ^ (vu)minus);
#endif
}

/* x: keeps compilers from fusing the product that it is with a sum. */
VEC vf rounded(vf x) {
#if defined(__x86_64__)
    __asm__("" : "+x"(x));
#else
    volatile vf kept = x;
    x = kept;
#endif
    return x;
}

/* All bits where a or b is NaN. */
VEC vu unordered(vf a, vf b) {
#if VL == 8
    return (vu)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_UNORD_Q);
#else
    return (vu)(a != a) | (vu)(b != b);
#endif
}

/* Is any bit set? */
VEC int any(vu m) {
#if VL == 16
    return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0;
#elif VL == 8
    return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#else
    uint64_t w[2];
    memcpy(w, &m, sizeof w);
    return (w[0] | w[1]) != 0;
#endif
}

#if VL > 4
/* f16 and f32, as half.h has them. */
VEC vs narrow16(vf x) {
#if VL == 16
    return (vs)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT);
#else
    return (vs)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
#endif
}

VEC vf widen16(vs h) {
#if VL == 16
    return (vf)_mm512_cvtph_ps((__m256i)h);
#else
    return (vf)_mm256_cvtph_ps((__m128i)h);
#endif
}

/* VL int8. */
VEC vf load8(const void *p) {
#if VL == 16
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
#else
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)));
#endif
}
#endif

/* VL whole numbers that fit in int8. */
VEC void store8(void *p, vi v) {
#if VL == 16
    _mm_storeu_si128(p, _mm512_cvtepi32_epi8((__m512i)v));
#elif VL == 8
    const __m128i h = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v),
                                      _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64(p, _mm_packs_epi16(h, h));
#elif defined(__x86_64__)
    const __m128i h = _mm_packs_epi32((__m128i)v, (__m128i)v);
    const int32_t four = _mm_cvtsi128_si32(_mm_packs_epi16(h, h));
    memcpy(p, &four, sizeof four);
#else
    for (int l = 0; l < VL; l++) ((int8_t *)p)[l] = (int8_t)v[l];
#endif
}

/* a < b ? x : y in each lane; NaN compares false. */
VEC vf where_lt(vf a, vf b, vf x, vf y) {
#if VL == 16
    return (vf)_mm512_mask_blend_ps(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ), (__m512)y,
                                    (__m512)x);
#elif VL == 8
    return (vf)_mm256_blendv_ps((__m256)y, (__m256)x,
                                _mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ));
#else
    vi m = a < b;
    return (vf)((m & (vi)x) | (~m & (vi)y));
#endif
}

/* a < b ? 0 : y in each lane; NaN compares false. */
VEC vf zero_lt(vf a, vf b, vf y) {
#if VL == 16
    return (vf)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_NLT_UQ),
                                   (__m512)y);
#elif VL == 8
    return (vf)_mm256_andnot_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ), (__m256)y);
#else
    return (vf)(~(vu)(a < b) & (vu)y);
#endif
}

/* a < b ? a : b: where either is NaN, b. */
VEC vf vmin(vf a, vf b) {
#if VL == 16
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif VL == 8
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return where_lt(a, b, a, b);
#endif
}

/* b < a ? a : b: where either is NaN, b. */
VEC vf vmax(vf a, vf b) {
#if VL == 16
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif VL == 8
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return where_lt(b, a, a, b);
#endif
}

VEC vf vsqrt(vf a) {
#if VL == 16
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif VL == 8
    return (vf)_mm256_sqrt_ps((__m256)a);
#elif defined(__x86_64__)
    return (vf)_mm_sqrt_ps((__m128)a);
#else
    for (int l = 0; l < VL; l++) a[l] = __builtin_sqrtf(a[l]);
    return a;
#endif
}

VEC vf vabs(vf a) {
    return (vf)((vu)a & 0x7FFFFFFFu);
}

/* The sign bit of s ? x : y in each lane. */
VEC vf where_minus(vf s, vf x, vf y) {
#if VL == 16
    return (vf)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)s), (__m512)y, (__m512)x);
#elif VL == 8
    return (vf)_mm256_blendv_ps((__m256)y, (__m256)x, (__m256)s);
#else
    vi m = (vi)s >> 31;
    return (vf)((m & (vi)x) | (~m & (vi)y));
#endif
}

/* |a| with the sign of s; a >= 0. */
VEC vf with_sign(vf a, vf s) {
    return (vf)((vu)a | ((vu)s & 0x80000000u));
}

/* Lanes [0, k) of v, the others zero. */
VEC vf first(vf v, int k) {
    if (k == VL) return v;
    float part[VL];
    memcpy(part, &v, sizeof v);
    for (int l = 0; l < VL; l++)
        if (l >= k) part[l] = 0;
    memcpy(&v, part, sizeof v);
    return v;
}

/* Exact widening of lanes [0, VL/2) and [VL/2, VL). */
VEC vd low(vf v) {
#if VL == 16
    return (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v));
#elif VL == 8
    return (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v));
#elif defined(__x86_64__)
    return (vd)_mm_cvtps_pd((__m128)v);
#else
    return (vd){(double)v[0], (double)v[1]};
#endif
}

VEC vd high(vf v) {
#if VL == 16
    return (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)v, 1));
#elif VL == 8
    return (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1));
#elif defined(__x86_64__)
    return (vd)_mm_cvtps_pd(_mm_movehl_ps((__m128)v, (__m128)v));
#else
    return (vd){(double)v[2], (double)v[3]};
#endif
}

/* Sums of the lanes, by halves: lane l meets lane l + VL/2, and so on. */
VEC float lanes_sum(vf v) {
    float s[VL];
    memcpy(s, &v, sizeof v);
    for (int w = VL / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) s[l] += s[l + w];
    return s[0];
}

VEC double lanes_sum_d(vd v) {
    double s[VL / 2];
    memcpy(s, &v, sizeof v);
    for (int w = VL / 4; w > 0; w /= 2)
        for (int l = 0; l < w; l++) s[l] += s[l + w];
    return s[0];
}

VEC float lanes_max(vf v) {
    float s[VL];
    memcpy(s, &v, sizeof v);
    for (int w = VL / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) s[l] = s[l] > s[l + w] ? s[l] : s[l + w];
    return s[0];
}

/* Runs the statements for i = 0, VL, 2 VL, ... with k lanes at a time: k is VL, known to the
 * compiler, in the main loop and n - i < VL in the tail, so load() and store() specialise. */
#define EACH(n, ...)                                                                               \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (; i + VL <= (n); i += VL) {                                                           \
            enum { k = VL };                                                                       \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (i < (n)) {                                                                             \
            const int k = (int)((n)-i);                                                            \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
