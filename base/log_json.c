#include "base/log_json.h"

#include "base/utf8.h"
#include <stdbool.h>
#include <string.h>

static void add_text(struct buffer *out, const char *text, size_t length)
{
    buffer_append_text(out, "\"");
    for (size_t i = 0; i < length;) {
        size_t step = utf8_length(text + i, length - i);
        if (step == 0 || (unsigned char)text[i] < ' ') {
            buffer_append_text(out, "?");
        } else if (text[i] == '"' || text[i] == '\\') {
            buffer_append_format(out, "\\%c", text[i]);
        } else {
            buffer_append(out, text + i, step);
        }
        i += step > 0 ? step : 1;
    }
    buffer_append_text(out, "\"");
}

static void add_pair(struct buffer *out, const char *key, const char *value)
{
    buffer_append_format(out, ",\"%s\":", key);
    add_text(out, value, strlen(value));
}

/* To the quote that ends the value: a name may have quotes in it. */
static size_t quoted_length(const char *value)
{
    size_t length = strcspn(value, "\"");
    while (value[length] == '"' && value[length + 1] != '\0' && value[length + 1] != ' ') {
        length += 1 + strcspn(value + length + 1, "\"");
    }
    return length;
}

static void add_fields(struct buffer *out, const char *at)
{
    while (*at != '\0') {
        at += strspn(at, " ");
        size_t key = strcspn(at, "= ");
        const char *value = at + key;
        if (*value != '=') {
            at = value; /* a word that is no pair */
            continue;
        }
        bool quoted = value[1] == '"';
        value += quoted ? 2 : 1;
        size_t length = quoted ? quoted_length(value) : strcspn(value, " ");
        if (key > 0) {
            buffer_append_text(out, ",");
            add_text(out, at, key);
            buffer_append_text(out, ":");
            add_text(out, value, length);
        }
        at = value + length;
        at += quoted && *at == '"';
    }
}

void log_json_write(struct buffer *out, const struct log_line *line)
{
    buffer_append_text(out, "{\"time\":");
    add_text(out, line->time, strlen(line->time));
    add_pair(out, "level", line->level);
    add_pair(out, "component", line->component);
    add_pair(out, "event", line->event);
    add_fields(out, line->fields);
    if (line->job[0] != '\0') {
        add_pair(out, "job", line->job);
    }
    buffer_append_text(out, "}");
}
