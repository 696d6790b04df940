/* Statistics of contiguous arrays, accumulated in float64.
 *
 * Reassociation is allowed, so that sums run in vector registers; nothing else of -ffast-math is, because NaN and
 * infinity have to survive. All statistics are free of order: any dense layout can be read as a vector.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#pragma clang fp reassociate(on) contract(fast)

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* The slots of sums are given by the build: SUM_MEAN, … are those of an output, SUM_GRADIENT_SQUARES, … those of a
 * parameter; SUMS and PARAMETER_SUMS say how many there are. See `gradlab/statistics.py` and `hatch_build.py`. */
#if !defined(LAYOUT)
#error "compile with the flags of hatch_build.py"
#endif

#define LANES 32
#define BLOCK (1 << 20) /* entries whose counts fit into lanes of 32 bits, however many blocks there are */

typedef double WIDE __attribute__((ext_vector_type(LANES)));

#define T float
#define MASK int32_t
#define OF(name) float32_##name
#include "kernels.inc"
#undef T
#undef MASK
#undef OF

#define T double
#define MASK int64_t
#define OF(name) float64_##name
#include "kernels.inc"

/* The interface's number and the layout of the sums: a library that was compiled for others is not used. */
EXPORT const char *gradlab_layout(void) { return "8;" LAYOUT; }
