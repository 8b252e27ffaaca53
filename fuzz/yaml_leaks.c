/* Of the YAML library, not of this project: libfyaml 0.7.12 loses the buffer of
 * a quoted scalar with escapes in which it finds an error, at most as many
 * bytes as the text has, rounded up. Linked into targets that read YAML; the
 * leak checker asks for it by name. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(
    void);

const char *
__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}
