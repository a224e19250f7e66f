#include "cli/table.h"

#include "base/memory.h"
#include "cli/text.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
    char *headings[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX];
    size_t columns;
    char **cells; /* row by row */
    size_t cell_count;
};

struct table *table_create(const char *headings)
{
    struct table *table = memory_zalloc(sizeof *table);
    while (*headings != '\0' && table->columns < TABLE_COLUMNS_MAX) {
        size_t length = strcspn(headings, "|");
        bool right = *headings == '>';
        table->right[table->columns] = right;
        table->headings[table->columns++] =
            memory_format("%.*s", (int)(length - (size_t)right), headings + (right ? 1 : 0));
        headings += length + (headings[length] == '|');
    }
    return table;
}

void table_destroy(struct table *table)
{
    for (size_t i = 0; i < table->columns; i++) {
        free(table->headings[i]);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

void table_add(struct table *table, const char *text)
{
    table->cells = memory_resize(table->cells, table->cell_count + 1, sizeof *table->cells);
    table->cells[table->cell_count++] = text_printable(text == NULL || *text == '\0' ? "-" : text);
}

void table_take(struct table *table, char *text)
{
    table_add(table, text);
    free(text);
}

static void print_row(const struct table *table, char *const *cells, const size_t *widths, FILE *out)
{
    for (size_t i = 0; i < table->columns; i++) {
        int pad = (int)(widths[i] - text_width(cells[i]));
        bool last = i + 1 == table->columns;
        fprintf(out, "%*s%s%*s%s", table->right[i] ? pad : 0, "", cells[i], table->right[i] || last ? 0 : pad,
                "", last ? "\n" : "  ");
    }
}

void table_print(const struct table *table, const char *empty, FILE *out)
{
    size_t widths[TABLE_COLUMNS_MAX];
    if (table->cell_count == 0) {
        fprintf(out, "%s\n", empty);
        return;
    }
    for (size_t i = 0; i < table->columns; i++) {
        widths[i] = text_width(table->headings[i]);
        for (size_t cell = i; cell < table->cell_count; cell += table->columns) {
            size_t width = text_width(table->cells[cell]);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    print_row(table, table->headings, widths, out);
    for (size_t cell = 0; cell + table->columns <= table->cell_count; cell += table->columns) {
        print_row(table, &table->cells[cell], widths, out);
    }
}
