/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task for the tests of launchers: does what its arguments say for its name.
 *
 *   fake_task alive=7 chief/0=print:hello,exit:0 worker/0=wait
 *
 * Everything is done in order: print:TEXT, error:TEXT and died:TASK (errors, to stderr), part:TEXT
 * (no newline), progress:TEXT (ends in \r), env:NAME, ready (writes the name to the descriptor
 * `alive`), meet (waits for one connection and keeps it), greet:TASK (connects to a task that
 * meets), gone:TASK (the same, and waits until it has died), wait (for any signal), save (waits for
 * SIGTERM, then goes on), ignore (SIGTERM), kill:NUMBER, exit:CODE.
 */
#include <arpa/inet.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char name[64];
static json_t *config;
static int alive_fd = -1;
static volatile sig_atomic_t stopped;

static void on_term(int signal)
{
    stopped = signal;
}

static void find_name(void)
{
    const char *text = getenv("TF_CONFIG");
    config = text ? json_loads(text, 0, NULL) : NULL;
    json_t *task = json_object_get(config, "task");
    const char *type = json_string_value(json_object_get(task, "type"));
    if (!type)
        exit(99);
    int index = (int)json_integer_value(json_object_get(task, "index"));
    snprintf(name, sizeof(name), "%s/%d", type, index);
}

/* The port in the spec of "worker/1". */
static int port_of(const char *task)
{
    char role[32];
    int index = 0;
    sscanf(task, "%31[a-z]/%d", role, &index);
    json_t *list = json_object_get(json_object_get(config, "cluster"), role);
    const char *address = json_string_value(json_array_get(list, (size_t)index));
    if (!address || strncmp(address, "127.0.0.1:", 10) != 0)
        exit(98);
    return atoi(address + 10);
}

/* Only a connection that was accepted is sure to break when its other end dies: one that is still
 * in the backlog may stay half open for seconds. */
static void meet(void)
{
    if (accept(atoi(getenv("MUSTER_LISTEN_FD")), NULL, NULL) < 0)
        exit(94);
}

static int greet(const char *task)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)port_of(task))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        exit(93);
    return fd;
}

static void wait_until_gone(const char *task)
{
    int fd = greet(task);
    char byte;
    while (read(fd, &byte, 1) > 0)
        continue;
    close(fd);
}

static void write_name(void)
{
    char line[80];
    int bytes = snprintf(line, sizeof(line), "%s\n", name);
    if (write(alive_fd, line, (size_t)bytes) != bytes)
        exit(97);
}

/* The socket under MUSTER_LISTEN_FD must be the one of the spec. */
static void check_socket(void)
{
    struct sockaddr_in at;
    socklen_t bytes = sizeof(at);
    const char *fd = getenv("MUSTER_LISTEN_FD");
    if (!fd || getsockname(atoi(fd), (struct sockaddr *)&at, &bytes) != 0 ||
        ntohs(at.sin_port) != port_of(name))
        exit(96);
}

static void act(const char *action)
{
    const char *text = strchr(action, ':') ? strchr(action, ':') + 1 : "";
    if (strncmp(action, "print:", 6) == 0)
        printf("%s\n", text);
    else if (strncmp(action, "error:", 6) == 0)
        fprintf(stderr, "error[E0501]: %s\n  = help: look\n", text);
    else if (strncmp(action, "died:", 5) == 0)
        fprintf(stderr, "error[E0401]: %s died: %s says so\n  = help: resume\n", text, name);
    else if (strncmp(action, "part:", 5) == 0)
        printf("%s", text);
    else if (strncmp(action, "progress:", 9) == 0)
        printf("%s\r", text);
    else if (strncmp(action, "env:", 4) == 0)
        printf("%s=%s\n", text, getenv(text) ? getenv(text) : "");
    else if (strcmp(action, "ready") == 0)
        write_name();
    else if (strncmp(action, "gone:", 5) == 0)
        wait_until_gone(text);
    else if (strcmp(action, "meet") == 0)
        meet();
    else if (strncmp(action, "greet:", 6) == 0)
        (void)greet(text);
    else if (strcmp(action, "wait") == 0)
        pause();
    else if (strcmp(action, "ignore") == 0)
        signal(SIGTERM, SIG_IGN);
    else if (strncmp(action, "kill:", 5) == 0)
        raise(atoi(text));
    else if (strncmp(action, "exit:", 5) == 0)
        exit(atoi(text));
    else
        exit(95);
    fflush(stdout);
}

/* `save`: SIGTERM is blocked from the start, so that it cannot come too early. */
static void wait_for_term(void)
{
    sigset_t none;
    sigemptyset(&none);
    while (!stopped)
        sigsuspend(&none);
}

static void act_all(char *actions)
{
    char *rest = NULL;
    if (strstr(actions, "save")) {
        sigset_t term;
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        sigprocmask(SIG_BLOCK, &term, NULL);
        signal(SIGTERM, on_term);
    }
    for (char *at = strtok_r(actions, ",", &rest); at; at = strtok_r(NULL, ",", &rest)) {
        if (strcmp(at, "save") == 0)
            wait_for_term();
        else
            act(at);
    }
}

int main(int argc, char **argv)
{
    find_name();
    check_socket();
    size_t bytes = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "alive=", 6) == 0)
            alive_fd = atoi(argv[i] + 6);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, bytes) == 0 && argv[i][bytes] == '=')
            act_all(argv[i] + bytes + 1);
    json_decref(config);
    return 0;
}
