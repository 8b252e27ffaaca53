#include "policy/x86/lookup_x86.h"

/* Asks the processor and, for the registers, the system. */
const struct nsp_lookup_ops *
nsp_lookup_find_x86(enum nsp_instructions instructions)
{
    bool avx2 = __builtin_cpu_supports("avx2") &&
                __builtin_cpu_supports("bmi2") &&
                __builtin_cpu_supports("popcnt");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                  __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");

    if (instructions == NSP_INSTRUCTIONS_AVX512)
        return avx512 ? &nsp_lookup_avx512 : NULL;
    if (instructions == NSP_INSTRUCTIONS_AVX2)
        return avx2 ? &nsp_lookup_avx2 : NULL;
    return NULL;
}
