/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/console.h"
#include "runtime/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REST_BYTES 16384 /* more than the longest line of a task or of the launcher */
#define KEPT_BYTES 2400
#define NS_PER_MS INT64_C(1000000)
#define WAIT_SHARE 50 /* of the time, one part in so many may be spent waiting */
#define TERMINAL_PIECE_BYTES 128

enum nature { WAITS_NEVER, PIPE, TERMINAL, SOCKET };

/* One terminal, pipe or file. */
struct console {
    int fd; /* as inherited */
    enum nature nature;
    int own_fd; /* the same, opened once more: its flags are ours, and no write to it waits; or -1
                 */
    char rest[REST_BYTES]; /* of a line that has begun and must not end in its middle */
    size_t rest_bytes;
    char last; /* byte that was shown */
    atomic_bool stuck;
    int64_t missed; /* lines */
    int64_t patience_ns, patience_at_ns;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct console consoles[2];
/* stdout and stderr, often the same one; NULL: not open. */
static struct console *_Atomic console_out, *_Atomic console_err;
static char kept[KEPT_BYTES];
static int64_t end_ns; /* of the patience for last words; 0: they have not begun */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static struct console *find(int fd)
{
    if (fd != STDOUT_FILENO && fd != STDERR_FILENO)
        return NULL;
    return atomic_load(fd == STDOUT_FILENO ? &console_out : &console_err);
}

/* ---- writing without waiting ---- */

/* What a terminal or a pipe takes without waiting when it says that it has room: a pipe PIPE_BUF
 * bytes; a terminal some, for it counts its room in larger steps, but the end of a line, which
 * becomes two bytes, only by itself. */
static size_t piece_bytes(const struct console *console, const char *text, size_t bytes)
{
    size_t room = console->nature == PIPE ? PIPE_BUF : TERMINAL_PIECE_BYTES;
    size_t most = bytes < room ? bytes : room;
    const char *end = console->nature == PIPE ? NULL : memchr(text, '\n', most);
    if (!end)
        return most;
    return end == text ? 1 : (size_t)(end - text);
}

/* A descriptor of our own is the sure way. There is none of a socket, which has a flag for it, and
 * of a terminal that belongs to another user (after `su`). */
static ssize_t write_some(const struct console *console, const char *text, size_t bytes)
{
    if (console->own_fd >= 0)
        return write(console->own_fd, text, bytes);
    if (console->nature == SOCKET)
        return send(console->fd, text, bytes, MSG_DONTWAIT);
    if (console->nature == WAITS_NEVER)
        return write(console->fd, text, bytes);
    struct pollfd room = {.fd = console->fd, .events = POLLOUT};
    if (poll(&room, 1, 0) <= 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(console->fd, text, piece_bytes(console, text, bytes));
}

static bool await_room(const struct console *console, int64_t deadline_ns)
{
    struct pollfd room = {.fd = console->fd, .events = POLLOUT};
    int64_t left_ns = deadline_ns - now_ns();
    if (left_ns <= 0)
        return false;
    (void)poll(&room, 1, (int)(left_ns / NS_PER_MS) + 1);
    return true;
}

/* How many bytes were taken. A reader that is gone takes everything: nobody is left to tell. */
static size_t write_until(
    struct console *console, const char *text, size_t bytes, int64_t deadline_ns)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t written = write_some(console, text + done, bytes - done);
        if (written > 0)
            done += (size_t)written;
        else if (written < 0 && errno != EAGAIN && errno != EINTR)
            return bytes;
        else if (!(written < 0 && errno == EINTR) && !await_room(console, deadline_ns))
            break;
    }
    if (done > 0)
        console->last = text[done - 1];
    return done;
}

/* ---- what was not shown ---- */

static void keep_rest(struct console *console, const char *text, size_t bytes)
{
    memmove(console->rest, text, bytes);
    console->rest_bytes = bytes;
}

/* Shows what is left of a line, and then how many are missing. False: there is no room yet. */
static bool catch_up(struct console *console, int64_t deadline_ns)
{
    size_t done = write_until(console, console->rest, console->rest_bytes, deadline_ns);
    keep_rest(console, console->rest + done, console->rest_bytes - done);
    if (console->rest_bytes > 0 || console->missed == 0)
        return console->rest_bytes == 0;
    char note[KEPT_BYTES + 128];
    bool clear = console->nature == TERMINAL && console->last != '\n' && console->last != '\r';
    mu_format(note, sizeof(note), "%s[%lld line%s not shown here%s%s]\n", clear ? "\r\033[K" : "",
        (long long)console->missed, console->missed == 1 ? " was" : "s were", kept[0] ? "; " : "",
        kept);
    size_t bytes = strlen(note);
    done = write_until(console, note, bytes, deadline_ns);
    if (done > 0) {
        console->missed = 0;
        keep_rest(console, note + done, bytes - done);
    }
    return done == bytes;
}

static int64_t count_lines(const char *text, size_t bytes)
{
    int64_t lines = 0;
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    return lines;
}

/* ---- a write ---- */

/* Whole lines, as many as a pipe takes at once; one that is longer; a piece if it is too long. */
static size_t chunk_bytes(const char *text, size_t bytes)
{
    if (bytes <= PIPE_BUF)
        return bytes;
    size_t most = bytes < REST_BYTES ? bytes : REST_BYTES;
    const char *end = memrchr(text, '\n', PIPE_BUF);
    if (!end)
        end = memchr(text, '\n', most);
    return end ? (size_t)(end - text) + 1 : most;
}

