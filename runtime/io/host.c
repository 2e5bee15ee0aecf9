/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/io/host.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TCP_STATE_LISTEN 0x0a

/* The inode of the socket that listens on the port, 0 if there is none. */
static unsigned long listener_inode(const char *table, int port)
{
    FILE *file = fopen(table, "re");
    if (!file)
        return 0;
    char line[512];
    unsigned long found = 0;
    while (!found && fgets(line, sizeof(line), file)) {
        unsigned local_port, state;
        unsigned long inode;
        if (sscanf(line,
                " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                &local_port, &state, &inode) == 3 &&
            (int)local_port == port && state == TCP_STATE_LISTEN)
            found = inode;
    }
    fclose(file);
    return found;
}

static bool holds(const char *process, unsigned long inode)
{
    char path[300], target[64], wanted[64];
    snprintf(path, sizeof(path), "/proc/%.20s/fd", process);
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(directory));) {
        ssize_t bytes = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        if (bytes > 0) {
            target[bytes] = '\0';
            found = strcmp(target, wanted) == 0;
        }
    }
    closedir(directory);
    return found;
}

static void process_name(const char *process, char *out, size_t bytes)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%.20s/comm", process);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(out, (int)bytes, file))
        snprintf(out, bytes, "?");
    out[strcspn(out, "\n")] = '\0';
    if (file)
        fclose(file);
}

bool mu_host_port_holder(int port, char *out, size_t bytes)
{
    unsigned long inode = listener_inode("/proc/net/tcp", port);
    if (!inode)
        inode = listener_inode("/proc/net/tcp6", port);
    DIR *processes = inode ? opendir("/proc") : NULL;
    if (!processes)
        return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(processes));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !holds(entry->d_name, inode))
            continue;
        char name[32];
        process_name(entry->d_name, name, sizeof(name));
        snprintf(out, bytes, "pid %.20s (%s)", entry->d_name, name);
        found = true;
    }
    closedir(processes);
    return found;
}

void mu_host_addresses(char *out, size_t bytes)
{
    struct ifaddrs *all = NULL;
    size_t used = 0;
    out[0] = '\0';
    if (getifaddrs(&all) != 0)
        return;
    for (struct ifaddrs *one = all; one; one = one->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "";
        if (!one->ifa_addr || !(one->ifa_flags & IFF_UP))
            continue;
        const void *raw =
            one->ifa_addr->sa_family == AF_INET
                ? (const void *)&((const struct sockaddr_in *)(const void *)one->ifa_addr)->sin_addr
                : (const void *)&((const struct sockaddr_in6 *)(const void *)one->ifa_addr)
                      ->sin6_addr;
        int family = one->ifa_addr->sa_family;
        if ((family != AF_INET && family != AF_INET6) ||
            !inet_ntop(family, raw, text, sizeof(text)))
            continue;
        int wrote = snprintf(out + used, bytes - used, "%s%s", used ? ", " : "", text);
        if (wrote < 0 || (size_t)wrote >= bytes - used)
            break;
        used += (size_t)wrote;
    }
    freeifaddrs(all);
}

bool mu_host_process_stopped(int process)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", process);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    const char *end = read ? strrchr(line, ')') : NULL;
    return end && end[1] == ' ' && (end[2] == 'T' || end[2] == 't');
}
