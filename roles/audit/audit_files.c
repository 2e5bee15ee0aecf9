/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/audit/audit_files.h"
#include "ps/audit_read.h"
#include "roles/audit/audit_header.h"
#include "runtime/base/log_quiet.h"
#include "runtime/base/text.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES (sizeof(((struct mu_audit_files *)NULL)->folder) + MU_AUDIT_NAME_MAX)

static void name_of(char out[MU_AUDIT_NAME_MAX], int order, bool standby, int number)
{
    char end[16] = "";
    if (number > 0)
        mu_format(end, sizeof(end), ".%d", number);
    mu_format(out, MU_AUDIT_NAME_MAX, "ps-%d%s.log%s", order, standby ? "-standby" : "", end);
}

static bool is_there(const struct mu_audit_files *files, const char *name)
{
    char path[PATH_BYTES];
    struct stat stat_;
    mu_format(path, sizeof(path), "%s/%s", files->folder, name);
    return stat(path, &stat_) == 0;
}

static bool open_quietly(const struct mu_audit_files *files, const char *name, struct mu_log *quiet,
    struct mu_audit_reader *ret_reader)
{
    char path[PATH_BYTES];
    *quiet = mu_log_quiet();
    mu_format(path, sizeof(path), "%s/%s", files->folder, name);
    return mu_audit_reader_open(ret_reader, quiet, path) == MU_OK;
}

/* ---- what a log is of ---- */

struct title {
    uint64_t run;
    uint32_t generation;
    int server_count;
    int64_t version;
};

static bool read_title(struct mu_audit_reader *reader, struct title *ret_title)
{
    struct mu_audit_record record;
    struct mu_audit_header header;
    bool good = mu_audit_header_next(reader, &record, &header) == MU_OK;
    *ret_title = (struct title){header.run, header.generation, header.server_count, record.version};
    mu_job_destroy(header.job);
    return good;
}

static bool title_of(const struct mu_audit_files *files, const char *name, struct title *ret_title)
{
    struct mu_log quiet;
    struct mu_audit_reader reader;
    if (!open_quietly(files, name, &quiet, &reader))
        return false;
    bool good = read_title(&reader, ret_title);
    mu_audit_reader_close(&reader);
    return good;
}

static bool is_of(const struct mu_audit_files *files, const char *name)
{
    struct title title;
    return title_of(files, name, &title) && title.run == files->run &&
           title.generation == files->generation && title.version == files->version;
}

/* ---- which one is whole ---- */

struct look {
    bool is_there, whole;
    int lost; /* process, as its end says; -1: none, or it has no end */
    uint64_t records;
};

/* Every checksum: the other one may be good where this is not. */
static bool read_whole(struct mu_audit_reader *reader, struct look *look)
{
    struct mu_audit_record record;
    void *payload = NULL;
    size_t capacity = 0;
    bool good = true;
    do {
        good = mu_audit_reader_next(reader, &record) == MU_OK;
        size_t bytes = good ? mu_audit_reader_bytes(reader) : 0;
        void *grown = bytes > capacity ? realloc(payload, bytes) : payload;
        good = good && (grown || bytes == 0);
        if (!good)
            break;
        payload = grown;
        capacity = bytes > capacity ? bytes : capacity;
        good = mu_audit_reader_payload(reader, payload, bytes) == MU_OK;
        look->records += good;
    } while (good && record.kind != MU_AUDIT_END);
    free(payload);
    if (good)
        look->lost = record.worker - 1;
    return good;
}

static struct look look_at(const struct mu_audit_files *files, const char *name)
{
    struct look look = {.lost = -1, .is_there = is_of(files, name)};
    struct mu_log quiet;
    struct mu_audit_reader reader;
    if (!look.is_there || !open_quietly(files, name, &quiet, &reader))
        return look;
    look.whole = read_whole(&reader, &look);
    mu_audit_reader_close(&reader);
    return look;
}

/* ---- of a server and of its standby ---- */

struct pair {
    char name[2][MU_AUDIT_NAME_MAX]; /* the server's; its standby's */
    struct look look[2];
};

