// The kernels of one processor, behind one table of functions.
//
// A kernel allocates nothing, starts no thread, keeps no state, checks nothing and cannot fail: the Swift side checks
// shapes once, with messages, and splits work into parts over its workers.
//
// Every table gives the same bits for the same input, because of two rules: each output element is computed by one
// chain of operations whose order depends only on the shapes of the model, and every multiply-add is an explicit fma.
// So the number of workers, the number of tokens in a call, the width of the processor's registers and the number of
// ranks cannot change a result.
//
// `vector/operations.md` says how to add a table or a kernel.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

enum {
    /// The number of output rows that lie side by side in a panel, one in each vector lane.
    CK_LANES = 16,
    /// The most slices of the input dimension (see ck_matrix).
    CK_MAX_SLICES = 8,
    /// The number of consecutive positions in a block of the key-value cache.
    CK_CACHE_BLOCK = 64,
    /// The number of positions in a span, whose attention is computed alone before spans are combined. Spans begin at
    /// multiples of it, counted from the start of the sequence.
    CK_SPAN = 256,
    /// The most elements of a head.
    CK_MAX_HEAD = 512,
    /// The most columns of an input block (see ck_block).
    CK_MAX_BLOCK = 128,
    /// The number of tokens whose inputs lie together (see ck_input). A tile of tokens divides it.
    CK_INPUT_TOKENS = 96,
};

/// How the elements of a packed matrix, or of the key-value cache, are stored.
///
/// Not every format serves every purpose. A function that is given a format which has no meaning for it ends the
/// program. Formats are told apart by `switch` statements without a default, so that the compiler lists what a new one
/// needs.
typedef enum ck_format {
    CK_F32 = 0,
    CK_F16 = 1,
    CK_BF16 = 2,
    CK_INT8 = 3, // signed codes; matrices hold code + 128, with a scale (and zero point) for each row and group
    CK_INT4 = 4, // matrices only: code + 8, two to a byte; scales and zero points as for CK_INT8
    CK_FP8 = 5,  // the cache only: 4 bits of exponent, 3 of mantissa, no infinities (OCP E4M3)
} ck_format;

/// Tells whether elements are whole numbers, which must be multiplied by a scale.
static inline bool ck_is_integer(ck_format format) {
    switch (format) {
    case CK_F32:
    case CK_F16:
    case CK_BF16:
    case CK_FP8: return false;
    case CK_INT8:
    case CK_INT4: return true;
    }
}

/// One worker's share of an operation: share `index` of `count` equal ones.
typedef struct ck_part {
    int32_t index, count;
} ck_part;

/// Consecutive columns of an integer matrix whose inputs share a scale: those of one group and one slice, at most
/// CK_MAX_BLOCK of them. The dot product of a block is an exact whole number, of less than 2^24.
///
/// Blocks begin at whole steps of the matrix: at multiples of 4 columns, or of 8 for INT4. The last one ends at the padded
/// end of the columns.
typedef struct ck_block {
    int32_t begin, end; // columns
    int32_t group;      // of the weight
    bool is_first;      // whether the group, or its part in the slice, begins here
    bool is_last;       // whether it ends here
} ck_block;

/// A weight matrix [rows, columns], packed in panels of 16 rows. Rows past the end are zero.
///
/// Layout of a panel; one "step" is 64 bytes (F32, BF16, INT8, INT4) or 32 (F16):
///   F32   step k:     the 16 rows' weight of column k
///   F16   step k:     the same
///   BF16  step k/2:   for each row the columns k, k+1; padded with zeros to whole runs of pairs
///   INT8  step k/4:   for each row the columns k .. k+3
///   INT4  step k/8:   for each row four bytes: low nibbles hold columns k .. k+3, high nibbles k+4 .. k+7
/// Integer columns are padded to whole steps with the code of zero.
///
/// The sum over the columns is taken slice by slice, each slice in increasing column order from zero,
/// and the slices are added as a tree of neighbours: ((s0+s1)+(s2+s3))+((s4+s5)+(s6+s7)).
typedef struct ck_matrix {
    const void *data;
    const void *_Nullable scales;  // [panel][group][16] of scale_format, integer formats
    const int8_t *_Nullable zeros; // [panel][group][16] zero points, in units of codes; NULL when all are zero
    int64_t rows, columns;
    int64_t group_count; // groups that touch these columns
    ck_format format;
    ck_format scale_format;              // F32, F16 or BF16
    int32_t run;                         // BF16: columns of a run of pairs: 2, 4, 8, 16 or 32
    int32_t slice_count;                 // 1, 2, 4 or 8
    int64_t slice_ends[CK_MAX_SLICES];   // multiples of run but for the last; a slice may be empty
    const ck_block *_Nullable blocks;    // integer formats: all columns, in order
    int32_t slice_blocks[CK_MAX_SLICES]; // integer formats: the number of blocks up to each slice's end
} ck_matrix;

