/* Long answers, handed over as they come. */
#include "cli/client_internal.h"

#include "base/memory.h"
#include <stdlib.h>

enum { STREAM_ERROR_MAX = 65536, STREAM_STALL_S = 180 };

struct stream_sink {
    struct client *client;
    client_sink sink;
    void *cookie;
    struct buffer error; /* the body of an answer that is an error */
    bool stopped;
};

static size_t on_bytes(char *bytes, size_t size, size_t count, void *cookie)
{
    struct stream_sink *stream = cookie;
    long status = 0;
    size_t length = size * count;
    curl_easy_getinfo(stream->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        return buffer_append(&stream->error, bytes, length) == 0 ? length : 0;
    }
    stream->stopped = stream->sink(stream->cookie, bytes, length) != 0;
    return stream->stopped ? 0 : length;
}

static int on_tick(void *cookie, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    struct stream_sink *stream = cookie;
    (void)total;
    (void)now;
    (void)up_total;
    (void)up_now;
    stream->stopped = stream->stopped || stream->sink(stream->cookie, NULL, 0) != 0;
    return stream->stopped ? 1 : 0;
}

static int stream_result(struct stream_sink *stream, CURLcode code, struct failure *failure)
{
    struct client *client = stream->client;
    long status = 0;
    json_t *reply = NULL;
    if (stream->stopped) {
        return -1;
    }
    if (code != CURLE_OK) {
        return client_fail(client, code, failure);
    }
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) {
        return 0;
    }
    if (client_parse(&stream->error, &reply, failure) == 0) {
        failure_from_reply(failure, status, reply);
        json_decref(reply);
    }
    return -1;
}

int client_stream(struct client *client, const char *path, client_sink sink, void *cookie,
                  struct failure *failure)
{
    struct stream_sink stream = {.client = client, .sink = sink, .cookie = cookie};
    char *url = memory_format("%s%s", client->server, path);
    buffer_init(&stream.error, STREAM_ERROR_MAX);
    client_prepare(client, "GET", url);
    curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_TIME, (long)STREAM_STALL_S);
    curl_easy_setopt(client->curl, CURLOPT_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &stream);
    curl_easy_setopt(client->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(client->curl, CURLOPT_XFERINFOFUNCTION, on_tick);
    curl_easy_setopt(client->curl, CURLOPT_XFERINFODATA, &stream);
    int result = stream_result(&stream, curl_easy_perform(client->curl), failure);
    buffer_free(&stream.error);
    free(url);
    return result;
}
