/*
 * What a program says of itself: its --help and its manual page are written from the same tables that its
 * command line is read by. The page is in the man(7) language.
 */
#ifndef HOLDFAST_BASE_MANUAL_H
#define HOLDFAST_BASE_MANUAL_H

#include "base/config.h"
#include <stdio.h>

struct option; /* getopt.h */

struct program_command {
    const char *usage; /* "init [--data DIR]"; NULL ends a list. More lines are broken by hand. */
    const char *help;
};

struct program_option {
    const char *name;  /* without dashes; NULL ends a list */
    const char *value; /* what stands for its value; NULL: a flag */
    const char *help;  /* may have more lines */
    int id;            /* what getopt_long gives */
};

struct program {
    const char *name; /* "holdfastd" */
    unsigned section; /* of the manual */
    const char *summary;
    const char *about; /* a few sentences; paragraphs are parted by an empty line */
    const struct program_command *commands;
    const struct program_option *options;
    const char *settings;          /* of which file the keys are; NULL: none */
    const struct config_key *keys; /* ends with a NULL name */
    const char *exit_status;
    const char *see_also; /* "holdfast(1)" */
};

/* --help */
void program_print_help(const struct program *program, FILE *out);
void program_print_manual(const struct program *program, FILE *out);
enum { PROGRAM_MANUAL = 512 };
/* The options for getopt_long, malloc'd; and --manual (PROGRAM_MANUAL), by which the build makes the page. */
struct option *program_getopt(const struct program_option *options);

/* --- for a page that is written by other tables */

void manual_begin(FILE *out, const char *name, unsigned section, const char *summary);
/* ".SH" and the like, with its text. */
void manual_heading(FILE *out, const char *macro, const char *text);
/* Running text: characters that mean something in man(7) are made harmless; an empty line begins a paragraph.
 */
void manual_text(FILE *out, const char *text);
/* A word (bold) with its value (italic, or NULL), then what it means. */
void manual_item(FILE *out, const char *word, const char *value, const char *text);
/* Lines as they are. */
void manual_lines(FILE *out, const char *text);

#endif
