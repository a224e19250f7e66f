/* How answers come back to the engine's thread. */
#include "server/jobs/jobs_internal.h"

#include "base/clock.h"
#include "base/memory.h"
#include <errno.h>
#include <stdlib.h>

void jobs_post(struct jobs *jobs, struct job_event *event)
{
    event->next = NULL;
    pthread_mutex_lock(&jobs->lock);
    *jobs->last_event = event;
    jobs->last_event = &event->next;
    pthread_cond_signal(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
}

struct job_event *jobs_take_event(struct jobs *jobs, unsigned timeout_ms)
{
    struct timespec until = clock_deadline(timeout_ms);
    pthread_mutex_lock(&jobs->lock);
    int waited = 0;
    while (jobs->events == NULL && waited != ETIMEDOUT) {
        waited = pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until);
    }
    struct job_event *event = jobs->events;
    if (event != NULL) {
        jobs->events = event->next;
        if (jobs->events == NULL) {
            jobs->last_event = &jobs->events;
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    return event;
}

/* --- questions
 * ------------------------------------------------------------------------------------------------- */

struct job_question {
    struct job_event event;
    void (*call)(struct jobs *jobs, void *cookie);
    void *cookie;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void question_handle(struct jobs *jobs, struct job_event *event)
{
    struct job_question *question = (struct job_question *)(void *)event;
    question->call(jobs, question->cookie);
    pthread_mutex_lock(&question->lock);
    question->done = true;
    pthread_cond_signal(&question->changed);
    pthread_mutex_unlock(&question->lock); /* it lies on the stack of who waits */
}

void jobs_ask(struct jobs *jobs, void (*call)(struct jobs *jobs, void *cookie), void *cookie)
{
    struct job_question question = {.event.handle = question_handle, .call = call, .cookie = cookie};
    pthread_mutex_init(&question.lock, NULL);
    pthread_cond_init(&question.changed, NULL);
    jobs_post(jobs, &question.event);
    pthread_mutex_lock(&question.lock);
    while (!question.done) {
        pthread_cond_wait(&question.changed, &question.lock);
    }
    pthread_mutex_unlock(&question.lock);
    pthread_cond_destroy(&question.changed);
    pthread_mutex_destroy(&question.lock);
}

/* --- calls to agents
 * --------------------------------------------------------------------------------------------- */

struct job_answer {
    struct job_event event;
    struct job *job;
    uint32_t call;
    job_answered answered;
    ProtobufCMessage *reply; /* a copy */
    struct error failure;
};

static void answer_handle(struct jobs *jobs, struct job_event *event)
{
    (void)jobs;
    struct job_answer *answer = (struct job_answer *)(void *)event;
    struct job *job = answer->job;
    atomic_fetch_sub(&job->pending, 1);
    if (job->call_open && job->call == answer->call) {
        job->call_open = false;
        answer->answered(job, answer->reply, answer->reply == NULL ? &answer->failure : NULL);
    }
    if (answer->reply != NULL) {
        protobuf_c_message_free_unpacked(answer->reply, NULL);
    }
    free(answer);
}

static ProtobufCMessage *message_copy(const ProtobufCMessage *message)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = memory_alloc(length + 1);
    protobuf_c_message_pack(message, packed);
    ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, length, packed);
    free(packed);
    return copy;
}

/* Any thread. */
static void call_done(void *cookie, const ProtobufCMessage *reply, const struct error *failure)
{
    struct job_answer *answer = cookie;
    if (reply != NULL) {
        answer->reply = message_copy(reply);
    } else {
        answer->failure = *failure;
    }
    jobs_post(answer->job->jobs, &answer->event);
}

void job_call(struct job *job, enum agent_method method, const ProtobufCMessage *request, int64_t deadline_ms,
              job_answered answered)
{
    const struct job_ports *ports = job->jobs->options.ports;
    struct job_answer *answer = memory_zalloc(sizeof *answer);
    answer->event.handle = answer_handle;
    answer->job = job;
    answer->call = ++job->call;
    answer->answered = answered;
    job->call_open = true;
    atomic_fetch_add(&job->pending, 1);
    ports->agent_call(ports->self, job->row.host_id, method, request, deadline_ms, call_done, answer);
}

void job_forget_call(struct job *job)
{
    job->call_open = false;
}

static void cancel_done(void *cookie, const ProtobufCMessage *reply, const struct error *failure)
{
    (void)cookie;
    (void)reply;
    (void)failure;
}

void job_call_cancel(struct job *job)
{
    const struct job_ports *ports = job->jobs->options.ports;
    Holdfast__CancelRequest request = HOLDFAST__CANCEL_REQUEST__INIT;
    request.job = (char *)(uintptr_t)job->row.id;
    ports->agent_call(ports->self, job->row.host_id, AGENT_CANCEL, &request.base, JOBS_CANCEL_DEADLINE_MS,
                      cancel_done, NULL);
}

/* --- work on the pool
 * ---------------------------------------------------------------------------------------------- */

static void work_handle(struct jobs *jobs, struct job_event *event)
{
    (void)jobs;
    struct job_work *work = (struct job_work *)(void *)event;
    struct job *job = work->job;
    atomic_fetch_sub(&job->pending, 1);
    work->finish(job, work);
}

static void work_run(void *cookie)
{
    struct job_work *work = cookie;
    work->run(work);
    jobs_post(work->job->jobs, &work->event);
}

void job_submit(struct job *job, struct job_work *work)
{
    work->event.handle = work_handle;
    work->job = job;
    atomic_fetch_add(&job->pending, 1);
    pool_submit(job->jobs->pool, work_run, work);
}
