/*
 * Secrets from people: asked on the terminal, without showing them. All block.
 */
#ifndef HOLDFAST_CLI_PROMPT_H
#define HOLDFAST_CLI_PROMPT_H

#include "cli/failure.h"

/* What was typed, malloc'd; NULL without a terminal, or when nothing was typed. */
char *prompt_secret(const char *question);
/* The same, for the code of a second factor. */
char *prompt_code(void);
/* From the file when there is one ("-": standard input), asked otherwise. option: names the file in the
 * failure of who has neither. */
char *prompt_secret_or_file(const char *file, const char *question, const char *option,
                            struct failure *failure);
/* Overwrite and free. NULL is fine. */
void prompt_forget(char *secret);

#endif