static bool takes_standby(const struct pair *pair, int order, int server_count, int lost)
{
    const struct look *own = &pair->look[0], *other = &pair->look[1];
    if (!own->is_there || !other->is_there)
        return other->is_there;
    if (lost == order)
        return true;
    if (lost == mu_ps_seat_process(server_count + order, server_count))
        return false;
    if (own->whole || other->whole)
        return !own->whole;
    return other->records > own->records;
}

static void choose(struct mu_audit_files *files, struct pair *pairs)
{
    int lost = -1;
    bool any = false;
    for (int i = 0; i < files->server_count; i++)
        any = any || is_of(files, pairs[i].name[1]);
    for (int i = 0; any && i < files->server_count; i++)
        for (int k = 0; k < 2; k++) {
            pairs[i].look[k] = look_at(files, pairs[i].name[k]);
            lost = pairs[i].look[k].lost >= 0 ? pairs[i].look[k].lost : lost;
        }
    for (int i = 0; i < files->server_count; i++) {
        files->standby[i] = any && takes_standby(&pairs[i], i, files->server_count, lost);
        mu_text_copy(files->name[i], sizeof(files->name[i]), pairs[i].name[files->standby[i]]);
    }
}

/* The first of these logs that can be read says what all must be of. */
static bool read_reference(struct mu_audit_files *files)
{
    struct title title;
    for (int k = 0; k < 2; k++) {
        char name[MU_AUDIT_NAME_MAX];
        name_of(name, 0, k, files->number);
        if (!title_of(files, name, &title))
            continue;
        files->run = title.run;
        files->generation = title.generation;
        files->server_count = title.server_count;
        files->version = title.version;
        return true;
    }
    return false;
}

/* ---- the last ones ---- */

static void find_folder(const char *directory, struct mu_audit_files *files)
{
    mu_format(files->folder, sizeof(files->folder), "%.2000s", directory);
    if (!is_there(files, "ps-0.log") && !is_there(files, "ps-0-standby.log"))
        mu_format(files->folder, sizeof(files->folder), "%.2000s/audit", directory);
}

void mu_audit_files_last(const char *directory, struct mu_audit_files *ret_files)
{
    struct pair pairs[MU_PS_SERVERS_MAX] = {0};
    *ret_files = (struct mu_audit_files){.directory = directory, .server_count = 1, .version = -1};
    find_folder(directory, ret_files);
    bool known = read_reference(ret_files);
    for (int i = 0; i < ret_files->server_count; i++)
        for (int k = 0; k < 2; k++)
            name_of(pairs[i].name[k], i, k, 0);
    if (known)
        choose(ret_files, pairs);
    else
        name_of(ret_files->name[0], 0, false, 0);
}

/* ---- those before ---- */

static int number_max(const struct mu_audit_files *files, int order, bool standby)
{
    char name[MU_AUDIT_NAME_MAX];
    int number = 0;
    do
        name_of(name, order, standby, ++number);
    while (is_there(files, name));
    return number - 1;
}

/* Of older logs, which do not say their run, the number counts. */
static bool find_one(
    const struct mu_audit_files *files, int order, bool standby, char out[MU_AUDIT_NAME_MAX])
{
    int most = number_max(files, order, standby);
    for (int number = 0; number <= most; number++) {
        name_of(out, order, standby, number);
        if ((files->run != 0 || number == files->number) && is_of(files, out))
            return true;
    }
    out[0] = '\0';
    return false;
}

static bool find_all(struct mu_audit_files *files)
{
    struct pair pairs[MU_PS_SERVERS_MAX] = {0};
    for (int i = 0; i < files->server_count; i++) {
        bool own = find_one(files, i, false, pairs[i].name[0]);
        if (!find_one(files, i, true, pairs[i].name[1]) && !own)
            return false;
    }
    choose(files, pairs);
    return true;
}

bool mu_audit_files_before(const struct mu_audit_files *files, struct mu_audit_files *ret_files)
{
    int most = number_max(files, 0, false), most_standby = number_max(files, 0, true);
    most = most_standby > most ? most_standby : most;
    *ret_files = *files;
    ret_files->number = files->number == 0 ? most : files->number - 1;
    if (ret_files->number < 1 || !read_reference(ret_files))
        return false;
    return find_all(ret_files);
}
