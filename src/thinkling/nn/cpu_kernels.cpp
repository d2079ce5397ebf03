// What a decoder does to new positions of many sequences, apart from its matrix products: norms, SwiGLU's product, and
// attention over a cache. Compiled by cpu_kernels.py for the processor it runs on.
//
// Tensors are contiguous, in fp32 or bf16; everything in between is fp32 and rounded once, at the end.
// Shapes: R rows (sequences), S new positions of each, N query heads, K key and value heads, G = N / K, E head size,
// C capacity of the cache.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

using Int = std::int64_t;
using BFloat16 = std::uint16_t;  // the upper half of a float

// As many numbers at once as the processor has room for in a register: compilers take wider vectors apart badly.
#if defined(__AVX512F__)
#define REGISTER 64
#elif defined(__AVX2__)
#define REGISTER 32
#else
#define REGISTER 16
#endif
constexpr Int LANES = REGISTER / sizeof(float);
using Floats = float __attribute__((vector_size(REGISTER)));
using Words = std::uint32_t __attribute__((vector_size(REGISTER)));

template <class To, class From>
To same_bits(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "bits are neither added nor lost");
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

float load(const float* x) { return *x; }
float load(const BFloat16* x) { return same_bits<float>(std::uint32_t(*x) << 16); }

// Neighbours as two vectors: of floats one half after the other; of bf16 those at even places and those at odd ones,
// because taking a word apart is quicker than spreading halves over words.
struct Pair {
    Floats first, second;
};
Pair load_pair(const float* x) {
    Pair pair;  // copied one vector after the other, which compilers keep in registers
    std::memcpy(&pair.first, x, sizeof(Floats));
    std::memcpy(&pair.second, x + LANES, sizeof(Floats));
    return pair;
}
Pair load_pair(const BFloat16* x) {
    Words words;
    std::memcpy(&words, x, sizeof(words));
    return {same_bits<Floats>(words << 16), same_bits<Floats>(words & 0xffff0000)};
}
void store_pair(float* to, const Pair& pair) {
    std::memcpy(to, &pair.first, sizeof(Floats));
    std::memcpy(to + LANES, &pair.second, sizeof(Floats));
}
void store_pair(BFloat16* to, const Pair& pair) {  // rounded as `store` does
    const auto rounded = [](Words bits) { return bits + 0x7fff + ((bits >> 16) & 1); };
    const Words words = (rounded(same_bits<Words>(pair.first)) >> 16) |
                        (rounded(same_bits<Words>(pair.second)) & 0xffff0000);
    std::memcpy(to, &words, sizeof(words));
}
// In their order, a pair that was computed from those of a tensor of floats, or of bf16.
void store_in_order(float* to, const Pair& pair, const float*) { store_pair(to, pair); }
void store_in_order(float* to, const Pair& pair, const BFloat16*) {
    for (Int i = 0; i < LANES; i++) {
        to[2 * i] = pair.first[i];
        to[2 * i + 1] = pair.second[i];
    }
}
constexpr Int PAIR = 2 * LANES;

