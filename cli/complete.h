/*
 * Completion for shells, from the table of commands: the shells' scripts are a few lines that call
 * `holdfast complete WORDS...`, and this says what may stand for the last word. Names of VMs, hosts, groups
 * and the like come from the server, if it answers soon.
 */
#ifndef HOLDFAST_CLI_COMPLETE_H
#define HOLDFAST_CLI_COMPLETE_H

#include "cli/command.h"

/* Prints what the last of the words may be, one a line; nothing where a file is meant or nothing is known.
 * Never fails. */
void complete_words(const char *const *words, size_t count, FILE *out);

#endif
