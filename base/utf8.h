/*
 * Text from outside that may not be UTF-8 (RFC 3629): names of VMs, paths, what was cut within a character.
 */
#ifndef HOLDFAST_BASE_UTF8_H
#define HOLDFAST_BASE_UTF8_H

#include <stddef.h>

/* The length in bytes of the character there, of which `left` bytes are; 0: it is none. */
size_t utf8_length(const char *at, size_t left);
/* Every byte that belongs to no character becomes '?'. */
void utf8_repair(char *text);

#endif
