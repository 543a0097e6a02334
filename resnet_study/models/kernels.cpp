// Batch norm, the addition of a shortcut, and ReLU, in as few passes over memory as there
// can be. Images lie with their channels innermost, so an image batch (N, C, H, W) is a
// matrix of N*H*W pixels by C channels.
//
// A row is 64 numbers of one or more whole pixels (or one pixel, where it has more channels),
// so that a vector register is full whatever the width of the network. Rows are summed in
// blocks of a fixed size and blocks in their order: results do not depend on the threads.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// bfloat16 is the upper half of a float.
struct bf16 {
    uint16_t bits;
};

inline float load(float value) { return value; }
inline float load(bf16 value) {
    uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}
inline void store(float *place, float value) { *place = value; }
inline void store(bf16 *place, float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    // To the nearest, ties to even; a NaN stays one.
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    place->bits = static_cast<uint16_t>(value != value ? 0x7fc0u : rounded);
}

constexpr int FULL = 64;
constexpr int64_t BLOCK = 256;  // rows; a block stays in the first cache between two passes

struct Shape {
    int64_t pixels;
    int channels, together, lanes;
    int64_t rows, blocks;

    Shape(int64_t pixels, int channels) : pixels(pixels), channels(channels) {
        together = channels < FULL ? FULL / channels : 1;
        while (pixels % together) --together;
        lanes = channels * together;
        rows = pixels / together;
        blocks = (rows + BLOCK - 1) / BLOCK;
    }
    int64_t start(int64_t block) const { return block * BLOCK; }
    int64_t length(int64_t block) const {
        return block + 1 < blocks ? BLOCK : rows - start(block);
    }
};

// Calls a pass for each block, with the number of lanes known to the compiler if it is 64. The
// threads are torch's: the OpenMP that this is linked with may not be the one it has told.
template <typename Pass>
void each_block(int threads, const Shape &shape, Pass pass) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t block = 0; block < shape.blocks; ++block) {
        if (shape.lanes == FULL)
            pass(block, shape.start(block) * FULL, shape.length(block), FULL);
        else
            pass(block, shape.start(block) * shape.lanes, shape.length(block), shape.lanes);
    }
}

#define INLINE __attribute__((always_inline)) inline

template <typename T>
INLINE void mean_and_squares(const T *__restrict__ x, int64_t rows, int lanes,
                             float *__restrict__ mean, float *__restrict__ squares) {
    for (int j = 0; j < lanes; ++j) mean[j] = squares[j] = 0;
    for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
        for (int j = 0; j < lanes; ++j) mean[j] += load(x[r * lanes + j]);
    for (int j = 0; j < lanes; ++j) mean[j] /= rows;
    for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
        for (int j = 0; j < lanes; ++j) {
            float off = load(x[r * lanes + j]) - mean[j];
            squares[j] += off * off;
        }
}

template <typename T>
INLINE void normalise(const T *__restrict__ x, const T *__restrict__ shortcut, T *__restrict__ y,
                      int64_t rows, int lanes, const float *__restrict__ scale,
                      const float *__restrict__ offset) {
    if (shortcut) {
        for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
            for (int j = 0; j < lanes; ++j) {
                int64_t i = r * lanes + j;
                float value = load(x[i]) * scale[j] + offset[j] + load(shortcut[i]);
                store(y + i, value < 0 ? 0.0f : value);
            }
        return;
    }
    for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
        for (int j = 0; j < lanes; ++j) {
            int64_t i = r * lanes + j;
            float value = load(x[i]) * scale[j] + offset[j];
            store(y + i, value < 0 ? 0.0f : value);
        }
}

// Sums over pixels of the gradient behind the ReLU, and of it times the centred input.
// With a shortcut that gradient is the shortcut's own and is written down.
template <typename T>
INLINE void gradient_sums(const T *__restrict__ gradient, const T *__restrict__ y,
                          const T *__restrict__ x, T *__restrict__ behind, int64_t rows,
                          int lanes, const float *__restrict__ mean, float *__restrict__ sum,
                          float *__restrict__ product) {
    for (int j = 0; j < lanes; ++j) sum[j] = product[j] = 0;
    if (behind) {
        for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
            for (int j = 0; j < lanes; ++j) {
                int64_t i = r * lanes + j;
                float g = load(y[i]) > 0 ? load(gradient[i]) : 0.0f;
                store(behind + i, g);
                sum[j] += g;
                product[j] += g * (load(x[i]) - mean[j]);
            }
        return;
    }
    for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
        for (int j = 0; j < lanes; ++j) {
            int64_t i = r * lanes + j;
            float g = load(y[i]) > 0 ? load(gradient[i]) : 0.0f;
            sum[j] += g;
            product[j] += g * (load(x[i]) - mean[j]);
        }
}

template <typename T>
INLINE void input_gradient(const T *__restrict__ gradient, const T *__restrict__ y,
                           const T *__restrict__ x, T *__restrict__ result, int64_t rows,
                           int lanes, const float *__restrict__ a, const float *__restrict__ b,
                           const float *__restrict__ c) {
    if (y) {
        for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
            for (int j = 0; j < lanes; ++j) {
                int64_t i = r * lanes + j;
                float g = load(y[i]) > 0 ? load(gradient[i]) : 0.0f;
                store(result + i, a[j] * g + b[j] * load(x[i]) + c[j]);
            }
        return;
    }
    for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
        for (int j = 0; j < lanes; ++j) {
            int64_t i = r * lanes + j;
            store(result + i, a[j] * load(gradient[i]) + b[j] * load(x[i]) + c[j]);
        }
}

