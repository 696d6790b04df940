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

/* Slots of an output, in the order of the recorder's buffer. */
enum { MEAN, CENTRED_SQUARES, MINIMUM, MAXIMUM, ZEROS, SATURATED };

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

/* A number that changes with the interface, so that a library left over from an older source is not called. */
EXPORT int64_t gradlab_kernels_version(void) { return 4; }
