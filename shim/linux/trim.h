/*
 * trim - gives back what only the start needed
 */
#ifndef JETPACK_TRIM_H
#define JETPACK_TRIM_H

/* For a process that has started everything and will mostly wait. May be called again. */
void trim(void);

#endif
