/*
 * asan - options of the sanitizer's build; the program drops its environment, and what it never
 * frees it keeps on purpose
 */
const char *__asan_default_options(void);

const char *__asan_default_options(void) {
    return "detect_leaks=0:abort_on_error=1";
}
