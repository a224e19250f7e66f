#include "cli/progress.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PROGRESS_BAR = 24, PROGRESS_COLUMNS = 80, PROGRESS_TEXT_MAX = 1024 };

struct progress {
    FILE *out;
    char *label;
    char *last_step;
    bool terminal;
    bool quiet;
    bool drawn;
};

struct progress *progress_create(FILE *out, const char *label, bool terminal, bool quiet)
{
    struct progress *progress = memory_zalloc(sizeof *progress);
    progress->out = out;
    progress->label = text_printable(label);
    progress->terminal = terminal;
    progress->quiet = quiet;
    return progress;
}

static void append_size(struct buffer *line, const char *before, uint64_t bytes, const char *behind)
{
    char *size = text_size(bytes);
    buffer_append_format(line, "%s%s%s", before, size, behind);
    free(size);
}

static void append_bar(struct buffer *line, const struct progress_state *state)
{
    char bar[PROGRESS_BAR + 1];
    double share = (double)state->done_bytes / (double)state->total_bytes;
    share = share > 1 ? 1 : share;
    size_t filled = (size_t)(share * PROGRESS_BAR);
    memset(bar, '#', filled);
    memset(bar + filled, '-', PROGRESS_BAR - filled);
    bar[PROGRESS_BAR] = '\0';
    buffer_append_format(line, " [%s] %3.0f %%", bar, share * 100);
}

/* Cut to so many characters, not bytes. */
static void cut(char *text, size_t columns)
{
    size_t width = 0;
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
        if ((*c & 0xc0) != 0x80 && ++width > columns) {
            *c = '\0';
            return;
        }
    }
}

char *progress_format(const char *label, const struct progress_state *state, size_t columns)
{
    struct buffer line;
    buffer_init(&line, PROGRESS_TEXT_MAX);
    buffer_append_text(&line, label);
    if (state->total_bytes > 0) {
        append_bar(&line, state);
        append_size(&line, "  ", state->done_bytes, "");
        append_size(&line, " of ", state->total_bytes, "");
    } else if (state->done_bytes > 0) {
        append_size(&line, "  ", state->done_bytes, "");
    }
    if (state->bytes_per_second > 0) {
        append_size(&line, "  ", state->bytes_per_second, "/s");
    }
    if (state->seconds_left >= 0) {
        char *left = text_duration((uint64_t)state->seconds_left);
        buffer_append_format(&line, "  %s left", left);
        free(left);
    }
    if (state->step != NULL && *state->step != '\0') {
        char *step = text_printable(state->step);
        buffer_append_format(&line, "  %s", step);
        free(step);
    }
    char *text = memory_copy_text(buffer_text(&line));
    buffer_free(&line);
    cut(text, columns);
    return text;
}

static size_t columns_of(FILE *out)
{
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 1) {
        return (size_t)size.ws_col - 1;
    }
    return PROGRESS_COLUMNS - 1;
}

void progress_show(struct progress *progress, const struct progress_state *state)
{
    const char *step = state->step != NULL ? state->step : "";
    if (progress->terminal) {
        char *line = progress_format(progress->label, state, columns_of(progress->out));
        fprintf(progress->out, "\r%s\033[K", line);
        fflush(progress->out);
        progress->drawn = true;
        free(line);
    } else if (!progress->quiet && *step != '\0' &&
               (progress->last_step == NULL || strcmp(progress->last_step, step) != 0)) {
        char *printable = text_printable(step);
        fprintf(progress->out, "%s: %s\n", progress->label, printable);
        fflush(progress->out);
        free(printable);
        free(progress->last_step);
        progress->last_step = memory_copy_text(step);
    }
}

void progress_destroy(struct progress *progress)
{
    if (progress == NULL) {
        return;
    }
    if (progress->drawn) {
        fputs("\r\033[K", progress->out);
        fflush(progress->out);
    }
    free(progress->label);
    free(progress->last_step);
    free(progress);
}