/*
 * A console that has not taken the last line is not waited for. One that is only slow may take some
 * time of ours, of which it gets a little back with each second.
 */
static int64_t patience_ns(struct console *console, enum mu_console_kind kind, int64_t now)
{
    const int64_t most_ns = MU_CONSOLE_PATIENCE_MS * NS_PER_MS;
    if (end_ns > 0)
        return end_ns - now;
    if (kind == MU_CONSOLE_PROGRESS || atomic_load(&console->stuck))
        return 0;
    console->patience_ns += (now - console->patience_at_ns) / WAIT_SHARE;
    console->patience_at_ns = now;
    if (console->patience_ns > most_ns)
        console->patience_ns = most_ns;
    return console->patience_ns;
}

static void put_chunk(
    struct console *console, enum mu_console_kind kind, const char *text, size_t bytes)
{
    int64_t now = now_ns(), patience = patience_ns(console, kind, now);
    bool caught_up = catch_up(console, now + patience);
    size_t done = caught_up ? write_until(console, text, bytes, now + patience) : 0;
    if (done > 0)
        keep_rest(console, text + done, bytes - done);
    else if (kind == MU_CONSOLE_LINES)
        console->missed += count_lines(text, bytes);
    /* Progress that finds no room says nothing of the next line, which is worth a wait. */
    if (done == bytes)
        atomic_store(&console->stuck, false);
    else if (done > 0 || !caught_up || kind == MU_CONSOLE_LINES)
        atomic_store(&console->stuck, true);
    if (kind == MU_CONSOLE_LINES && patience > 0)
        console->patience_ns -= now_ns() - now;
    if (console->patience_ns < 0)
        console->patience_ns = 0;
}

static void write_and_wait(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, text, bytes);
        if (written <= 0)
            return; /* there is nobody left to tell */
        text += written;
        bytes -= (size_t)written;
    }
}

void mu_console_write(int fd, enum mu_console_kind kind, const char *text, size_t bytes)
{
    pthread_mutex_lock(&mutex);
    struct console *console = find(fd);
    for (size_t done = 0, chunk; console && done < bytes; done += chunk) {
        chunk = chunk_bytes(text + done, bytes - done);
        put_chunk(console, kind, text + done, chunk);
    }
    pthread_mutex_unlock(&mutex);
    if (!console)
        write_and_wait(fd, text, bytes);
}

void mu_console_write_now(int fd, const char *text, size_t bytes)
{
    const struct console *console = find(fd);
    if (!console)
        (void)!write(fd, text, bytes);
    else if (!atomic_load(&console->stuck))
        (void)!write_some(console, text, bytes);
}

/* ---- open and close ---- */

static enum nature find_nature(int fd, const struct stat *what)
{
    if (S_ISSOCK(what->st_mode))
        return SOCKET;
    if (S_ISFIFO(what->st_mode))
        return PIPE;
    return isatty(fd) ? TERMINAL : WAITS_NEVER;
}

static void console_init(struct console *console, int fd, const struct stat *what)
{
    char path[32];
    *console = (struct console){.fd = fd,
        .nature = find_nature(fd, what),
        .own_fd = -1,
        .last = '\n',
        .patience_ns = MU_CONSOLE_PATIENCE_MS * NS_PER_MS,
        .patience_at_ns = now_ns()};
    mu_format(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (console->nature == PIPE || console->nature == TERMINAL)
        console->own_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void mu_console_open(void)
{
    struct stat out, err;
    pthread_mutex_lock(&mutex);
    end_ns = 0;
    kept[0] = '\0';
    if (!find(STDOUT_FILENO) && fstat(STDOUT_FILENO, &out) == 0 &&
        fstat(STDERR_FILENO, &err) == 0) {
        bool same = out.st_dev == err.st_dev && out.st_ino == err.st_ino;
        console_init(&consoles[0], STDOUT_FILENO, &out);
        atomic_store(&console_out, &consoles[0]);
        if (!same)
            console_init(&consoles[1], STDERR_FILENO, &err);
        atomic_store(&console_err, &consoles[same ? 0 : 1]);
    }
    pthread_mutex_unlock(&mutex);
}

void mu_console_kept(const char *where)
{
    pthread_mutex_lock(&mutex);
    mu_text_copy(kept, sizeof(kept), where);
    pthread_mutex_unlock(&mutex);
}

static void begin_last_words(void)
{
    if (end_ns == 0)
        end_ns = now_ns() + MU_CONSOLE_LAST_WORDS_MS * NS_PER_MS;
}

void mu_console_last_words(void)
{
    pthread_mutex_lock(&mutex);
    begin_last_words();
    pthread_mutex_unlock(&mutex);
}

static void console_finish(struct console *console)
{
    (void)catch_up(console, end_ns);
    if (console->own_fd >= 0)
        close(console->own_fd);
    console->own_fd = -1;
}

void mu_console_close(void)
{
    pthread_mutex_lock(&mutex);
    struct console *out = atomic_exchange(&console_out, NULL);
    struct console *err = atomic_exchange(&console_err, NULL);
    begin_last_words();
    if (out)
        console_finish(out);
    if (err && err != out)
        console_finish(err);
    pthread_mutex_unlock(&mutex);
}