/// Gives the bytes of a column of a packed panel.
static inline int64_t ck_column_bytes(ck_format format) {
    switch (format) {
    case CK_F32: return 64;
    case CK_F16:
    case CK_BF16: return 32;
    case CK_INT8: return 16;
    case CK_INT4: return 8;
    case CK_FP8: __builtin_trap();
    }
}

/// Gives the number of columns with those that pad the last step or run.
static inline int64_t ck_padded_columns(ck_format format, int64_t columns, int32_t run) {
    switch (format) {
    case CK_F32:
    case CK_F16: return columns;
    case CK_BF16: return (columns + run - 1) / run * run;
    case CK_INT8: return (columns + 3) / 4 * 4;
    case CK_INT4: return (columns + 7) / 8 * 8;
    case CK_FP8: __builtin_trap();
    }
}

/// Gives the bytes of one packed panel.
static inline int64_t ck_panel_bytes(ck_format format, int64_t columns, int32_t run) {
    return ck_padded_columns(format, columns, run) * ck_column_bytes(format);
}

/// Packs up to 16 rows of floats ([row_count][columns], rows `stride` apart) into one panel.
void ck_pack_floats(ck_format format, const float *rows, int64_t row_count, int64_t stride, int64_t columns, int32_t run,
                    void *panel);

/// Packs up to 16 rows of signed codes into one panel.
void ck_pack_codes(ck_format format, const int8_t *rows, int64_t row_count, int64_t stride, int64_t columns, void *panel);

/// The input of a product: rows of floats, or the same rows as codes or rounded, which are used instead if they are
/// given.
///
/// Codes and rounded inputs lie by groups of CK_INPUT_TOKENS tokens, of which the last may have fewer. In a group, codes
/// lie as [block][tokens][columns of the block], scales and corrections as [block][tokens], and rounded inputs as
/// [run][tokens][columns of the run]; columns are padded with zeros as the weight's are. So the inputs of a tile of
/// tokens in one block lie together, and all inputs of some groups lie together, too: they take turns in all sets of a
/// cache.
///
/// Tiles read past the last token: 2 KiB after the end of codes and rounded inputs, and 64 bytes after the end of scales
/// and corrections, must be readable.
typedef struct ck_input {
    const float *_Nullable values; // [tokens][value_stride]
    int64_t value_stride;
    const int8_t *_Nullable codes; // for integer weights
    const float *_Nullable scales;
    const int32_t *_Nullable corrections; // -128 times the sum of the block's codes
    const uint16_t *_Nullable rounded;    // bfloat16, for weights of that type
} ck_input;

/// output[t, r] = sum over k of weight[r, k] * input[t, k], + bias[r].
typedef struct ck_matmul {
    const ck_matrix *weight;
    ck_input input;
    int64_t tokens;
    float *output; // [tokens][output_stride]
    int64_t output_stride;
    const float *_Nullable bias; // [rows]
} ck_matmul;

/// codes = round(input * 127 / max|block|), scales = max|block| / 127, for the blocks of a matrix.
///
/// Weights are stored as code + 128. A product with them is too large by 128 times the sum of the input's codes; a
/// correction is that amount, negated.
typedef struct ck_quantize {
    const float *input;
    int64_t input_stride, tokens, columns;
    const ck_block *blocks;
    int64_t block_count;
    int8_t *codes; // these three as in ck_input
    float *scales;
    int32_t *corrections;
} ck_quantize;

/// Inputs rounded to bfloat16, to nearest, ties to even.
typedef struct ck_round {
    const float *input;
    int64_t input_stride, tokens, columns;
    int32_t run;
    uint16_t *rounded; // as in ck_input
} ck_round;

/// The kinds of norms: an RMS norm uses the root mean square of a row, and a layer norm its mean and variance.
typedef enum ck_norm_kind {
    CK_NORM_RMS = 0,   // x / sqrt(mean(x²) + ε)
    CK_NORM_LAYER = 1, // (x - mean) / sqrt(mean((x - mean)²) + ε)
} ck_norm_kind;

/// The weights with which a row of `columns` elements is normalized: normalized x * weight + bias.
typedef struct ck_norm_weights {
    const float *_Nullable weight; // [columns]; for heads, NULL means no norm
    const float *_Nullable bias;   // [columns]
    ck_norm_kind kind;
    float epsilon;
} ck_norm_weights;

