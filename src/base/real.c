#include "base/real.h"

#include "base/base.h"

/* The logarithm of 2 in two parts, the first with zeros at its end so that its
 * product with a small whole number is exact. */
#define LN2_HIGH 0x1.62e42fefa0000p-1
#define LN2_LOW  0x1.cf79abc9e3b3ap-40
#define SQRT2    0x1.6a09e667f3bcdp+0
#define SQRT_2PI 0x1.40d931ff62705p+1

double
nsp_real_exp(double x)
{
    double halves = x / (LN2_HIGH + LN2_LOW);
    int power = (int)(halves + (halves < 0 ? -0.5 : 0.5));
    double rest = x - power * LN2_HIGH - power * LN2_LOW;
    double sum = 1;

    assert(x >= -700 && x <= 700);
    /* |rest| <= ln 2 / 2: its 18th power over 18! is below 2^-80. */
    for (int k = 18; k >= 1; k--)
        sum = 1 + sum * rest / k;
    for (; power > 0; power--)
        sum *= 2;
    for (; power < 0; power++)
        sum /= 2;
    return sum;
}

double
nsp_real_log(double x)
{
    double t, square, sum = 0;
    int power = 0;

    assert(x > 0);
    for (; x >= SQRT2; power++)
        x /= 2;
    for (; x < SQRT2 / 2; power--)
        x *= 2;
    /* log x = 2 artanh t with |t| < 0.172: 0.172^40 is below 2^-101. */
    t = (x - 1) / (x + 1);
    square = t * t;
    for (int k = 39; k >= 1; k -= 2)
        sum = sum * square + 1.0 / k;
    return power * LN2_HIGH + (power * LN2_LOW + 2 * t * sum);
}

/* Newton's iteration from above falls until it has arrived. */
double
nsp_real_sqrt(double x)
{
    double root = x > 1 ? x : 1, next;

    assert(x >= 0);
    if (x == 0)
        return 0;
    for (;;) {
        next = (root + x / root) / 2;
        if (next >= root)
            return root;
        root = next;
    }
}

double
nsp_real_normal_density(double z)
{
    return nsp_real_exp(-z * z / 2) / SQRT_2PI;
}

double
nsp_real_normal_tail(double z)
{
    double sum = 0;

    assert(z >= -30 && z <= 30);
    if (z < 0)
        return 1 - nsp_real_normal_tail(-z);
    if (z < 1.5) {
        /* z + z^3/3 + z^5/(3 5) + ...; the 25th term is below 2^-75. */
        for (int k = 49; k >= 1; k -= 2)
            sum = z / k * (1 + z * sum);
        return 0.5 - nsp_real_normal_density(z) * sum;
    }
    /* Laplace's continued fraction: beyond, the series would lose digits. */
    for (int k = 200; k >= 1; k--)
        sum = k / (z + sum);
    return nsp_real_normal_density(z) / (z + sum);
}
