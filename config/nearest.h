#ifndef NSP_CONFIG_NEAREST_H
#define NSP_CONFIG_NEAREST_H
/* Finds what a misspelt word was meant to be. */
struct nsp_nearest {
    const char *word;
    const char *best; /* NULL while none is near. */
    unsigned distance;
};

void nsp_nearest_init(struct nsp_nearest *nearest, const char *word);
void nsp_nearest_try(struct nsp_nearest *nearest, const char *candidate);

#endif /* NSP_CONFIG_NEAREST_H */
