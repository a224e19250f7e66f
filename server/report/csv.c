#include "server/report/csv.h"

#include <stdbool.h>
#include <string.h>

static int add_text(struct buffer *out, const char *text)
{
    bool formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
    bool quoted = strpbrk(text, ",\"\r\n") != NULL || text[0] == ' ';
    int result = buffer_append_text(out, quoted ? "\"" : "") | buffer_append_text(out, formula ? "'" : "");
    for (; *text != '\0' && result == 0; text++) {
        result = buffer_append(out, text, 1) | buffer_append_text(out, *text == '"' ? "\"" : "");
    }
    return result | buffer_append_text(out, quoted ? "\"" : "");
}

static int add_value(struct buffer *out, const json_t *value)
{
    switch (value != NULL ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        return add_text(out, json_string_value(value));
    case JSON_INTEGER:
        return buffer_append_format(out, "%lld", (long long)json_integer_value(value));
    case JSON_REAL:
        return buffer_append_format(out, "%.2f", json_real_value(value));
    case JSON_TRUE:
        return buffer_append_text(out, "true");
    case JSON_FALSE:
        return buffer_append_text(out, "false");
    default:
        return 0;
    }
}

int csv_add_header(struct buffer *out, const char *const *columns)
{
    int result = 0;
    for (size_t i = 0; columns[i] != NULL && result == 0; i++) {
        result = buffer_append_text(out, i > 0 ? "," : "") | add_text(out, columns[i]);
    }
    return result | buffer_append_text(out, "\r\n");
}

int csv_add_row(struct buffer *out, const char *const *columns, const json_t *row)
{
    int result = 0;
    for (size_t i = 0; columns[i] != NULL && result == 0; i++) {
        result = buffer_append_text(out, i > 0 ? "," : "") | add_value(out, json_object_get(row, columns[i]));
    }
    return result | buffer_append_text(out, "\r\n");
}
