#include "agent/files/file_troubles.h"
#include "agent/providers/provider_reply.h"
#include "base/buffer.h"
#include "base/memory.h"
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_BYTES = 300 }; /* of names, in one warning; a message holds ERROR_TEXT_MAX */

struct trouble {
    size_t count;
    size_t told;
    struct buffer names;
};

struct file_troubles {
    pthread_mutex_t lock; /* guards what follows */
    struct trouble kinds[FILE_TROUBLE_KINDS];
};

struct file_troubles *file_troubles_create(void)
{
    struct file_troubles *troubles = memory_zalloc(sizeof *troubles);
    pthread_mutex_init(&troubles->lock, NULL);
    for (size_t i = 0; i < FILE_TROUBLE_KINDS; i++)
        buffer_init(&troubles->kinds[i].names, TOLD_BYTES);
    return troubles;
}

void file_troubles_destroy(struct file_troubles *troubles)
{
    if (!troubles)
        return;
    for (size_t i = 0; i < FILE_TROUBLE_KINDS; i++)
        buffer_free(&troubles->kinds[i].names);
    pthread_mutex_destroy(&troubles->lock);
    free(troubles);
}

/* As it can be shown and sent: control characters, and bytes that are not UTF-8, become \ooo. */
static char *printable(const char *path)
{
    json_t *text = json_string(path);
    struct buffer out;
    buffer_init(&out, 4 * strlen(path) + 2);
    buffer_append_text(&out, "/");
    for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
        if (*c < 0x20 || *c == 0x7f || (*c >= 0x80 && !text))
            buffer_append_format(&out, "\\%03o", *c);
        else
            buffer_append(&out, c, 1);
    }
    json_decref(text);
    char *result = memory_copy_text(buffer_text(&out));
    buffer_free(&out);
    return result;
}

void file_troubles_note(struct file_troubles *troubles, enum file_trouble kind, const char *path, int why)
{
    char *shown = printable(path);
    pthread_mutex_lock(&troubles->lock);
    struct trouble *trouble = &troubles->kinds[kind];
    const char *separator = trouble->told > 0 ? ", " : "";
    int result = why ? buffer_append_format(&trouble->names, "%s%s (%s)", separator, shown, strerror(why))
                     : buffer_append_format(&trouble->names, "%s%s", separator, shown);
    if (result == 0)
        trouble->told++;
    trouble->count++;
    pthread_mutex_unlock(&troubles->lock);
    free(shown);
}

void file_troubles_report(struct file_troubles *troubles, Holdfast__Failure ***warnings, size_t *count)
{
    static const struct {
        enum error_code code;
        const char *what;
    } says[FILE_TROUBLE_KINDS] = {
        [FILE_TROUBLE_UNREADABLE] = {ERROR_FILES_SKIPPED, "could not be read: left out"},
        [FILE_TROUBLE_CHANGED] = {ERROR_FILES_CHANGED, "changed while read"},
        [FILE_TROUBLE_GONE] = {ERROR_FILES_CHANGED, "went away before being read, stored as zeros"},
        [FILE_TROUBLE_BROKEN] = {ERROR_FILES_SKIPPED,
                                 "could not be read to the end, the rest is stored as zeros"},
    };
    pthread_mutex_lock(&troubles->lock);
    for (size_t i = 0; i < FILE_TROUBLE_KINDS; i++) {
        struct trouble *trouble = &troubles->kinds[i];
        struct error warning;
        if (trouble->count == 0)
            continue;
        error_set(&warning, says[i].code, "%zu file%s %s: %s%s", trouble->count,
                  trouble->count == 1 ? "" : "s", says[i].what, buffer_text(&trouble->names),
                  trouble->told < trouble->count ? " and more" : "");
        provider_add_warning(warnings, count, &warning);
        buffer_clear(&trouble->names);
        trouble->count = 0;
        trouble->told = 0;
    }
    pthread_mutex_unlock(&troubles->lock);
}
