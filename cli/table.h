/*
 * Aligned tables for people. Cells are made safe for a terminal. Not thread-safe.
 */
#ifndef HOLDFAST_CLI_TABLE_H
#define HOLDFAST_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct table;

/* headings: of the columns, separated by '|'; one that begins with '>' is aligned to the right
 * ("NAME|>SIZE"). */
struct table *table_create(const char *headings);
void table_destroy(struct table *table);
/* The next cell, left to right, row by row. NULL shows as "-". */
void table_add(struct table *table, const char *text);
/* As table_add; frees the text. */
void table_take(struct table *table, char *text);
/* Headings and rows; two blanks between columns, none at the end of a line. `empty` instead when there is no
 * row. */
void table_print(const struct table *table, const char *empty, FILE *out);

#endif