/// hidden += delta * delta_scale, if a delta is given; output = the normalized hidden.
typedef struct ck_norm {
    float *hidden; // [tokens][columns]
    const float *_Nullable delta;
    float *output; // may be hidden
    ck_norm_weights norm;
    int64_t tokens, columns;
    float delta_scale;
} ck_norm;

/// a[i] = a[i] * keep + b[i] * scale.
typedef struct ck_add {
    float *a;
    const float *b;
    int64_t count;
    float scale, keep;
} ck_add;

/// The functions that are applied to each element between two products.
typedef enum ck_activation {
    CK_SILU = 0,         // x / (1 + exp(-x))
    CK_GELU = 1,         // x / 2 * (1 + erf(x / √2))
    CK_GELU_TANH = 2,    // x / 2 * (1 + tanh(u)) = x / (1 + exp(-2 u)), u = √(2/π) (x + 0.044715 x³)
    CK_RELU = 3,         // max(x, 0)
    CK_RELU_SQUARED = 4, // max(x, 0)²
    CK_SOFTCAP = 5,      // c * tanh(x / c), c = coefficients[0]
    CK_XIELU = 6,        // p x² + x / 2 where x > 0, else n (exp(x) - 1 - x) + x / 2; coefficients p and n
} ck_activation;

/// output[t, i] = f(input[t, i]) * up[t, i], or f(input[t, i]) without `up`.
typedef struct ck_activate {
    const float *input; // rows `stride` apart, like those of `up`
    const float *_Nullable up;
    float *output; // [tokens][output_stride]; may be `input`
    int64_t stride, output_stride, tokens, columns;
    ck_activation activation;
    float coefficients[2];
} ck_activate;

/// The place in the cache to which a token's keys and values go.
typedef struct ck_slot {
    int32_t block;    // of the cache
    int32_t position; // in the sequence
} ck_slot;

/// One layer's key-value cache on this rank: blocks of 64 positions.
///
/// keys   [block][head][64/16][head_dim][16]: 16 positions side by side, so that scores need no horizontal sum
/// values [block][head][64][value_stride]: value_stride = head_dim rounded up to 16
typedef struct ck_cache {
    void *keys, *values;
    float *_Nullable key_scales, *_Nullable value_scales; // INT8, signed codes: [block][head][64]
    int64_t heads, head_dim, value_stride;
    ck_format format; // F32, F16, BF16, INT8 or FP8
} ck_cache;

/// sums[t, h] = the sum of the squares of head h of row t.
typedef struct ck_squares {
    const float *rows; // [tokens][stride]: heads side by side
    int64_t stride, tokens, heads, head_dim;
    float *sums; // [tokens][sums_stride]
    int64_t sums_stride;
} ck_squares;

/// The norm of query heads, of key heads or of value heads.
typedef struct ck_head_norm {
    ck_norm_weights norm; // of the first head; no weights: heads are not normalized
    int64_t stride;       // from the weights of one head to those of the next; 0 if all heads share them
    // [tokens]: what the elements of all heads are multiplied by besides the weights; NULL: each head is measured
    const float *_Nullable factors;
} ck_head_norm;

/// Normalizes queries, keys and values (if norms are given), rotates queries and keys by their angles, scales queries,
/// and stores keys and values in the cache.
///
/// Rows hold [queries | keys | values], which are changed in place. Of the first `rotated` elements of a head, element i
/// is rotated with element i + rotated / 2. The other elements are only scaled.
typedef struct ck_store {
    float *rows; // [tokens][stride]
    int64_t stride, tokens, query_heads;
    int64_t rotated;                                  // even, 0 to head_dim
    const float *_Nullable cosines, *_Nullable sines; // [tokens][rotated / 2]; needed if any element is rotated
    float query_scale;
    const float *_Nullable query_factors; // [tokens]: a further factor on queries
    ck_head_norm query_norm, key_norm, value_norm;
    bool norms_follow;    // queries and keys are rotated before they are normalized
    const ck_slot *slots; // [tokens]
    ck_cache cache;
} ck_store;

/// Some consecutive tokens of one sequence whose attention is computed together.
typedef struct ck_attention_item {
    int64_t first_row;   // of the tokens in the step
    int64_t token_count; // at least 1
    int64_t first_position;
    const int32_t *blocks; // the sequence's blocks, by position / 64
} ck_attention_item;

