/*
 * plan-values - the kinds of values that a plan may hold. Pure predicates.
 */
#ifndef JETPACK_PLAN_VALUES_H
#define JETPACK_PLAN_VALUES_H

#include <stdbool.h>
#include <stdint.h>

bool value_path(const char *s);    /* absolute, normalised, <= 4095 bytes */
bool value_name(const char *s);    /* AC Name, <= 63 bytes */
bool value_uuid(const char *s);    /* canonical, lower case */
bool value_host(const char *s);    /* 1-64 of [A-Za-z0-9.-] */
bool value_file(const char *s);    /* [a-z0-9_.]+, a file of a cgroup */
bool value_sysctl(const char *s);  /* a kernel parameter that a pod's namespaces have */
bool value_dataset(const char *s); /* pool/a/b: what zfs(8) allows, no snapshot */
bool value_env(const char *s);     /* NAME=value with a non-empty NAME */
bool value_bool(const char *s, bool *out);
bool value_mask(const char *s, uint64_t *out); /* 16 lower-case hex digits */
bool value_integer(const char *s, int min, int max, int *out);
bool value_mount_options(const char *s, unsigned *flags); /* PLAN_RO... or "-" */

#endif