void store(float* to, float x) { *to = x; }
void store(BFloat16* to, float x) {  // to the nearest, ties to even
    const auto bits = same_bits<std::uint32_t>(x);
    *to = BFloat16((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// e^x to within two units in the last place, of one number or of several: 2^n e^r with |r| <= ln(2) / 2; the polynomial
// is that of Cephes' expf.
template <class Bits, class X>
X exponential(X x) {
    const X round = X{} + 12582912.0f;  // 1.5 * 2^23: adding it leaves no fraction
    const X lowest = X{} - 87.0f, highest = X{} + 87.0f;
    x = x < lowest ? lowest : x;
    x = x > highest ? highest : x;
    const X shifted = x * 1.44269504f + round;
    const X n = shifted - round;
    const X r = x - n * 0.693359375f + n * 2.12194440e-4f;
    X p = X{} + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return same_bits<X>(same_bits<Bits>(p) + (same_bits<Bits>(shifted) << 23));
}
float exponential(float x) { return exponential<std::uint32_t>(x); }
Pair exponential(const Pair& x) { return {exponential<Words>(x.first), exponential<Words>(x.second)}; }

float total(const Floats& x) {  // in pairs of pairs, because one after the other waits for each addition
    float lanes[LANES];
    std::memcpy(lanes, &x, sizeof(lanes));
    for (Int half = LANES / 2; half > 0; half /= 2)
        for (Int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

template <class T>
float sum_of_squares(const T* x, Int count) {
    Floats sums = {};
    Int i = 0;
    for (; i + PAIR <= count; i += PAIR) {
        const Pair pair = load_pair(x + i);
        sums += pair.first * pair.first + pair.second * pair.second;
    }
    float sum = total(sums);
    for (; i < count; i++) sum += load(x + i) * load(x + i);
    return sum;
}

// out[g, j] = sum over i of weights[g, i] * rows[i, j], for COUNT sums and PAIRS pairs of vectors of columns: so many
// stay in registers.
template <int COUNT, int PAIRS, class T>
void weighted_block(const float* weights, Int weights_apart, const T* rows, Int number, Int rows_apart, float* out,
                    Int out_apart) {
    Pair sums[COUNT][PAIRS] = {};
    for (Int i = 0; i < number; i++)
#pragma GCC unroll 8
        for (int p = 0; p < PAIRS; p++) {
            const Pair row = load_pair(rows + i * rows_apart + p * PAIR);
#pragma GCC unroll 8
            for (int g = 0; g < COUNT; g++) {
                sums[g][p].first += weights[g * weights_apart + i] * row.first;
                sums[g][p].second += weights[g * weights_apart + i] * row.second;
            }
        }
    for (int g = 0; g < COUNT; g++)
        for (int p = 0; p < PAIRS; p++) store_in_order(out + g * out_apart + p * PAIR, sums[g][p], rows);
}

// The same for any number of columns.
template <int COUNT, class T>
void weighted_some(const float* weights, Int weights_apart, const T* rows, Int number, Int rows_apart, Int columns,
                   float* out, Int out_apart) {
    Int j = 0;
    for (; j + 2 * PAIR <= columns; j += 2 * PAIR)
        weighted_block<COUNT, 2>(weights, weights_apart, rows + j, number, rows_apart, out + j, out_apart);
    for (; j + PAIR <= columns; j += PAIR)
        weighted_block<COUNT, 1>(weights, weights_apart, rows + j, number, rows_apart, out + j, out_apart);
    for (; j < columns; j++)
        for (int g = 0; g < COUNT; g++) {
            float sum = 0;
            for (Int i = 0; i < number; i++) sum += weights[g * weights_apart + i] * load(rows + i * rows_apart + j);
            out[g * out_apart + j] = sum;
        }
}

// The same for any number of sums: up to four at once, so that a row is read for all of them together.
template <class T>
void weighted(Int count, const float* weights, Int weights_apart, const T* rows, Int number, Int rows_apart,
              Int columns, float* out, Int out_apart) {
    for (Int g = 0; g < count; g += 4) {
        const auto some = count - g == 1   ? weighted_some<1, T>
                          : count - g == 2 ? weighted_some<2, T>
                          : count - g == 3 ? weighted_some<3, T>
                                           : weighted_some<4, T>;
        some(weights + g * weights_apart, weights_apart, rows, number, rows_apart, columns, out + g * out_apart,
             out_apart);
    }
}

// A query or key, normed, rotated and multiplied with `scale`; `sin` carries the sign of the first half.
template <class T>
void turned(const T* __restrict x, const T* __restrict weight, const float* __restrict cos,
            const float* __restrict sin, Int size, float eps, float scale, float* __restrict out) {
    const float factor = scale / std::sqrt(sum_of_squares(x, size) / size + eps);
    const Int half = size / 2;
    for (Int e = 0; e < half; e++) {
        const float first = load(x + e) * factor * load(weight + e);
        const float second = load(x + e + half) * factor * load(weight + e + half);
        out[e] = first * cos[e] + second * sin[e];
        out[e + half] = second * cos[e + half] + first * sin[e + half];
    }
}

template <class T>
void store_all(T* __restrict to, const float* __restrict x, Int count, float factor) {
    for (Int i = 0; i < count; i++) store(to + i, x[i] * factor);
}

// Scores [columns], of which `seen` count, become e^(score - highest); their sum. The others become next to nothing:
// whole vectors are quicker than the rest of one.
float exponentials(float* scores, Int seen, Int columns) {
    std::fill(scores + seen, scores + columns, -std::numeric_limits<float>::infinity());
    float highest = scores[0];
#pragma omp simd reduction(max : highest)
    for (Int t = 0; t < columns; t++) highest = scores[t] > highest ? scores[t] : highest;
    Floats sums = {};
    Int t = 0;
    for (; t + PAIR <= columns; t += PAIR) {
        Pair pair = load_pair(scores + t);
        pair = exponential(Pair{pair.first - highest, pair.second - highest});
        store_pair(scores + t, pair);
        sums += pair.first + pair.second;
    }
    float sum = total(sums);
    for (; t < columns; t++) sum += scores[t] = exponential(scores[t] - highest);
    return sum;
}

// x [R, width] / sqrt(mean of squares + eps) * weight [width].
template <class T>
void norm(const T* x, const T* weight, T* out, Int rows, Int width, float eps, int threads) {
#pragma omp parallel for num_threads(threads)
    for (Int r = 0; r < rows; r++) {
        const T* row = x + r * width;
        const float factor = 1 / std::sqrt(sum_of_squares(row, width) / width + eps);
        for (Int i = 0; i < width; i++) store(out + r * width + i, load(row + i) * factor * load(weight + i));
    }
}

// x [R, 2 * width], gates before values: silu(gate) * value.
template <class T>
void gated(const T* x, T* out, Int rows, Int width, int threads) {
#pragma omp parallel for num_threads(threads)
    for (Int r = 0; r < rows; r++) {
        const T *gate = x + 2 * r * width, *value = gate + width;
        T* to = out + r * width;
        Int i = 0;
        for (; i + PAIR <= width; i += PAIR) {
            const Pair g = load_pair(gate + i), v = load_pair(value + i), e = exponential(Pair{-g.first, -g.second});
            store_pair(to + i, {g.first / (1 + e.first) * v.first, g.second / (1 + e.second) * v.second});
        }
        for (; i < width; i++) {
            const float g = load(gate + i);
            store(to + i, g / (1 + exponential(-g)) * load(value + i));
        }
    }
}

// Keeps the new keys and values of every row, and lets each new query look at all keys up to its own.
//
// heads: [R, S, N + 2 K, E] queries, keys and values as the product gave them; weights: [N + K, E]; cos, sin: [C, E] or
// longer, by position; keys: [R, K, E, C]; values: [R, K, C, E]; lengths: [R] positions that are filled;
// out: [R, S, N, E].
template <class T>
void attend(const T* heads, const T* weights, const float* cos, const float* sin, T* keys, T* values,
            const Int* lengths, T* out, Int R, Int S, Int N, Int K, Int E, Int C, float eps, int threads) {
    const Int G = N / K;
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> queries(G * E), key(E), scores(G * C), mixed(G * E), sums(G);
        std::vector<T> kept(E);
        const auto turn = [&](Int r, Int s, Int head, float scale, float* to) {
            const Int place = lengths[r] + s;
            turned(heads + ((r * S + s) * (N + 2 * K) + head) * E, weights + head * E, cos + place * E, sin + place * E,
                   E, eps, scale, to);
        };
        const auto keep = [&](Int r, Int k, Int s) {
            const Int place = lengths[r] + s;
            turn(r, s, N + k, 1, key.data());
            store_all(kept.data(), key.data(), E, 1);
            for (Int e = 0; e < E; e++) keys[((r * K + k) * E + e) * C + place] = kept[e];
            std::memcpy(values + ((r * K + k) * C + place) * E, heads + ((r * S + s) * (N + 2 * K) + N + K + k) * E,
                        E * sizeof(T));
        };
        const auto mix = [&](Int r, Int k, Int s) {
            const Int seen = lengths[r] + s + 1;
            const Int columns = std::min((seen + PAIR - 1) / PAIR * PAIR, C);  // the last ones are ignored
            for (Int g = 0; g < G; g++) turn(r, s, k * G + g, 1 / std::sqrt(float(E)), &queries[g * E]);
            weighted(G, queries.data(), E, keys + (r * K + k) * E * C, E, C, columns, scores.data(), C);
            for (Int g = 0; g < G; g++) sums[g] = exponentials(&scores[g * C], seen, columns);
            weighted(G, scores.data(), C, values + (r * K + k) * C * E, seen, E, E, mixed.data(), E);
            T* to = out + ((r * S + s) * N + k * G) * E;
            for (Int g = 0; g < G; g++) store_all(to + g * E, &mixed[g * E], E, 1 / sums[g]);
        };
        const auto fetch = [](const T* from, Int count) {
            for (Int i = 0; i < count; i += 64 / sizeof(T)) __builtin_prefetch(from + i);  // a cache line each
        };
        if (S == 1) {  // waiting for memory takes longest: the own values and the next keys are asked for ahead
#pragma omp for
            for (Int i = 0; i < R * K; i++) {
                fetch(values + i * C * E, (lengths[i / K] + 1) * E);
                if (i + 1 < R * K)
                    for (Int e = 0; e < E; e++) fetch(keys + ((i + 1) * E + e) * C, lengths[(i + 1) / K] + 1);
                keep(i / K, i % K, 0);
                mix(i / K, i % K, 0);
            }
        } else {
#pragma omp for
            for (Int i = 0; i < R * K; i++)
                for (Int s = 0; s < S; s++) keep(i / K, i % K, s);
#pragma omp for
            for (Int i = 0; i < R * K * S; i++) mix(i / S / K, i / S % K, i % S);
        }
    }
}

}  // namespace

#define EXPORTED(TYPE, NAME)                                                                                       \
    extern "C" void norm_##NAME(const TYPE* x, const TYPE* weight, TYPE* out, Int rows, Int width, float eps,      \
                                int threads) {                                                                     \
        norm(x, weight, out, rows, width, eps, threads);                                                           \
    }                                                                                                              \
    extern "C" void gated_##NAME(const TYPE* x, TYPE* out, Int rows, Int width, int threads) {                     \
        gated(x, out, rows, width, threads);                                                                       \
    }                                                                                                              \
    extern "C" void attend_##NAME(const TYPE* heads, const TYPE* weights, const float* cos, const float* sin,      \
                                  TYPE* keys, TYPE* values, const Int* lengths, TYPE* out, Int R, Int S, Int N,    \
                                  Int K, Int E, Int C, float eps, int threads) {                                   \
        attend(heads, weights, cos, sin, keys, values, lengths, out, R, S, N, K, E, C, eps, threads);              \
    }

EXPORTED(float, float32)
EXPORTED(BFloat16, bfloat16)
