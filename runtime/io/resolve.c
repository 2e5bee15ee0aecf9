/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/resolve.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOST_MAX 256
#define SECOND_NS INT64_C(1000000000)

struct mu_question {
    char host[HOST_MAX];
    bool asked;    /* a thread has it */
    bool answered; /* it is in no list any more */
    bool found;
    struct sockaddr_storage address;
    void (*tell)(void *owner); /* NULL: it was dropped */
    void *owner;
    struct mu_question *next;
};

/* Of the process, because its threads outlive whoever asks. All under the mutex. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t news;
    struct mu_question *first; /* without an answer, in the order in which they were asked */
    int threads;
} resolver = {.mutex = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static bool look_up(const char *host, int flags, struct sockaddr_storage *ret_address)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    memcpy(ret_address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

static void put_port(struct sockaddr_storage *address, int port)
{
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
}

bool mu_resolve_numeric(const char *host, int port, struct sockaddr_storage *ret_address)
{
    if (!look_up(host, AI_NUMERICHOST, ret_address))
        return false;
    put_port(ret_address, port);
    return true;
}

/* ---- the list ---- */

static struct mu_question *first_unasked(void)
{
    struct mu_question *question = resolver.first;
    while (question && question->asked)
        question = question->next;
    return question;
}

static struct mu_question *find_dropped(const char *host)
{
    struct mu_question *question = resolver.first;
    while (question && (question->tell || strcmp(question->host, host) != 0))
        question = question->next;
    return question;
}

static void append(struct mu_question *question)
{
    struct mu_question **at = &resolver.first;
    while (*at)
        at = &(*at)->next;
    *at = question;
}

static void take_out(const struct mu_question *question)
{
    struct mu_question **at = &resolver.first;
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
}

/* ---- the threads ---- */

static void answer(struct mu_question *question, bool found, const struct sockaddr_storage *address)
{
    take_out(question);
    if (!question->tell) {
        free(question);
        return;
    }
    question->answered = true;
    question->found = found;
    question->address = *address;
    question->tell(question->owner);
    pthread_cond_broadcast(&resolver.news);
}

static void *ask_all(void *nothing)
{
    pthread_mutex_lock(&resolver.mutex);
    for (struct mu_question *question; (question = first_unasked());) {
        question->asked = true;
        pthread_mutex_unlock(&resolver.mutex);
        struct sockaddr_storage address = {0};
        bool found = look_up(question->host, 0, &address);
        pthread_mutex_lock(&resolver.mutex);
        answer(question, found, &address);
    }
    resolver.threads--;
    pthread_mutex_unlock(&resolver.mutex);
    return nothing;
}

/* One more thread, if there may be; signals are the main thread's. False: there is none at all. */
static bool staff(void)
{
    if (resolver.threads == MU_RESOLVE_THREADS_MAX)
        return true;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, ask_all, NULL) == 0) {
        pthread_detach(thread);
        resolver.threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return resolver.threads > 0;
}

/* ---- asking ---- */

static enum mu_status ask_new(
    const char *host, void (*answered)(void *owner), void *owner, struct mu_question **ret_question)
{
    struct mu_question *question = calloc(1, sizeof(*question));
    if (!question)
        return MU_NO_MEMORY;
    strncpy(question->host, host, sizeof(question->host) - 1);
    question->tell = answered;
    question->owner = owner;
    append(question);
    if (!staff()) {
        take_out(question);
        free(question);
        return MU_UNAVAILABLE;
    }
    *ret_question = question;
    return MU_OK;
}

enum mu_status mu_resolve_ask(
    const char *host, void (*answered)(void *owner), void *owner, struct mu_question **ret_question)
{
    enum mu_status status = MU_OK;
    pthread_mutex_lock(&resolver.mutex);
    struct mu_question *dropped = find_dropped(host);
    if (dropped) {
        dropped->tell = answered;
        dropped->owner = owner;
        *ret_question = dropped;
    } else {
        status = ask_new(host, answered, owner, ret_question);
    }
    pthread_mutex_unlock(&resolver.mutex);
    return status;
}

bool mu_resolve_is_answered(const struct mu_question *question)
{
    pthread_mutex_lock(&resolver.mutex);
    bool answered = question->answered;
    pthread_mutex_unlock(&resolver.mutex);
    return answered;
}

bool mu_resolve_take(struct mu_question *question, int port, struct sockaddr_storage *ret_address)
{
    assert(question->answered);
    bool found = question->found;
    *ret_address = question->address;
    free(question);
    if (found)
        put_port(ret_address, port);
    return found;
}

void mu_resolve_drop(struct mu_question *question)
{
    if (!question)
        return;
    pthread_mutex_lock(&resolver.mutex);
    bool unasked = !question->answered && !question->asked;
    if (unasked)
        take_out(question);
    question->tell = NULL;
    bool ours = unasked || question->answered;
    pthread_mutex_unlock(&resolver.mutex);
    if (ours)
        free(question);
}

/* ---- asking and waiting ---- */

static void tell_nobody(void *owner)
{
    (void)owner; /* who waits is woken by the news */
}

static struct timespec after(int64_t ns)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    ns += time.tv_nsec;
    return (struct timespec){.tv_sec = time.tv_sec + ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

enum mu_status mu_resolve_wait(
    const char *host, int port, int64_t patience_ns, struct sockaddr_storage *ret_address)
{
    struct mu_question *question;
    struct timespec deadline = after(patience_ns);
    MU_TRY(mu_resolve_ask(host, tell_nobody, NULL, &question));
    pthread_mutex_lock(&resolver.mutex);
    while (!question->answered && pthread_cond_clockwait(&resolver.news, &resolver.mutex,
                                      CLOCK_MONOTONIC, &deadline) != ETIMEDOUT)
        ;
    bool answered = question->answered;
    pthread_mutex_unlock(&resolver.mutex);
    if (!answered) {
        mu_resolve_drop(question);
        return MU_TIMEOUT;
    }
    return mu_resolve_take(question, port, ret_address) ? MU_OK : MU_NO_INPUT;
}