/// output[t, h] = sum over j of softmax_j(score[t, h, j]) value[j], j in (position - window, position].
///
/// score = query[t, h] · key[j]; with a cap, cap * tanh(score / cap); with slopes, + slope[h] * (j - position). A sink
/// is one more score of the softmax, which has no value: the weights of a head with a sink add up to less than 1.
typedef struct ck_attend {
    const float *queries; // [tokens][query_stride], scaled
    float *output;        // [tokens][output_stride]
    int64_t query_stride, output_stride;
    const int32_t *head_map; // [query_heads]: the cache head that each query head reads, never decreasing
    int64_t query_heads;
    int64_t window;                // 0: all positions
    float cap;                     // 0: none
    const float *_Nullable slopes; // [query_heads]
    const float *_Nullable sinks;  // [query_heads]
    const ck_attention_item *items;
    int64_t item_count;
    ck_cache cache;
} ck_attend;

/// Gives the first position that a token at `position` sees.
static inline int64_t ck_first_seen(const ck_attend *a, int64_t position) {
    return a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
}

/// Gives the number of spans of which a token at `position` sees a part.
static inline int64_t ck_span_count(const ck_attend *a, int64_t position) {
    return position / CK_SPAN - ck_first_seen(a, position) / CK_SPAN + 1;
}

/// The attention of items of one token each, by spans, so that more workers can share it than there are heads.
///
/// `attend_spans` computes spans [first, first + count) of each item, counted from the first span that its token sees,
/// each alone. `combine_spans` adds them in order to the sums of the spans before, and writes the output after an item's
/// last span. The output has the bits of `attend`.
typedef struct ck_attend_spans {
    const ck_attend *attend;
    int64_t first, count;
    float *spans; // [item][query head][count][row]: a span's vector, its largest score, and the sum of its weights
    float *sums;  // [item][query head][row]: the same of the spans before
    int64_t row;  // floats of a row, at least value_stride + 2
} ck_attend_spans;

/// Reads memory as a product reads weights, and does nothing with it. Its speed is the limit of decoding.
typedef struct ck_read {
    const void *data; // a multiple of 4 KiB for each part
    int64_t bytes;
    float *sinks; // [parts]: keeps the compiler from removing the reads
} ck_read;

/// Multiplies registers by registers as a product of this format does. Its speed is the limit of prompts.
typedef struct ck_peak {
    ck_format format; // of a matrix
    int64_t rounds;
    double *operations; // [parts]: multiplications and additions done
    float *sinks;       // [parts]
} ck_peak;

/// One worker's share of a kernel. The arguments are the struct that the kernel's entry in the table names; all kernels
/// have one type, so that a pool of workers can run any of them.
typedef void (*_Nonnull ck_kernel)(const void *arguments, ck_part part);

/// The kernels of one instruction set. Every entry is set.
typedef struct ck_kernels {
    const char *name;
    /// Whether BF16 weights are multiplied by inputs rounded to bfloat16, with the processor's own instructions. The bits
    /// differ from those of other tables, but are the same for every number of tokens.
    bool rounds_inputs;
    ck_kernel matmul;        // ck_matmul; parts: panels
    ck_kernel quantize;      // ck_quantize; parts: tokens
    ck_kernel round;         // ck_round; parts: tokens
    ck_kernel norm;          // ck_norm; parts: tokens
    ck_kernel add;           // ck_add; parts: elements
    ck_kernel activate;      // ck_activate; parts: columns
    ck_kernel squares;       // ck_squares; parts: tokens
    ck_kernel store;         // ck_store; parts: tokens
    ck_kernel attend;        // ck_attend; parts: (item, cache head) pairs, dealt in turn
    ck_kernel attend_spans;  // ck_attend_spans; parts: (item, cache head, span) triples, dealt in turn
    ck_kernel combine_spans; // ck_attend_spans; parts: (item, query head) pairs, dealt in turn
    ck_kernel read;          // ck_read; parts: bytes
    ck_kernel peak;          // ck_peak; every part does all rounds
} ck_kernels;

/// Gives the table of that name; NULL if no table has the name or this processor cannot run it.
const ck_kernels *_Nullable ck_select(const char *name);

/// Gives the table at an index in order of preference, best last, and whether this processor can run it; NULL past the
/// end.
const ck_kernels *_Nullable ck_table(int32_t index, bool *runs);

/// The makers of processors, as far as the choice of a table depends on them.
enum { CK_OTHER_VENDOR, CK_INTEL, CK_AMD };

/// Gives the maker of this processor.
int32_t ck_vendor(void);

/// Tells whether the table at `index` is fast on processors of that vendor, so that it may be chosen by default.
bool ck_is_fast(int32_t index, int32_t vendor);

/// Binds the calling thread to one processor; false if that is not allowed.
bool ck_bind_thread(int32_t processor);

/// Writes the numbers of the processors that this process may run on, in order and at most `capacity` of them. Returns
/// how many there are.
int32_t ck_allowed_processors(int32_t *out, int32_t capacity);

/// Tells the processor that the caller waits in a loop.
static inline void ck_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#pragma clang assume_nonnull end
