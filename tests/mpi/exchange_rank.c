/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rank of a test under mpirun: exchanges addresses, then does what it is told.
 *
 *   exchange_rank meet          greets the next rank over TCP and is greeted by the one before
 *   exchange_rank time          prints how long the exchange took
 *   exchange_rank exit CODE     rank 1 ends with that code, the others wait for a signal
 *   exchange_rank kill          rank 1 kills itself, the others wait
 *   exchange_rank wait          all wait for a signal
 *   exchange_rank absent        rank 1 never takes part, until it is killed
 */
#include "collectives/mpi.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* Connects to the next rank, says our number, and hears that of the rank before. */
static int meet(const struct mu_mpi_place *place)
{
    const struct mu_address *next = &place->address[(place->rank + 1) % place->count];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)next->port)};
    int said = place->rank, heard = -1;
    int out = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, next->host, &at.sin_addr) != 1 ||
        connect(out, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        write(out, &said, sizeof(said)) != (ssize_t)sizeof(said))
        return 90;
    int in = accept(place->listen_fd, NULL, NULL);
    if (in < 0 || recv(in, &heard, sizeof(heard), MSG_WAITALL) != (ssize_t)sizeof(heard))
        return 91;
    printf("rank %d of %d heard %d\n", place->rank, place->count, heard);
    close(in);
    close(out);
    return heard == (place->rank + place->count - 1) % place->count ? 0 : 92;
}

static int act(const struct mu_mpi_place *place, char **argv)
{
    if (strcmp(argv[1], "meet") == 0)
        return meet(place);
    if (strcmp(argv[1], "time") == 0)
        return 0;
    if (place->rank == 1 && strcmp(argv[1], "exit") == 0)
        return atoi(argv[2]);
    if (place->rank == 1 && strcmp(argv[1], "kill") == 0)
        raise(SIGKILL);
    printf("rank %d waits\n", place->rank);
    fflush(stdout);
    pause();
    return 93;
}

int main(int argc, char **argv)
{
    struct mu_log log;
    struct mu_mpi_place place;
    const char *rank = getenv("PMIX_RANK");
    mu_log_init_stderr(&log, MU_LEVEL_INFO);
    if (argc < 2)
        return 64;
    bool absent = strcmp(argv[1], "absent") == 0;
    if (absent && rank && strcmp(rank, "1") == 0)
        pause();
    double started_ms = now_ms();
    enum mu_status status = mu_mpi_exchange(&log, (absent ? 200 : 20000) * MU_MS, &place);
    if (status != MU_OK)
        return mu_status_exit(status);
    if (strcmp(argv[1], "time") == 0)
        printf("rank %d: exchange %.1f ms\n", place.rank, now_ms() - started_ms);
    int code = act(&place, argv);
    mu_mpi_place_finish(&place);
    return code;
}
