#include "agent/files/file_extract.h"
#include "agent/files/file_walk.h"
#include "base/memory.h"
#include "base/os_process.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_SIZE = 1024 * 1024, TOLD_MAX = 20, OUTPUT_MAX = 256 * 1024, SPACE_STATUS = 3, NAMES_SIZE = 300 };

/* --- the process */

struct extraction {
    struct archive *from;
    struct archive *to;
    unsigned long long entries;
    unsigned long long failures;
};

/* One line, whatever is in it. */
static void tell(struct extraction *extraction, const char *path, const char *reason)
{
    if (extraction->failures++ >= TOLD_MAX)
        return;
    fputs("! ", stdout);
    for (const unsigned char *c = (const unsigned char *)path; *c; c++)
        putchar(*c < 0x20 || *c >= 0x7f ? '?' : *c);
    printf(": %s\n", reason ? reason : "it is not known why");
}

_Noreturn static void give_up(const char *path, struct archive *archive)
{
    fprintf(stderr, "%s: %s\n", path,
            archive_error_string(archive) ? archive_error_string(archive) : "failed");
    exit(archive_errno(archive) == ENOSPC || archive_errno(archive) == EDQUOT ? SPACE_STATUS : EXIT_FAILURE);
}

/* Does it go on after that result of writing? It doesn't without space, which every other file would lack. */
static bool check(struct extraction *extraction, const char *path, int result)
{
    if (result == ARCHIVE_OK)
        return true;
    if (archive_errno(extraction->to) == ENOSPC || archive_errno(extraction->to) == EDQUOT)
        give_up(path, extraction->to);
    tell(extraction, path, archive_error_string(extraction->to));
    return result >= ARCHIVE_WARN;
}

static void extract_data(struct extraction *extraction, const char *path)
{
    const void *block;
    size_t length;
    la_int64_t offset;
    for (;;) {
        int result = archive_read_data_block(extraction->from, &block, &length, &offset);
        if (result == ARCHIVE_EOF)
            return;
        if (result < ARCHIVE_WARN)
            give_up(path, extraction->from);
        if (!check(extraction, path, (int)archive_write_data_block(extraction->to, block, length, offset)))
            return;
    }
}

/* libarchive 3.6 takes the fraction of a time before 1970 as if it counted forward. */
static void mend_time(struct archive_entry *entry)
{
    enum { SECOND_NS = 1000000000 };
    time_t seconds = archive_entry_mtime(entry);
    long nanoseconds = archive_entry_mtime_nsec(entry);
    if (seconds < 0 && nanoseconds > 0)
        archive_entry_set_mtime(entry, seconds - 1, SECOND_NS - nanoseconds);
}

static void extract_entry(struct extraction *extraction, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    if (!name || !*name) {
        tell(extraction, "?", "Its name can't be read");
        return;
    }
    char *path = memory_copy_text(name);
    extraction->entries++;
    mend_time(entry);
    int result = archive_write_header(extraction->to, entry);
    if (check(extraction, path, result)) {
        if (archive_entry_size(entry) > 0)
            extract_data(extraction, path);
        check(extraction, path, archive_write_finish_entry(extraction->to));
    }
    free(path);
}

static void extract_all(struct extraction *extraction)
{
    struct archive_entry *entry;
    for (;;) {
        int result = archive_read_next_header(extraction->from, &entry);
        if (result == ARCHIVE_EOF)
            break;
        if (result < ARCHIVE_WARN && result != ARCHIVE_RETRY)
            give_up("the archive", extraction->from);
        extract_entry(extraction, entry);
    }
    /* modes and times of directories are set now */
    if (archive_write_close(extraction->to) != ARCHIVE_OK)
        tell(extraction, "directories", archive_error_string(extraction->to));
}

static struct archive *open_archive(const char *path)
{
    struct archive *archive = archive_read_new();
    if (!archive)
        abort();
    archive_read_support_format_tar(archive);
    if (archive_read_open_filename(archive, path, READ_SIZE) != ARCHIVE_OK)
        give_up(path, archive);
    return archive;
}