// Mean and (biased) variance per channel; running statistics, where given, move towards them.
template <typename T>
void statistics(int threads, const T *x, const Shape &shape, float *mean, float *variance, float *running_mean,
                float *running_variance, float momentum) {
    const int lanes = shape.lanes;
    std::vector<float> parts(2 * lanes * shape.blocks);
    each_block(threads, shape, [&](int64_t block, int64_t at, int64_t rows, int l) __attribute__((always_inline)) {
        float *part = parts.data() + block * 2 * lanes;
        mean_and_squares(x + at, rows, l, part, part + l);
    });
    for (int c = 0; c < shape.channels; ++c) {
        // Means and squares of parts are joined as in Chan et al. 1979: nothing cancels.
        double count = 0, m = 0, squares = 0;
        for (int64_t block = 0; block < shape.blocks; ++block)
            for (int j = c; j < lanes; j += shape.channels) {
                const float *part = parts.data() + block * 2 * lanes + j;
                double n = shape.length(block), off = part[0] - m, all = count + n;
                m += off * n / all;
                squares += part[lanes] + off * off * count * n / all;
                count = all;
            }
        mean[c] = static_cast<float>(m);
        variance[c] = static_cast<float>(squares / count);
        if (!running_mean) continue;
        running_mean[c] += momentum * (mean[c] - running_mean[c]);
        // The unbiased variance, as torch has it.
        float unbiased = static_cast<float>(squares / (count - 1));
        running_variance[c] += momentum * (unbiased - running_variance[c]);
    }
}

template <typename T>
void apply(int threads, const T *x, const T *shortcut, T *y, const Shape &shape, const float *weight,
           const float *bias, const float *mean, const float *variance, float epsilon) {
    std::vector<float> scale(shape.lanes), offset(shape.lanes);
    for (int j = 0; j < shape.lanes; ++j) {
        int c = j % shape.channels;
        scale[j] = weight[c] / std::sqrt(variance[c] + epsilon);
        offset[j] = bias[c] - mean[c] * scale[j];
    }
    each_block(threads, shape, [&](int64_t, int64_t at, int64_t rows, int lanes) __attribute__((always_inline)) {
        normalise(x + at, shortcut ? shortcut + at : nullptr, y + at, rows, lanes, scale.data(),
                  offset.data());
    });
}

template <typename T>
void backward(int threads, const T *gradient, const T *y, const T *x, T *behind, T *result, const Shape &shape,
              const float *weight, const float *mean, const float *variance, float epsilon,
              float *weight_gradient, float *bias_gradient) {
    const int lanes = shape.lanes;
    std::vector<float> parts(2 * lanes * shape.blocks), means(lanes), a(lanes), b(lanes), c(lanes);
    for (int j = 0; j < lanes; ++j) means[j] = mean[j % shape.channels];
    each_block(threads, shape, [&](int64_t block, int64_t at, int64_t rows, int l) __attribute__((always_inline)) {
        float *part = parts.data() + block * 2 * lanes;
        gradient_sums(gradient + at, y + at, x + at, behind ? behind + at : nullptr, rows, l,
                      means.data(), part, part + l);
    });
    for (int channel = 0; channel < shape.channels; ++channel) {
        double sum = 0, product = 0;
        for (int64_t block = 0; block < shape.blocks; ++block)
            for (int j = channel; j < lanes; j += shape.channels) {
                sum += parts[block * 2 * lanes + j];
                product += parts[block * 2 * lanes + lanes + j];
            }
        double deviation = 1 / std::sqrt(static_cast<double>(variance[channel]) + epsilon);
        double scale = weight[channel] * deviation, n = static_cast<double>(shape.pixels);
        double slope = -scale * deviation * deviation * product / n;
        bias_gradient[channel] = static_cast<float>(sum);
        weight_gradient[channel] = static_cast<float>(product * deviation);
        for (int j = channel; j < lanes; j += shape.channels) {
            a[j] = static_cast<float>(scale);
            b[j] = static_cast<float>(slope);
            c[j] = static_cast<float>(-scale * sum / n - slope * mean[channel]);
        }
    }
    each_block(threads, shape, [&](int64_t, int64_t at, int64_t rows, int l) __attribute__((always_inline)) {
        input_gradient(behind ? behind + at : gradient + at, behind ? nullptr : y + at, x + at,
                       result + at, rows, l, a.data(), b.data(), c.data());
    });
}

}  // namespace

#define EXPORT(T, NAME)                                                                        \
    extern "C" void statistics_##NAME(int threads, const T *x, int64_t pixels, int channels,  \
                                      float *mean, float *variance, float *running_mean,      \
                                      float *running_variance, float momentum) {              \
        statistics(threads, x, Shape(pixels, channels), mean, variance, running_mean,         \
                   running_variance, momentum);                                               \
    }                                                                                         \
    extern "C" void apply_##NAME(int threads, const T *x, const T *shortcut, T *y,            \
                                 int64_t pixels, int channels, const float *weight,           \
                                 const float *bias, const float *mean, const float *variance, \
                                 float epsilon) {                                             \
        apply(threads, x, shortcut, y, Shape(pixels, channels), weight, bias, mean, variance, \
              epsilon);                                                                       \
    }                                                                                         \
    extern "C" void backward_##NAME(int threads, const T *gradient, const T *y, const T *x,   \
                                    T *behind, T *result, int64_t pixels, int channels,       \
                                    const float *weight, const float *mean,                   \
                                    const float *variance, float epsilon,                     \
                                    float *weight_gradient, float *bias_gradient) {           \
        backward(threads, gradient, y, x, behind, result, Shape(pixels, channels), weight,    \
                 mean, variance, epsilon, weight_gradient, bias_gradient);                    \
    }

EXPORT(float, fp32)
EXPORT(bf16, bf16)
