#include "agent/files/files_source.h"
#include "base/memory.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATHS_MAX = 256, EXCLUDES_MAX = 1024 };

static void texts_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

void files_source_destroy(struct files_source *source)
{
    if (!source)
        return;
    texts_free(source->paths, source->path_count);
    texts_free(source->exclude, source->exclude_count);
    free(source);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strcmp(directory, "/") == 0 ||
           (strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

static int check_apart(const struct files_source *source, struct error *err)
{
    for (size_t i = 0; i < source->path_count; i++) {
        for (size_t j = 0; j < source->path_count; j++) {
            if (i != j && is_below(source->paths[i], source->paths[j]))
                return error_set(err, ERROR_REQUEST_INVALID, "%s is in %s already.", source->paths[i],
                                 source->paths[j]);
        }
    }
    return 0;
}

static int take_paths(struct files_source *source, const char *const *paths, size_t count, struct error *err)
{
    source->paths = memory_array(count, sizeof *source->paths);
    for (size_t i = 0; i < count; i++) {
        struct stat info;
        char *real = realpath(paths[i], NULL);
        if (!real)
            return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "%.200s can't be read.", paths[i]);
        source->paths[source->path_count++] = real;
        if (stat(real, &info) != 0 || (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)))
            return error_set(err, ERROR_REQUEST_INVALID, "%.200s is neither a directory nor a file.", real);
    }
    qsort(source->paths, source->path_count, sizeof *source->paths, compare_texts);
    return check_apart(source, err);
}

struct files_source *files_source_create(const char *const *paths, size_t path_count,
                                         const char *const *exclude, size_t exclude_count,
                                         bool all_file_systems, struct error *err)
{
    struct files_source *source = memory_zalloc(sizeof *source);
    int result = 0;
    source->all_file_systems = all_file_systems;
    if (path_count == 0 || path_count > PATHS_MAX || exclude_count > EXCLUDES_MAX)
        result = error_set(err, ERROR_REQUEST_INVALID, "There can be 1 to %d paths, and %d patterns.",
                           PATHS_MAX, EXCLUDES_MAX);
    if (result == 0)
        result = take_paths(source, paths, path_count, err);
    source->exclude = memory_array(exclude_count + 1, sizeof *source->exclude);
    for (size_t i = 0; i < exclude_count && result == 0; i++)
        source->exclude[source->exclude_count++] = memory_copy_text(exclude[i]);
    json_t *object = result == 0 ? files_source_to_json(source) : NULL;
    if (result == 0 && !object)
        result = error_set(err, ERROR_REQUEST_INVALID, "A path or a pattern is not valid UTF-8.");
    json_decref(object);
    if (result == 0)
        return source;
    files_source_destroy(source);
    return NULL;
}

static json_t *texts_to_json(char *const *texts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(texts[i]));
    if (json_array_size(list) == count)
        return list;
    json_decref(list); /* one is not UTF-8 */
    return NULL;
}

json_t *files_source_to_json(const struct files_source *source)
{
    return json_pack("{s:o, s:o, s:b}", "paths", texts_to_json(source->paths, source->path_count), "exclude",
                     texts_to_json(source->exclude, source->exclude_count), "all_file_systems",
                     source->all_file_systems);
}

static int texts_from_json(const json_t *list, size_t limit, char ***texts, size_t *count)
{
    size_t size = json_array_size(list);
    if (size > limit)
        return -1;
    *texts = memory_array(size + 1, sizeof **texts);
    for (size_t i = 0; i < size; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text)
            return -1;
        (*texts)[(*count)++] = memory_copy_text(text);
    }
    return 0;
}

struct files_source *files_source_from_json(const json_t *object)
{
    struct files_source *source = memory_zalloc(sizeof *source);
    bool valid = texts_from_json(json_object_get(object, "paths"), PATHS_MAX, &source->paths,
                                 &source->path_count) == 0 &&
                 texts_from_json(json_object_get(object, "exclude"), EXCLUDES_MAX, &source->exclude,
                                 &source->exclude_count) == 0 &&
                 source->path_count > 0;
    source->all_file_systems = json_is_true(json_object_get(object, "all_file_systems"));
    for (size_t i = 0; i < source->path_count && valid; i++)
        valid = source->paths[i][0] == '/' && strlen(source->paths[i]) < PATH_MAX;
    if (valid)
        return source;
    files_source_destroy(source);
    return NULL;
}