/* libarchive sets the times of directories at its end only if it made them; the others have changed since. */
static void set_directory_times(const char *path)
{
    struct archive *archive = open_archive(path);
    struct archive_entry *entry;
    while (archive_read_next_header(archive, &entry) >= ARCHIVE_WARN) {
        const char *name = archive_entry_pathname(entry);
        if (!name || archive_entry_filetype(entry) != AE_IFDIR)
            continue;
        mend_time(entry);
        struct timespec times[2] = {
            {.tv_nsec = UTIME_OMIT},
            {.tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry)}};
        int fd = file_open_beneath(AT_FDCWD, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd >= 0) {
            (void)futimens(fd, times); /* the directory is there with what is in it */
            close(fd);
        }
    }
    archive_read_free(archive);
}

static int extraction_flags(bool replace)
{
    int flags = ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_ACL |
                ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_SPARSE | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS;
    return flags | (replace ? ARCHIVE_EXTRACT_SAFE_WRITES : ARCHIVE_EXTRACT_NO_OVERWRITE);
}

_Noreturn void file_extract_process(const char *archive, const char *directory, bool replace)
{
    setlocale(LC_CTYPE, "C.UTF-8"); /* names are taken as they are */
    umask(022);                     /* for directories above, which the archive does not have */
    struct extraction extraction = {.from = open_archive(archive), .to = archive_write_disk_new()};
    if (!extraction.to)
        abort();
    archive_write_disk_set_options(extraction.to, extraction_flags(replace));
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchdir(fd) != 0) {
        fprintf(stderr, "%s: %s\n", directory, strerror(errno));
        exit(EXIT_FAILURE);
    }
    extract_all(&extraction);
    archive_read_free(extraction.from);
    archive_write_free(extraction.to);
    if (replace)
        set_directory_times(archive);
    if (syncfs(fd) != 0) {
        fprintf(stderr, "%s: %s\n", directory, strerror(errno));
        exit(errno == ENOSPC ? SPACE_STATUS : EXIT_FAILURE);
    }
    printf("done %llu %llu\n", extraction.entries, extraction.failures);
    exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* --- the agent */

static const char done_word[] = "done ";

/* The names of what failed, on one line, cut. */
static void collect(const char *output, const char *end, char out[NAMES_SIZE])
{
    size_t length = 0;
    out[0] = '\0';
    for (const char *line = output; line < end && length + 1 < NAMES_SIZE; line = strchr(line, '\n') + 1) {
        int width = (int)strcspn(line, "\n");
        if (strncmp(line, "! ", 2) != 0)
            continue;
        int written = snprintf(out + length, NAMES_SIZE - length, "%s/%.*s", length > 0 ? ", " : "",
                               width - 2, line + 2);
        length += written > 0 ? (size_t)written : 0;
    }
}

/* "done ENTRIES FAILURES" */
static bool read_counts(const char *done, unsigned long long *entries, unsigned long long *failures)
{
    char *end = NULL;
    errno = 0;
    *entries = strtoull(done + sizeof done_word - 1, &end, 10);
    *failures = strtoull(end, &end, 10);
    return errno == 0 && *end == '\n';
}

static int read_output(const char *output, struct error *partly, struct error *err)
{
    unsigned long long entries = 0;
    unsigned long long failures = 0;
    char names[NAMES_SIZE];
    const char *line = strstr(output, "\ndone ");
    const char *done = strncmp(output, done_word, sizeof done_word - 1) == 0 ? output
                       : line                                                ? line + 1
                                                                             : NULL;
    if (!done || !read_counts(done, &entries, &failures))
        return error_set(err, ERROR_RESTORE_FAILED, "The archive was not extracted to its end.");
    error_clear(partly);
    if (failures == 0)
        return 0;
    collect(output, done, names);
    error_set(partly, ERROR_FILES_NOT_RESTORED,
              "%llu of %llu entries could not be restored, or not wholly: %s", failures, entries, names);
    return 0;
}

int file_extract(const char *archive, const char *directory, bool replace, struct error *partly,
                 struct error *err)
{
    /* Whatever is installed in its place meanwhile, this program runs. */
    const char *const argv[] = {
        "/proc/self/exe", "extract-files", archive, directory, replace ? "replace" : "new", NULL};
    char *output = NULL;
    if (os_process_run(argv, OUTPUT_MAX, &output, err) != 0)
        return error_wrap(
            err, strstr(err->cause, strerror(ENOSPC)) ? ERROR_RESTORE_NO_SPACE : ERROR_RESTORE_FAILED,
            "The files could not be restored to %s; some of them may have been.", directory);
    int result = read_output(output, partly, err);
    free(output);
    return result;
}
