#include "impair/normal.h"

#include "base/real.h"

/* Newton's iteration for tail(z) = tail, from a 'z' not above the root. There
 * the tail is convex, so that it never overshoots; from the point before, five
 * steps leave less than can be told in 26 bits. */
static double
improve(double z, double tail)
{
    for (int i = 0; i < 5; i++)
        z += (nsp_real_normal_tail(z) - tail) / nsp_real_normal_density(z);
    return z;
}

void
nsp_normal_fill(int32_t *points)
{
    double top = 0.5, z = 0;

    for (uint32_t octave = 0; octave < NSP_NORMAL_OCTAVES; octave++) {
        for (uint32_t cell = 0; cell < NSP_NORMAL_CELLS; cell++) {
            z = improve(z, top * (1 - cell / (2.0 * NSP_NORMAL_CELLS)));
            *points++ = (int32_t)(z * (double)NSP_NORMAL_ONE + 0.5);
        }
        top /= 2;
    }
    *points = (int32_t)(improve(z, top) * (double)NSP_NORMAL_ONE + 0.5);
}
